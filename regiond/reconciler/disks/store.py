"""SQL that selects the machines whose guests have other disks."""

from __future__ import annotations

from regiond.db.pool import Db, of_row
from regiond.machines.remains.foreign_disks.store import listed_disks
from regiond.racks.service import read_installation_id
from regiond.reconciler.disks.detection import MachineDisks

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
_MACHINES = """
    select m.id, m.system_id, m.hostname, h.id as host_id, h.name as host_name, m.power_state = 'on' as is_on
      from machine m join vm_host h on h.id = m.host_id
     where m.id = any($1::integer[])
     order by m.id
"""


async def suspect_machines(db: Db, machine_id: int | None = None) -> tuple[MachineDisks, ...]:
    """Returns all machines that may have a discrepancy, or the one with `machine_id`."""
    wanted = [row["machine_id"] for row in await db.fetch(_SUSPECTS)] if machine_id is None else [machine_id]
    found = {one.id: one for one in await listed_disks(db, wanted)} if wanted else {}
    rows = await db.fetch(_MACHINES, list(found)) if found else ()
    own = await read_installation_id(db) if rows else None
    return tuple(of_row(MachineDisks, row, disks=found[row["id"]], installation_id=own) for row in rows)
