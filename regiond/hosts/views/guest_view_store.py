"""Reads guests, managed or foreign, with the host that each is on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from regiond.db.pool import Db, Row
from regiond.hosts.model import GuestCount, GuestFilter, GuestView
from regiond.requests.caller import Caller, seen_by

_GUEST_FIELDS = """
    select g.id, g.name, g.project, g.machine_id, g.power_state, g.cores, g.memory_mib, g.pinned_core_ids,
           g.huge_pages_backed, g.started_at, m.system_id, m.hostname,
           owner.id as host_id, owner.name as host_name
      from guest g
      left join machine m on m.id = g.machine_id
      left join lateral (select id from vm_host where server_id = g.server_id
                          order by project <> g.project, id limit 1) h on true
      left join vm_host owner on owner.id = coalesce(m.host_id, h.id)
"""
_GUESTS = f"""
    {_GUEST_FIELDS}
     where ($1::integer is null or g.id = $1) and ($2::integer is null or owner.id = $2)
       and ($3::integer[] is null or coalesce(m.pool_id, owner.pool_id) = any($3) or m.owner_id = $4
            or (m.owner_id is null and m.composed_by_id = $4))
     order by g.id
"""
_GUESTS_BY_IDS = _GUEST_FIELDS + " where g.id = any($1::integer[]) order by g.id"
_GUEST_IDS = """
    select array(
        select g.id from guest g
          left join machine m on m.id = g.machine_id
          left join lateral (select id from vm_host where server_id = g.server_id
                              order by project <> g.project, id limit 1) h on true
          left join vm_host owner on owner.id = coalesce(m.host_id, h.id)
         where ($1::integer[] is null or coalesce(m.pool_id, owner.pool_id) = any($1) or m.owner_id = $2
                or (m.owner_id is null and m.composed_by_id = $2))
           and ($3::integer is null or owner.id = $3) and ($4::boolean is null or (m.id is null) = $4)
           and ($5::text is null or g.name = $5)
         order by g.id)
"""

_GUEST_COUNTS = """
    select h.id as host_id, count(g.machine_id) as machines, count(*) - count(g.machine_id) as foreign_guests
      from vm_host h
      join guest g on g.server_id = h.server_id and g.project = h.project
     where h.id = any($1::integer[])
     group by h.id
"""


async def guest_counts(db: Db, host_ids: Iterable[int]) -> dict[int, GuestCount]:
    """Returns the counts of guests by host id, with one query; a host without guests is left out."""
    rows = await db.fetch(_GUEST_COUNTS, list(host_ids))
    return {row["host_id"]: GuestCount(machines=row["machines"], foreign=row["foreign_guests"]) for row in rows}


async def guest_ids(db: Db, wanted: GuestFilter, *, caller: Caller | None = None) -> list[int]:
    visible, account_id = seen_by(caller)
    filters = wanted.host_id, wanted.foreign, wanted.name
    found: list[int] = await db.fetchval(_GUEST_IDS, visible, account_id, *filters)
    return found


async def list_guests(
    db: Db, guest_id: int | None = None, *, host_id: int | None = None, caller: Caller | None = None
) -> tuple[GuestView, ...]:
    """Returns all guests, or the given one, or those of one host, as far as the caller may see them, by id.

    The guest of a machine is in the machine's resource pool, a foreign guest in the pool of its host.
    """
    return _guests(await db.fetch(_GUESTS, guest_id, host_id, *seen_by(caller)))


async def read_guests(db: Db, ids: Sequence[int]) -> tuple[GuestView, ...]:
    """Returns the guests with these ids that exist, by id."""
    return _guests(await db.fetch(_GUESTS_BY_IDS, ids))


def _guests(rows: Iterable[Row]) -> tuple[GuestView, ...]:
    return tuple(
        GuestView(**{**dict(row), "pinned_core_ids": tuple(row["pinned_core_ids"])})
        for row in rows
        if row["host_id"] is not None
    )


async def guests_of_host(db: Db, host_id: int) -> tuple[GuestView, ...]:
    """Returns the guests of the host, managed and foreign, by id; none for an unknown host."""
    return await list_guests(db, host_id=host_id)
