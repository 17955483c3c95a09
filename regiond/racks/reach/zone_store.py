"""SQL of the zones that racks serve, and of hosts whose credentials a rack has but no longer serves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from attrs import frozen

from regiond.db.pool import Db
from regiond.racks.reach_model import Zones
from regiond.racks.unreachable import ZoneCoverage
from regiond.requests.identifiers import findable, split_reference

# The lock keeps the zones from being deleted until the transaction ends.
_ZONES = """
    select id, id::text as text, name from zone where id::text = any($1::text[]) or name = any($2::text[])
     order by id for key share
"""
_LOCK_RACK = "select name, zone_ids, removed_at from rack where id = $1 for update"
_SET = "update rack set zone_ids = $2 where id = $1"
_EXISTING = "select array_agg(id order by id) from zone where id = any($1::integer[])"
_NAMES = "select name from zone where id = any($1::integer[]) order by name"
_DROP_REACH = """
    delete from rack_reach x using vm_host h
     where x.rack_id = $1 and h.id = x.host_id and h.zone_id <> all($2::integer[])
"""
_COVERAGE = """
    select h.name as host, z.name as zone, r.name, r.zone_ids is null or z.id = any(r.zone_ids) as serves,
           array(select o.name from zone o where o.id = any(r.zone_ids) order by o.name) as zones
      from vm_host h join zone z on z.id = h.zone_id left join rack r on r.removed_at is null
     where h.id = $1
     order by r.name
"""
_OF_LINKED_RACKS = "select r.id, r.zone_ids from rack_link l join rack r on r.id = l.rack_id where l.region_id = $1"
_OF_RACK = "select zone_ids from rack where id = $1"
_UNSERVED = """
    select distinct c.rack_id, c.host_id, now() as seen_at
      from rack_link l join rack r on r.id = l.rack_id and r.zone_ids is not null
      join rack_credential c on c.rack_id = r.id and c.forgotten_at is null
      join vm_host h on h.id = c.host_id and h.zone_id <> all(r.zone_ids)
     where l.region_id = $1
     order by c.host_id, c.rack_id
     limit 1000
"""


@frozen(kw_only=True)
class RackZones:
    """The row of a rack as far as zones depend on it. `zone_ids` is None for all zones."""

    name: str
    zone_ids: Sequence[int] | None
    removed_at: datetime | None


@frozen(kw_only=True)
class UnservedHost:
    """A host whose credentials a linked rack has although it does not serve the zone, as seen at `seen_at`."""

    rack_id: UUID
    host_id: int
    seen_at: datetime


async def zone_ids(db: Db, ids_or_names: Sequence[str]) -> dict[str, int]:
    """Returns the ids of those zones that exist, by the given texts. An id takes precedence over an equal name."""
    texts = {text: split_reference(findable(text)) for text in ids_or_names}
    given_ids = [id_ for id_, _ in texts.values() if id_ is not None]
    rows = await db.fetch(_ZONES, given_ids, [name for _, name in texts.values()])
    by_id, by_name = {row["text"]: row["id"] for row in rows}, {row["name"]: row["id"] for row in rows}
    found = {text: by_id.get(id_ or "", by_name.get(name)) for text, (id_, name) in texts.items()}
    return {text: zone_id for text, zone_id in found.items() if zone_id is not None}


async def lock(db: Db, rack_id: UUID) -> RackZones | None:
    """Locks the rack and returns its zones; None if it is unknown.

    Waits for the record of a credential that is about to be sent to the rack, and prevents further ones.
    """
    row = await db.fetchrow(_LOCK_RACK, rack_id)
    return None if row is None else RackZones(**row)


async def set_zones(db: Db, rack_id: UUID, ids: Collection[int] | None) -> None:
    """Stores the zones that the rack serves (None: all). Deletes its recorded reach of hosts of other zones."""
    await db.execute(_SET, rack_id, None if ids is None else sorted(ids))
    if ids is not None:
        await db.execute(_DROP_REACH, rack_id, sorted(ids))


async def existing(db: Db, ids: Sequence[int]) -> Sequence[int]:
    """Returns the ids of the given zones that still exist."""
    found: Sequence[int] | None = await db.fetchval(_EXISTING, list(ids))
    return found or []


async def names(db: Db, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(row["name"] for row in await db.fetch(_NAMES, list(ids)))


async def coverage(db: Db, host_id: int) -> ZoneCoverage | None:
    """Returns which racks serve the zone of the host; None if there is no such host."""
    rows = await db.fetch(_COVERAGE, host_id)
    if not rows:
        return None
    racks = [row for row in rows if row["name"] is not None]
    others = tuple((row["name"], tuple(row["zones"])) for row in racks if not row["serves"])
    first = rows[0]
    return ZoneCoverage(host=first["host"], zone=first["zone"], served=len(others) < len(racks), others=others)


async def zones_of_linked_racks(db: Db, region_id: UUID) -> dict[UUID, Zones]:
    return {row["id"]: _zones(row["zone_ids"]) for row in await db.fetch(_OF_LINKED_RACKS, region_id)}


async def zones_of_rack(db: Db, rack_id: UUID) -> Zones:
    """Returns the zones that the rack serves."""
    return _zones(await db.fetchval(_OF_RACK, rack_id))


def _zones(ids: Sequence[int] | None) -> Zones:
    return None if ids is None else frozenset(ids)


async def unserved_hosts(db: Db, region_id: UUID) -> tuple[UnservedHost, ...]:
    """Returns at most 1000 hosts whose credentials the linked racks have to delete."""
    return tuple(UnservedHost(**row) for row in await db.fetch(_UNSERVED, region_id))
