"""Reads and writes the claims of a server's guests in the ledger.

Callers that write hold the server's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve

from common.errors import NotFound
from common.hardware import NetworkDevice
from common.serialization import from_dict
from common.values import NumaNode
from regiond.db.pool import Db
from regiond.hosts.discovery.allocations import (
    ClaimHolder,
    Inventory,
    ResourceKey,
    allocations,
    claim_holder,
    inventory_of,
)
from regiond.hosts.discovery.machine_storage import StorageChange
from regiond.hosts.guest_record import GuestRecord
from regiond.ledger import store as ledger_store
from regiond.ledger.model import (
    NO_DISCRETE_RESOURCES,
    DiscreteResources,
    GuestClaims,
    discrete_resources_of,
    page_size_kib,
    read_pages_key,
)

_INVENTORY = "select numa_nodes, network_devices from server where id = $1"
_TOTALS = "select resource, key, total from discrete_resource where server_id = $1"
_DISCRETE = """
    select c.machine_id, g.project, g.guest_key, c.resource, c.key, c.amount
      from claim c left join guest g on g.id = c.guest_id
     where c.key is not null and (c.server_id = $1 or c.machine_id = any($2::integer[]))
"""
# Without the growth of disks that is pending until the next start, and the second volumes of disks that are moved: no
# guest is reported with them.
_STORAGE = """
    select c.machine_id, p.pool_key,
           greatest(0, c.amount - coalesce((select sum(d.pending_size_bytes - d.size_bytes) from machine_disk d
                                             where d.machine_id = c.machine_id and d.storage_pool_id = p.id), 0)
                                - coalesce((select sum(greatest(d.size_bytes, d.pending_size_bytes)) from machine_disk d
                                             where d.machine_id = c.machine_id and d.second_storage_pool_id = p.id), 0)
                   )::bigint as amount
      from claim c join storage_pool p on p.id = c.storage_pool_id
     where c.server_id = $1 and p.server_id = $1 and c.machine_id is not null
"""
_POOL_IDS = "select id, pool_key from storage_pool where server_id = $1"
_GUEST_IDS = """
    select id, project, guest_key from guest
     where server_id = $1 and (project, guest_key) in (select * from unnest($2::text[], $3::text[]))
"""
_WRITE_MACHINE = """
    update machine set pinned_core_ids = $2, huge_page_size_kib = $3
     where id = $1 and (pinned_core_ids, huge_page_size_kib) is distinct from ($2, $3)
"""


async def read_totals(db: Db, server_id: int) -> dict[ResourceKey, int]:
    """Returns the totals of the server's discrete resources."""
    return {(row["resource"], row["key"]): row["total"] for row in await db.fetch(_TOTALS, server_id)}


async def read_discrete(db: Db, server_id: int, machine_ids: Iterable[int]) -> dict[ClaimHolder, DiscreteResources]:
    """Returns the discrete resources claimed by every holder on this server, and by these machines on any server."""
    rows: dict[ClaimHolder, list[tuple[str, str, int]]] = {}
    for row in await db.fetch(_DISCRETE, server_id, list(machine_ids)):
        holder: ClaimHolder = row["machine_id"] or (row["project"], row["guest_key"])
        rows.setdefault(holder, []).append((row["resource"], row["key"], row["amount"]))
    return {holder: discrete_resources_of(claims) for holder, claims in rows.items()}


async def read_storage(db: Db, server_id: int) -> dict[int, dict[str, int]]:
    """Returns the bytes that machines claim on the server's storage pools, by machine and key of the pool."""
    found: dict[int, dict[str, int]] = {}
    for row in await db.fetch(_STORAGE, server_id):
        found.setdefault(row["machine_id"], {})[row["pool_key"]] = row["amount"]
    return found


async def allocation_of(
    db: Db, server_id: int, record: GuestRecord, previous: ClaimHolder, *, huge_page_size_kib: int | None = None
) -> GuestClaims:
    """Returns the claims of a guest whose claims pass from `previous` to the holder that `record` names.

    `huge_page_size_kib` is used if the ledger has no huge pages of `previous`.
    """
    inventory = await _inventory(db, server_id)
    discrete = await read_discrete(db, server_id, [previous] if isinstance(previous, int) else [])
    holder = claim_holder(record)
    discrete[holder] = discrete.pop(previous, NO_DISCRETE_RESOURCES)
    if huge_page_size_kib is not None and not discrete[holder].huge_pages:
        discrete[holder] = evolve(discrete[holder], huge_pages=_one_page(inventory, huge_page_size_kib))
    allocation = allocations([record], inventory, discrete)[record.key]
    return evolve(allocation, storage_bytes=_storage_bytes(record, await _pool_ids(db, server_id)))


def _one_page(inventory: Inventory, size_kib: int) -> dict[str, int]:
    """Returns one page, which only sets the page size of the new allocation: it is too small to be kept."""
    of_size = [
        key for resource, key in inventory.totals if resource == "huge_pages" and read_pages_key(key)[1] == size_kib
    ]
    return dict.fromkeys(of_size[:1], 1)


async def write_allocations(db: Db, server_id: int, allocated: Iterable[tuple[GuestRecord, GuestClaims]]) -> None:
    """Replaces the claims of these guests, whose rows must exist.

    Does not change the claims of machines on storage: `write_storage` does.
    """
    allocated = list(allocated)
    foreign = [(record, held) for record, held in allocated if record.machine_id is None]
    if foreign:
        pool_ids = await _pool_ids(db, server_id)
        projects, keys = [record.project for record, _ in foreign], [record.guest_key for record, _ in foreign]
        rows = await db.fetch(_GUEST_IDS, server_id, projects, keys)
        ids = {(row["project"], row["guest_key"]): row["id"] for row in rows}
        held_by_guest = {
            ids[record.key]: evolve(held, storage_bytes=_storage_bytes(record, pool_ids)) for record, held in foreign
        }
        await ledger_store.write_guests(db, server_id, held_by_guest)
    for record, held in allocated:
        if record.machine_id is not None:
            await ledger_store.resize_machine(db, server_id=server_id, machine_id=record.machine_id, claims=held)
            await write_machine_resources(db, record.machine_id, held)


async def write_storage(db: Db, server_id: int, changes: Iterable[StorageChange]) -> None:
    """Makes each machine claim the space that the disks of its guest use."""
    changes = tuple(changes)
    pool_ids = await _pool_ids(db, server_id) if changes else {}
    for one in changes:
        amounts = {pool_ids[key]: one.now.get(key, 0) for key in {*one.now, *one.before} if key in pool_ids}
        await ledger_store.record_storage(db, server_id=server_id, machine_id=one.machine_id, storage_bytes=amounts)


async def write_machine_resources(db: Db, machine_id: int, held: GuestClaims) -> None:
    """Writes the pinned cores and the page size of the guest to its machine's row."""
    size_kib = page_size_kib(held.discrete.huge_pages)
    await db.execute(_WRITE_MACHINE, machine_id, list(held.discrete.pinned_core_ids), size_kib)


async def _inventory(db: Db, server_id: int) -> Inventory:
    row = await db.fetchrow(_INVENTORY, server_id)
    if row is None:
        raise NotFound(f"There is no server {server_id}.")
    return inventory_of(
        [from_dict(node, NumaNode) for node in row["numa_nodes"]],
        [from_dict(device, NetworkDevice) for device in row["network_devices"]],
    )


async def _pool_ids(db: Db, server_id: int) -> dict[str, int]:
    return {row["pool_key"]: row["id"] for row in await db.fetch(_POOL_IDS, server_id)}


def _storage_bytes(record: GuestRecord, pool_ids: Mapping[str, int]) -> dict[int, int]:
    """Returns the bytes of the guest's disks by row id of the storage pool."""
    return {pool_ids[key]: size for key, size in record.disk_bytes().items() if key in pool_ids}
