"""Rows of region processes, their RPC addresses and their links to racks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from regiond.db.pool import Db

_UPSERT_REGION = """
    insert into region_process (id, hostname, pid) values ($1, $2, $3)
    on conflict (id) do update set seen_at = now()
"""
_UPSERT_ADDRESS = """
    insert into region_address (address) values ($1) on conflict (address) do update set seen_at = now()
"""
_SELECT_ADDRESSES = "select address from region_address where seen_at > now() - interval '7 days' order by address"
_DELETE_OLD_ADDRESSES = "delete from region_address where seen_at < now() - interval '7 days'"
_SELECT_LOCAL_REGIONS = "select id, pid from region_process where hostname = $1 and id <> $2"
_DELETE_DEAD_REGIONS = "delete from region_process where seen_at < now() - interval '10 minutes'"
_DELETE_REGION = "delete from region_process where id = $1"
_INSERT_LINKS = """
    insert into rack_link (rack_id, region_id)
    select id, $1 from rack where id = any($2::uuid[]) and removed_at is null
    on conflict do nothing
"""
_DELETE_LINKS = "delete from rack_link where region_id = $1 and not (rack_id = any($2::uuid[]))"
# Rows are locked in id order, because other regions update the same racks: no deadlock.
_UPDATE_RACKS = """
    with linked as (select id from rack where id = any($1::uuid[]) order by id for no key update)
    update rack set seen_at = now() from linked where rack.id = linked.id
"""


async def write(
    db: Db, region_id: UUID, *, hostname: str, pid: int, rpc_address: str | None, linked_racks: Sequence[UUID]
) -> None:
    """Records that the region process lives and has links to exactly `linked_racks` (sorted), seen now.

    Deletes regions that were silent for ten minutes and addresses not seen for a week. Idempotent.
    """
    await db.execute(_UPSERT_REGION, region_id, hostname, pid)
    if rpc_address is not None:
        await db.execute(_UPSERT_ADDRESS, rpc_address)
    await db.execute(_INSERT_LINKS, region_id, linked_racks)
    await db.execute(_DELETE_LINKS, region_id, linked_racks)
    await db.execute(_UPDATE_RACKS, linked_racks)
    await db.execute(_DELETE_DEAD_REGIONS)
    await db.execute(_DELETE_OLD_ADDRESSES)


async def delete_region(db: Db, region_id: UUID) -> None:
    """Deletes the region process and its links. Idempotent."""
    await db.execute(_DELETE_REGION, region_id)


async def addresses(db: Db) -> tuple[str, ...]:
    """Returns the RPC addresses of all regions seen within a week, sorted."""
    return tuple(row["address"] for row in await db.fetch(_SELECT_ADDRESSES))


async def local_regions(db: Db, hostname: str, *, other_than: UUID) -> dict[UUID, int]:
    """Returns the process id of each other region process with that hostname."""
    return {row["id"]: row["pid"] for row in await db.fetch(_SELECT_LOCAL_REGIONS, hostname, other_than)}
