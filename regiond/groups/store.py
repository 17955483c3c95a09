"""SQL of zones and resource pools. A duplicate name raises asyncpg's UniqueViolationError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import fields

from regiond.db.pool import Db, of_row
from regiond.groups.model import GroupUsers, PoolChange, ResourcePool, Zone
from regiond.requests.caller import Caller, visible_pool_ids
from regiond.requests.identifiers import split_reference

_ZONES = "select id, name, description from zone order by name"
_ZONE = "select id, name, description from zone where id::text = $1 or name = $2"
_ZONE_BY_ID_OR_NAME = """
    select id, name, description from zone where id::text = $1 or name = $2 order by (id::text = $1) desc limit 1
"""
_INSERT_ZONE = "insert into zone (name, description) values ($1, $2) returning id, name, description"
_UPDATE_ZONE = """
    update zone set name = coalesce($2, name), description = coalesce($3, description)
     where name = $1
    returning id, name, description
"""
# Whoever adds a machine holds the lock of its server before it refers to the zone of the host.
_LOCK_SERVERS = """
    select from server where id in (select server_id from vm_host where zone_id = $1) order by id for no key update
"""
# The lock prevents new references until the zone is deleted. In id order, so that two deletions do not deadlock.
_LOCK_ZONES = "select id, name, description from zone where id = any($1::integer[]) order by id for update"
_ZONE_USED = """
    select (select count(*) from machine where zone_id = $1) as machines,
           (select count(*) from vm_host where zone_id = $1) as hosts,
           (select count(*) from cluster where zone_id = $1) as clusters,
           (select count(*) from device where zone_id = $1) as devices,
           (select count(*) from rack where $1 = any(zone_ids) and removed_at is null) as racks
"""
# Locked in id order, like the heartbeat does: no deadlock.
_MOVE_RACKS = """
    with serving as (select id from rack where $1 = any(zone_ids) order by id for no key update)
    update rack r
       set zone_ids = (select array_agg(distinct one order by one)
                         from unnest(array_replace(r.zone_ids, $1, $2)) as one)
      from serving where r.id = serving.id
"""
_MOVE_TOKENS = "update rack_token set zone_ids = array_replace(zone_ids, $1, $2) where $1 = any(zone_ids)"
_DROP_FROM_RACKS = "update rack set zone_ids = array_remove(zone_ids, $1) where $1 = any(zone_ids)"
_DROP_FROM_TOKENS = "update rack_token set zone_ids = array_remove(zone_ids, $1) where $1 = any(zone_ids)"
_SERVED_TOO = """
    select r.name,
           (select count(*) from vm_host h
             where h.zone_id = $2 and $2 <> all(r.zone_ids)) as hosts
      from rack r where $1 = any(r.zone_ids) and r.removed_at is null order by r.name
"""
_MOVE_HOSTS = "update vm_host set zone_id = $2 where zone_id = $1"
_MOVE_MACHINES = "update machine set zone_id = $2 where zone_id = $1"
_MOVE_CLUSTERS = "update cluster set zone_id = $2 where zone_id = $1"
_MOVE_DEVICES = "update device set zone_id = $2 where zone_id = $1"
_DELETE_ZONE = "delete from zone where id = $1"

_POOLS = """
    select * from resource_pool
     where $1::integer[] is null or id = any($1)
     order by name
"""
_POOL = """
    select * from resource_pool
     where (id::text = $1 or name = $2) and ($3::integer[] is null or id = any($3))
     order by (id::text = $1) desc
     limit 1
"""
# A change has the names of the columns: a new field needs no SQL. Columns that are not given keep their values.
_CHANGED = ", ".join(one.name for one in fields(PoolChange))
_INSERT_POOL = f"""
    insert into resource_pool ({_CHANGED})
    select {_CHANGED} from jsonb_populate_record(null::resource_pool, '{{"description": ""}}' || $1::jsonb)
    returning *
"""  # noqa: S608  # the names of our own attributes
_UPDATE_POOL = f"""
    update resource_pool p
       set ({_CHANGED}) = (select {_CHANGED} from jsonb_populate_record(p, $2::jsonb) as given)
     where id = $1
    returning *
"""  # noqa: S608  # the names of our own attributes
_LOCK_POOL = "select from resource_pool where id = $1 for update"
_POOL_USED = """
    select (select count(*) from machine where pool_id = $1) as machines,
           (select count(*) from vm_host where pool_id = $1) as hosts,
           (select count(*) from cluster where pool_id = $1) as clusters
"""
_DELETE_POOL = "delete from resource_pool where id = $1"


async def zones(db: Db) -> tuple[Zone, ...]:
    """Returns all, by name."""
    return tuple(Zone(**row) for row in await db.fetch(_ZONES))


async def zone(db: Db, reference: str) -> Zone | None:
    """Finds by name, or as `id:2`. A bare number is a name: MAAS's paths of zones have no ids."""
    id_, name = split_reference(reference)
    row = await db.fetchrow(_ZONE, id_ if name is None else None, name)
    return None if row is None else Zone(**row)


async def zone_by_id_or_name(db: Db, id_or_name: str) -> Zone | None:
    """Finds by id, then by name."""
    row = await db.fetchrow(_ZONE_BY_ID_OR_NAME, *split_reference(id_or_name))
    return None if row is None else Zone(**row)


async def insert_zone(db: Db, name: str, description: str) -> Zone:
    row = await db.fetchrow(_INSERT_ZONE, name, description)
    assert row is not None  # noqa: S101 - `returning` of an insert that did not raise
    return Zone(**row)


async def update_zone(db: Db, name: str, new_name: str | None, description: str | None) -> Zone | None:
    row = await db.fetchrow(_UPDATE_ZONE, name, new_name, description)
    return None if row is None else Zone(**row)


async def lock_zones(db: Db, ids: Iterable[int]) -> dict[int, Zone]:
    """Returns those of the zones that still exist, by id, and prevents new members until the transaction ends."""
    return {row["id"]: Zone(**row) for row in await db.fetch(_LOCK_ZONES, list(ids))}


async def lock_servers(db: Db, zone_id: int) -> None:
    """Locks the servers of the zone's hosts until the transaction ends: no machine is added to them meanwhile."""
    await db.execute(_LOCK_SERVERS, zone_id)


async def users_of_zone(db: Db, zone_id: int) -> GroupUsers:
    row = await db.fetchrow(_ZONE_USED, zone_id)
    assert row is not None  # noqa: S101 - counts are always a row
    return GroupUsers(**row)


async def move_members(db: Db, zone_id: int, to_zone_id: int) -> None:
    """Moves the zone's hosts, machines, devices and clusters to another zone; its racks serve that one instead.

    The caller has called `lock_zones`.
    """
    for statement in (_MOVE_RACKS, _MOVE_TOKENS, _MOVE_HOSTS, _MOVE_MACHINES, _MOVE_DEVICES, _MOVE_CLUSTERS):
        await db.execute(statement, zone_id, to_zone_id)


async def delete_zone(db: Db, zone_id: int) -> None:
    """Deletes a zone without members. Tokens and removed racks of the zone lose it."""
    await db.execute(_DROP_FROM_TOKENS, zone_id)
    await db.execute(_DROP_FROM_RACKS, zone_id)
    await db.execute(_DELETE_ZONE, zone_id)


async def racks_that_move(db: Db, zone_id: int, to_zone_id: int) -> Mapping[str, int]:
    """Returns the racks of the zone by name, each with the number of hosts in the other zone that it serves newly."""
    return {row["name"]: row["hosts"] for row in await db.fetch(_SERVED_TOO, zone_id, to_zone_id)}


async def pools(db: Db, *, caller: Caller | None = None) -> tuple[ResourcePool, ...]:
    """Returns those that the caller may see, by name; no caller: all."""
    return tuple(of_row(ResourcePool, row) for row in await db.fetch(_POOLS, visible_pool_ids(caller)))


async def pool(db: Db, id_or_name: str, *, caller: Caller | None = None) -> ResourcePool | None:
    """Finds by id, then by name: a pool whose name is the id of another is found only by its own id."""
    row = await db.fetchrow(_POOL, *split_reference(id_or_name), visible_pool_ids(caller))
    return None if row is None else of_row(ResourcePool, row)


async def insert_pool(db: Db, new: PoolChange) -> ResourcePool:
    row = await db.fetchrow(_INSERT_POOL, new.columns())
    assert row is not None  # noqa: S101 - `returning` of an insert that did not raise
    return of_row(ResourcePool, row)


async def update_pool(db: Db, pool_id: int, change: PoolChange) -> ResourcePool | None:
    """Changes the fields that are not None."""
    row = await db.fetchrow(_UPDATE_POOL, pool_id, change.columns())
    return None if row is None else of_row(ResourcePool, row)


async def users_of_pool(db: Db, pool_id: int) -> GroupUsers:
    """Counts the members of the pool, and prevents new ones until the transaction ends."""
    await db.execute(_LOCK_POOL, pool_id)
    row = await db.fetchrow(_POOL_USED, pool_id)
    assert row is not None  # noqa: S101 - counts are always a row
    return GroupUsers(**row)


async def delete_pool(db: Db, pool_id: int) -> None:
    await db.execute(_DELETE_POOL, pool_id)
