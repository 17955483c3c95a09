"""SQL that records the disks of guests as those of their machines."""

from __future__ import annotations

import json
from collections.abc import Sequence

from regiond.db.pool import Db, Row, of_row
from regiond.machines.values.listed_disks import (
    ActualDisk,
    LedgerDisk,
    ListedDisks,
    compared,
    has_volume,
    is_only_more,
    is_resized,
)

# Omits machines with a disk in a storage pool that the host no longer lists: the fault is in the pool, and the
# hypervisor does not show which disks are in it.
_LISTED = """
    select m.id,
           (select coalesce(jsonb_agg(jsonb_build_object(
                   'id', d.id, 'index', d.index, 'volume', d.volume, 'pool_id', p.id, 'pool', p.name,
                   'size_bytes', d.size_bytes, 'serial', d.serial, 'origin', d.origin) order by d.index), '[]')::text
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
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, origin)
    select $1, (select coalesce(max(index) + 1, 0) from machine_disk where machine_id = $1) + f.number - 1,
           f.volume, f.pool_id, f.size_bytes, f.serial, 'foreign'
      from jsonb_to_recordset($2::jsonb) f (number bigint, volume text, pool_id integer, size_bytes bigint, serial text)
     order by f.number
"""


async def listed_disks(db: Db, machine_ids: Sequence[int]) -> tuple[ListedDisks, ...]:
    """Returns the disks of those of the machines on which no operation acts, and whose guests their hosts list."""
    return tuple(_listed(row) for row in await db.fetch(_LISTED, machine_ids))


async def record_disks(db: Db, machine: ListedDisks) -> None:
    """Records the disks of the guest as those of the machine. Those that it did not have are foreign.

    A missing volume retains its size; a disk in no known storage pool is not changed, nor a size by its rounding.
    """
    found = compared(machine)
    if found.detached:
        await db.execute(_DETACH, [disk.id for disk in found.detached])
    changed = [
        {"id": disk.id, "volume": one.volume, "pool_id": one.pool_id, "size_bytes": one.size_bytes,
         "missing": one.missing}
        for disk, one in found.same
        if one.pool_id is not None and (not has_volume(disk, one) or is_resized(disk, one))
    ]  # fmt: skip
    if changed:
        await db.execute(_CHANGE, changed)
    attached = [
        {"number": number, "volume": one.volume, "pool_id": one.pool_id, "size_bytes": one.size_bytes,
         "serial": one.serial}
        for number, one in enumerate(found.attached, start=1)
    ]  # fmt: skip
    if attached:
        await db.execute(_ATTACH, machine.id, attached)


async def record_more(db: Db, machine_ids: Sequence[int]) -> None:
    """Records disks that somebody attached to these machines' guests as foreign ones, and disks that grew.

    Machines whose guests lack something are not changed: they are for the reconciler.
    """
    for machine in await listed_disks(db, machine_ids):
        if is_only_more(compared(machine)):
            await record_disks(db, machine)


def _listed(row: Row) -> ListedDisks:
    return of_row(
        ListedDisks,
        row,
        ledger=tuple(LedgerDisk(**disk) for disk in json.loads(row["ledger"])),
        actual=tuple(ActualDisk(**disk) for disk in json.loads(row["actual"])),
    )
