"""SQL that selects the machines whose guests have other disks, and records those disks."""

from __future__ import annotations

import json

from regiond.db.pool import Db, Row, of_row
from regiond.reconciler.disks.detection import ActualDisk, LedgerDisk, MachineDisks, compared

# Narrows 50,000 machines to those whose disks may differ. A guest usually has its disks in the order of the machine's
# disks, and as many. For a disk without a volume of its own (LXD's root disk of an adopted guest) the ledger has its
# device.
_SUSPECTS = """
    select d.machine_id
      from machine_disk d
      join guest g on g.machine_id = d.machine_id
      join storage_pool p on p.id = d.storage_pool_id,
           lateral (select g.disks -> d.index as found) f
     where (found ->> 'volume', found ->> 'pool_id', (found ->> 'size_bytes')::bigint)
           is distinct from (d.volume, p.pool_key, d.size_bytes)
        or (found ->> 'missing')::boolean
    union
    select g.machine_id
      from guest g
      left join machine_disk d on d.machine_id = g.machine_id and d.index = jsonb_array_length(g.disks) - 1
     where g.machine_id is not null and d.id is null and g.disks <> '[]'
"""
# Omits machines with a disk in a storage pool that the host no longer lists: the fault is in the pool, and the
# hypervisor does not show which disks are in it.
_MACHINES = """
    select m.id, m.system_id, m.hostname, h.id as host_id, h.name as host_name, m.power_state = 'on' as is_on,
           (select coalesce(jsonb_agg(jsonb_build_object(
                   'id', d.id, 'index', d.index, 'volume', d.volume, 'pool_id', p.id, 'pool', p.name,
                   'size_bytes', d.size_bytes, 'serial', d.serial) order by d.index), '[]')::text
              from machine_disk d join storage_pool p on p.id = d.storage_pool_id
             where d.machine_id = m.id) as ledger,
           (select coalesce(jsonb_agg(jsonb_build_object(
                   'device', f.device, 'volume', coalesce(f.volume, f.device),
                   'pool_id', p.id, 'pool', coalesce(p.name, ''),
                   'size_bytes', f.size_bytes, 'serial', coalesce(f.serial, ''),
                   'missing', f.missing) order by f.device), '[]')::text
              from jsonb_to_recordset(g.disks) f (device text, volume text, pool_id text, size_bytes bigint,
                                                  serial text, missing boolean)
              left join storage_pool p on p.server_id = g.server_id and p.pool_key = f.pool_id) as actual
      from machine m
      join guest g on g.machine_id = m.id
      join vm_host h on h.id = m.host_id and h.server_id = g.server_id
     where m.id = any($1::integer[])
       and m.state in ('ready', 'allocated', 'deployed', 'failed_deployment', 'failed', 'broken')
       and not exists (select from operation o
                        where o.is_open
                          and (o.machine_id = m.id or (o.kind = 'remove_host' and o.host_id = h.id)))
       and not exists (select from machine_disk d join storage_pool p on p.id = d.storage_pool_id
                        where d.machine_id = m.id and p.missing_since is not null)
     order by m.id
"""
_DETACH = "delete from machine_disk where id = any($1::integer[])"
_CHANGE = """
    update machine_disk d
       set volume = f.volume, storage_pool_id = f.pool_id, size_bytes = now.size_bytes,
           pending_size_bytes = case when d.pending_size_bytes > now.size_bytes then d.pending_size_bytes end
      from jsonb_to_recordset($1::jsonb) f (id integer, volume text, pool_id integer, size_bytes bigint,
                                            missing boolean)
      join lateral (select case when f.missing or f.size_bytes = 0 then old.size_bytes
                                else f.size_bytes end as size_bytes
                      from machine_disk old where old.id = f.id) now on true
     where d.id = f.id
"""
_ATTACH = """
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial)
    select $1, (select coalesce(max(index) + 1, 0) from machine_disk where machine_id = $1) + f.number - 1,
           f.volume, f.pool_id, f.size_bytes, f.serial
      from jsonb_to_recordset($2::jsonb) f (number bigint, volume text, pool_id integer, size_bytes bigint, serial text)
     order by f.number
"""


async def suspect_machines(db: Db, machine_id: int | None = None) -> tuple[MachineDisks, ...]:
    """Returns all machines that may have a discrepancy, or the one with `machine_id`."""
    wanted = [row["machine_id"] for row in await db.fetch(_SUSPECTS)] if machine_id is None else [machine_id]
    return tuple(_machine(row) for row in await db.fetch(_MACHINES, wanted)) if wanted else ()


async def record_disks(db: Db, machine: MachineDisks) -> None:
    """Records the disks of the guest as those of the machine.

    A missing volume retains its size; a disk in no known storage pool is not changed.
    """
    found = compared(machine)
    await db.execute(_DETACH, [disk.id for disk in found.detached])
    changed = [
        {"id": disk.id, "volume": one.volume, "pool_id": one.pool_id, "size_bytes": one.size_bytes,
         "missing": one.missing}
        for disk, one in found.same
        if one.pool_id is not None
    ]  # fmt: skip
    await db.execute(_CHANGE, changed)
    attached = [
        {"number": number, "volume": one.volume, "pool_id": one.pool_id, "size_bytes": one.size_bytes,
         "serial": one.serial}
        for number, one in enumerate(found.attached, start=1)
    ]  # fmt: skip
    await db.execute(_ATTACH, machine.id, attached)


def _machine(row: Row) -> MachineDisks:
    return of_row(
        MachineDisks,
        row,
        ledger=tuple(LedgerDisk(**disk) for disk in json.loads(row["ledger"])),
        actual=tuple(ActualDisk(**disk) for disk in json.loads(row["actual"])),
    )
