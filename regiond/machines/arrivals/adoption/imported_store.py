"""SQL of machines that came from another controller: their first values, and their addresses."""

from __future__ import annotations

from attrs import frozen

from regiond.db.pool import Db
from regiond.machines.values.managed import ManagedLink, ManagedVm
from regiond.machines.values.states import MachineState
from regiond.operations.model import Parent

# A machine that was Ready and is off is stock, as before; its next deployment writes its root disk anew.
_BEGIN = """
    update machine set owner_id = $2, pool_id = coalesce($3, pool_id), zone_id = coalesce($4, zone_id),
                       zone_chosen = coalesce($4 <> zone_id, false), tags = $5, description = $6, owner_data = $7,
                       composed_by_allocate = $8, error_description = $9, adopted = false, as_found = $10,
                       imported = true, is_stock = $11 and power_state = 'off'
     where id = $1
"""
# MAAS made them for this VM. LXD's first one is part of the instance, and goes with it. Of volumes that another machine
# has, too, nobody can say whose they are.
_ADOPT_DISKS = """
    update machine_disk d set origin = 'adopted'
      from machine m join vm_host h on h.id = m.host_id
     where m.id = $1 and d.machine_id = m.id
       and (d.origin = 'foreign' or (d.index = 0 and h.driver <> 'lxd' and not starts_with(d.volume, 'ik-')))
       and not exists (select from machine_disk o
                        where o.storage_pool_id = d.storage_pool_id and o.volume = d.volume and o.machine_id <> m.id)
"""
_NICS = """
    select n.id, n.machine_id, n.mac_address, m.system_id
      from machine m join machine_nic n on n.machine_id = m.id
     where m.system_id = any($1::text[]) and m.imported
"""
_CLAIMING = """
    select distinct m.system_id from ip_address a join machine m on m.id = a.machine_id
     where m.system_id = any($1::text[])
"""
_LINK = "update machine_nic set mode = $2, subnet_id = $3 where id = $1"


@frozen(kw_only=True)
class NewImport:
    """The values that a machine begins with, and the operation that imports it. None: of its host; without an owner."""

    machine: ManagedVm
    parent: Parent
    owner_id: int | None
    pool_id: int | None
    zone_id: int | None


@frozen(kw_only=True)
class ImportedNic:
    id: int
    machine_id: int
    system_id: str
    mac_address: str


async def begin(db: Db, machine_id: int, new: NewImport) -> None:
    one = new.machine
    await db.execute(
        _BEGIN, machine_id, new.owner_id, new.pool_id, new.zone_id, list(one.tags), one.description,
        dict(one.owner_data), one.composed_by_allocate, one.error_description, one.state is MachineState.DEPLOYED,
        one.state is MachineState.READY,
    )  # fmt: skip


async def adopt_disks(db: Db, machine_id: int) -> None:
    """Makes the disks the machine's own: a deletion of it keeps and lists those that do not go with its guest."""
    await db.execute(_ADOPT_DISKS, machine_id)


async def nics(db: Db, system_ids: list[str]) -> dict[tuple[str, str], ImportedNic]:
    """Returns the NICs of these machines by system id and MAC address."""
    return {(row["system_id"], row["mac_address"]): ImportedNic(**row) for row in await db.fetch(_NICS, system_ids)}


async def with_claims(db: Db, system_ids: list[str]) -> frozenset[str]:
    """Returns those of these machines that claim any address."""
    return frozenset(row["system_id"] for row in await db.fetch(_CLAIMING, system_ids))


async def link(db: Db, nic: ImportedNic, found: ManagedLink, subnet_id: int) -> None:
    await db.execute(_LINK, nic.id, found.mode, subnet_id)
