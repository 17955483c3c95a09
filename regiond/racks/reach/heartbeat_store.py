"""Rows of region processes, their RPC addresses and their links to racks."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from attrs import frozen

from regiond.db.pool import Db

_UPSERT_REGION = """
    insert into region_process (id, hostname, pid, release, schema_number, rpc_address, api_url)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (id) do update set seen_at = now(), rpc_address = excluded.rpc_address, api_url = excluded.api_url
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
_LINKED_ELSEWHERE = """
    select exists (select from rack_link l join region_process p on p.id = l.region_id
                    where l.region_id <> $1 and p.seen_at > now() - interval '30 seconds'
                      and p.schema_number >= (select max(coalesce(usable_from, number)) from schema_migration))
"""
_DELETE_LINKS = "delete from rack_link where region_id = $1 and not (rack_id = any($2::uuid[]))"
# Rows are locked in id order, because other regions update the same racks: no deadlock.
_UPDATE_RACKS = """
    with linked as (
        select r.id, held.release, held.idle_s, held.lowest, held.highest
          from rack r
          join unnest($1::uuid[], $2::text[], $3::float8[], $4::smallint[], $5::smallint[])
               held (id, release, idle_s, lowest, highest) on held.id = r.id
         order by r.id for no key update of r
    )
    update rack set seen_at = now(), release = coalesce(linked.release, rack.release),
           link_idle_timeout_s = coalesce(linked.idle_s, rack.link_idle_timeout_s),
           lowest_version = coalesce(linked.lowest, rack.lowest_version),
           highest_version = coalesce(linked.highest, rack.highest_version)
      from linked where rack.id = linked.id
"""


@frozen(kw_only=True)
class RegionRow:
    """A region process as it describes itself."""

    id: UUID
    hostname: str
    pid: int
    release: str | None = None
    schema_number: int | None = None
    rpc_address: str | None = None
    api_url: str | None = None


@frozen(kw_only=True)
class RackReport:
    """A rack's report of itself when it connects; None: a value that it does not give."""

    release: str | None = None
    link_idle_timeout_s: float | None = None
    versions: tuple[int | None, int | None] = (None, None)  # of the protocol, both included


async def write(db: Db, region: RegionRow, linked_racks: Mapping[UUID, RackReport]) -> None:
    """Records that the region process lives and has links to exactly `linked_racks`, with their reports, seen now.

    Deletes regions that were silent for ten minutes and addresses not seen for a week. Idempotent.
    """
    rack_ids = list(linked_racks)
    await db.execute(
        _UPSERT_REGION, region.id, region.hostname, region.pid, region.release, region.schema_number,
        region.rpc_address, region.api_url,
    )  # fmt: skip
    if region.rpc_address is not None:
        await db.execute(_UPSERT_ADDRESS, region.rpc_address)
    await db.execute(_INSERT_LINKS, region.id, rack_ids)
    await db.execute(_DELETE_LINKS, region.id, rack_ids)
    reports = [linked_racks[rack_id] for rack_id in rack_ids]
    await db.execute(
        _UPDATE_RACKS, rack_ids, [one.release for one in reports], [one.link_idle_timeout_s for one in reports],
        [one.versions[0] for one in reports], [one.versions[1] for one in reports],
    )  # fmt: skip
    await db.execute(_DELETE_DEAD_REGIONS)
    await db.execute(_DELETE_OLD_ADDRESSES)


async def delete_region(db: Db, region_id: UUID) -> None:
    """Deletes the region process and its links. Idempotent."""
    await db.execute(_DELETE_REGION, region_id)


async def addresses(db: Db) -> tuple[str, ...]:
    """Returns the RPC addresses of all regions seen within a week, sorted."""
    return tuple(row["address"] for row in await db.fetch(_SELECT_ADDRESSES))


async def linked_elsewhere(db: Db, region_id: UUID) -> bool:
    """Returns whether a rack has a link to another living region that the present schema lets continue."""
    found: bool = await db.fetchval(_LINKED_ELSEWHERE, region_id)
    return found


async def local_regions(db: Db, hostname: str, *, other_than: UUID) -> dict[UUID, int]:
    """Returns the process id of each other region process with that hostname."""
    return {row["id"]: row["pid"] for row in await db.fetch(_SELECT_LOCAL_REGIONS, hostname, other_than)}
