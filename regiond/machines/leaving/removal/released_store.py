"""SQL of machines that their release deleted, for clients that wait until the machine is Ready.

MAAS stores such a machine for a moment, and Terraform's provider fails if the machine is deleted before the provider
has read Ready. A row has no guest, claims or address; only `machines/{system_id}/` shows it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from regiond.db.pool import Db
from regiond.groups.model import ResourcePool, Zone
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, seen_by

READABLE_FOR = timedelta(minutes=5)  # providers poll every 3 to 10 s
_PRUNED_AT_ONCE = 100

_RECORD = """
    insert into released_machine (system_id, owner_id, pool_id, machine)
    select m.system_id, m.owner_id, m.pool_id, jsonb_build_object(
               'id', m.id, 'uuid', m.uuid, 'hostname', m.hostname, 'architecture', m.architecture, 'cores', m.cores,
               'memory_mib', m.memory_mib, 'tags', m.tags, 'description', m.description, 'created_at', m.created_at,
               'driver', h.driver,
               'pool', jsonb_build_object('id', p.id, 'name', p.name, 'description', p.description),
               'zone', jsonb_build_object('id', z.id, 'name', z.name, 'description', z.description),
               'disks', (select coalesce(jsonb_agg(jsonb_build_object(
                                    'id', d.id, 'index', d.index, 'volume', d.volume, 'storage_pool_name', s.name,
                                    'storage_pool_key', s.pool_key, 'size_bytes', d.size_bytes, 'serial', d.serial,
                                    'origin', d.origin)
                                order by d.index), '[]')
                           from machine_disk d join storage_pool s on s.id = d.storage_pool_id
                          where d.machine_id = m.id),
               'nics', (select coalesce(jsonb_agg(jsonb_build_object(
                                   'id', n.id, 'index', n.index, 'name', n.name, 'mac_address', n.mac_address,
                                   'kind', n.kind, 'source', n.source) order by n.index), '[]')
                          from machine_nic n where n.machine_id = m.id))
      from machine m
      join zone z on z.id = m.zone_id
      join resource_pool p on p.id = m.pool_id
      left join vm_host h on h.id = m.host_id
     where m.id = $1 and m.state = 'releasing'
    on conflict (system_id) do nothing
"""
_PRUNE = """
    delete from released_machine
     where system_id in (select system_id from released_machine where released_at < now() - $1::interval
                          order by released_at limit $2 for update skip locked)
"""
_READ = """
    select machine from released_machine
     where system_id = $1 and released_at >= now() - $2::interval
       and ($3::integer[] is null or pool_id = any($3) or owner_id = $4)
"""


async def record(db: Db, machine_id: int) -> None:
    """Records a released machine, before its row is deleted. Does nothing for a machine that a user deletes."""
    await db.execute(_RECORD, machine_id)
    await db.execute(_PRUNE, READABLE_FOR, _PRUNED_AT_ONCE)


async def read(db: Db, system_id: str, *, caller: Caller | None = None) -> MachineView | None:
    """Returns the machine as Ready and off, without owner, host and links; None if the caller could not see it."""
    found = await db.fetchval(_READ, system_id, READABLE_FOR, *seen_by(caller))
    return None if found is None else _view(system_id, found)


def _view(system_id: str, found: Any) -> MachineView:
    names = ("id", "hostname", "architecture", "cores", "memory_mib", "description", "driver")
    return MachineView(
        **{name: found[name] for name in names},
        system_id=system_id,
        uuid=UUID(found["uuid"]),
        state=MachineState.READY,
        power_state="off",
        tags=tuple(found["tags"]),
        pool=ResourcePool(**found["pool"]),
        zone=Zone(**found["zone"]),
        owner=None,
        host_id=None,
        host_name=None,
        host_system_id=None,
        guest_id=None,
        disks=tuple(DiskView(**one, tags=()) for one in found["disks"]),
        nics=tuple(NicView(**one) for one in found["nics"]),
        created_at=datetime.fromisoformat(found["created_at"]),
    )
