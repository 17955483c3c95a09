"""What guests of a server hold, read from the ledger and written to it. The caller has the server's lock to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from common.errors import NotFound
from common.hardware import NetworkCard
from common.values import NumaNode
from common.wire import from_plain
from regiond.hosts.holdings import Holder, Resource, Stock, holdings, stock_of
from regiond.hosts.known import GuestRow
from regiond.ledger import store as ledger
from regiond.ledger.model import NOTHING_COUNTED, Counted, Held, counted_of, page_size_kib, read_pages_key

if TYPE_CHECKING:
    from regiond.db.pool import Db

_STOCK = "select numa_nodes, network_cards from server where id = $1"
_TOTALS = "select resource, key, total from counted_resource where server_id = $1"
_COUNTED = """
    select c.machine_id, g.project, g.guest_key, c.resource, c.key, c.amount
      from claim c left join guest g on g.id = c.guest_id
     where c.key is not null and (c.server_id = $1 or c.machine_id = any($2::integer[]))
"""
_POOL_IDS = "select id, pool_key from storage_pool where server_id = $1"
_GUEST_IDS = """
    select id, project, guest_key from guest
     where server_id = $1 and (project, guest_key) in (select * from unnest($2::text[], $3::text[]))
"""
_MACHINE_HAS = """
    update machine set pinned_core_ids = $2, huge_page_size_kib = $3
     where id = $1 and (pinned_core_ids, huge_page_size_kib) is distinct from ($2, $3)
"""


async def read_totals(db: Db, server_id: int) -> dict[Resource, int]:
    return {(row["resource"], row["key"]): row["total"] for row in await db.fetch(_TOTALS, server_id)}


async def read_counted(db: Db, server_id: int, machine_ids: Iterable[int]) -> dict[Holder, Counted]:
    """Of all on this server, and of these machines wherever they are. Who holds nothing of the kind is left out."""
    rows: dict[Holder, list[tuple[str, str, int]]] = {}
    for row in await db.fetch(_COUNTED, server_id, list(machine_ids)):
        holder: Holder = row["machine_id"] or (row["project"], row["guest_key"])
        rows.setdefault(holder, []).append((row["resource"], row["key"], row["amount"]))
    return {holder: counted_of(held) for holder, held in rows.items()}


async def held_by(db: Db, server_id: int, row: GuestRow, was: Holder, *, huge_page_size_kib: int | None = None) -> Held:
    """What a guest takes that changes hands: until now the ledger knows it as `was`.

    `huge_page_size_kib` is that of its huge pages where its claims are lost.
    """
    stock = await _stock(db, server_id)
    counted = await read_counted(db, server_id, [was] if isinstance(was, int) else [])
    holder: Holder = row.key if row.machine_id is None else row.machine_id
    counted[holder] = counted.pop(was, NOTHING_COUNTED)
    if huge_page_size_kib is not None and not counted[holder].huge_pages:
        counted[holder] = evolve(counted[holder], huge_pages=_one_page(stock, huge_page_size_kib))
    held = holdings([row], stock, counted)[row.key]
    return evolve(held, storage_bytes=_storage(row, await _pool_ids(db, server_id)))


def _one_page(stock: Stock, size_kib: int) -> dict[str, int]:
    """As if the guest held one page of that size: too little to stay so, and what it holds is of that size."""
    of_size = [key for resource, key in stock.totals if resource == "huge_pages" and read_pages_key(key)[1] == size_kib]
    return dict.fromkeys(of_size[:1], 1)


async def write_held(db: Db, server_id: int, held: Iterable[tuple[GuestRow, Held]]) -> None:
    """Machines keep what they hold of storage pools. The rows of the guests are written."""
    held = list(held)
    foreign = [(row, now) for row, now in held if row.machine_id is None]
    if foreign:
        pool_ids = await _pool_ids(db, server_id)
        projects, keys = [row.project for row, _ in foreign], [row.guest_key for row, _ in foreign]
        found = await db.fetch(_GUEST_IDS, server_id, projects, keys)
        ids = {(one["project"], one["guest_key"]): one["id"] for one in found}
        await ledger.write_guests(
            db, server_id, {ids[row.key]: evolve(now, storage_bytes=_storage(row, pool_ids)) for row, now in foreign}
        )
    for row, now in held:
        if row.machine_id is not None:
            await ledger.resize_machine(db, server_id=server_id, machine_id=row.machine_id, held=now)
            await tell_machine(db, row.machine_id, now)


async def tell_machine(db: Db, machine_id: int, held: Held) -> None:
    """Keep with the machine what its guest really has."""
    size_kib = page_size_kib(held.counted.huge_pages)
    await db.execute(_MACHINE_HAS, machine_id, list(held.counted.pinned_core_ids), size_kib)


async def _stock(db: Db, server_id: int) -> Stock:
    row = await db.fetchrow(_STOCK, server_id)
    if row is None:
        raise NotFound(f"There is no server {server_id}.")
    return stock_of(
        [from_plain(node, NumaNode) for node in row["numa_nodes"]],
        [from_plain(card, NetworkCard) for card in row["network_cards"]],
    )


async def _pool_ids(db: Db, server_id: int) -> dict[str, int]:
    return {row["pool_key"]: row["id"] for row in await db.fetch(_POOL_IDS, server_id)}


def _storage(row: GuestRow, pool_ids: Mapping[str, int]) -> dict[int, int]:
    """Bytes by storage pool, by the pools' row ids."""
    return {pool_ids[key]: size for key, size in row.disk_bytes().items() if key in pool_ids}
