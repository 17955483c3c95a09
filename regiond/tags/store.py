"""SQL of tags. Machines, detached machines and VM hosts have names of tags in arrays.

Rows are locked in id order, machines before hosts. A duplicate name raises asyncpg's UniqueViolationError.
"""

from __future__ import annotations

from collections.abc import Sequence

from regiond.db.pool import Db
from regiond.requests.caller import Caller, seen_by
from regiond.tags.model import Tag, TagChange, TagUsers

_LIST = """
    select n.name, coalesce(t.comment, '') as comment, coalesce(t.definition, '') as definition,
           coalesce(t.kernel_opts, '') as kernel_opts
      from (select name from tag
             union
            select unnest(h.tags) from vm_host h where $1::integer[] is null or h.pool_id = any($1)
             union
            select unnest(m.tags) from machine m
             where $1::integer[] is null or m.pool_id = any($1) or m.owner_id = $2
                   or (m.owner_id is null and m.composed_by_id = $2)) n
      left join tag t on t.name = n.name
     order by n.name
"""
_READ = """
    select n.name, coalesce(t.comment, '') as comment, coalesce(t.definition, '') as definition,
           coalesce(t.kernel_opts, '') as kernel_opts
      from (select $1::text as name) n
      left join tag t on t.name = n.name
     where t.id is not null
        or exists (select from vm_host h where $1 = any(h.tags) and ($2::integer[] is null or h.pool_id = any($2)))
        or exists (select from machine m where $1 = any(m.tags)
                      and ($2::integer[] is null or m.pool_id = any($2) or m.owner_id = $3
                           or (m.owner_id is null and m.composed_by_id = $3)))
"""
_UNKNOWN = """
    select given.name
      from unnest($1::text[]) with ordinality given (name, number)
     where not exists (select from tag t where t.name = given.name)
       and not exists (select from vm_host h
                        where h.tags @> array[given.name] and ($2::integer[] is null or h.pool_id = any($2)))
       and not exists (select from machine m
                        where m.tags @> array[given.name]
                          and ($2::integer[] is null or m.pool_id = any($2) or m.owner_id = $3
                               or (m.owner_id is null and m.composed_by_id = $3)))
     order by given.number
"""
_INSERT = "insert into tag (name, comment, definition, kernel_opts) values ($1, $2, $3, $4)"
# The row, made if only machines or hosts have the tag: nobody renames or deletes it until the transaction ends.
_ENSURE = "insert into tag (name) values ($1) on conflict (name) do nothing"
_LOCK = "select id from tag where name = $1 for update"
_UPDATE = """
    update tag set name = coalesce($2, name), comment = coalesce($3, comment),
           definition = coalesce($4, definition), kernel_opts = coalesce($5, kernel_opts)
     where name = $1
    returning name, comment, definition, kernel_opts
"""
_DELETE = "delete from tag where name = $1"
_RENAME_ON_MACHINES = """
    with tagged as (select id from machine where $1 = any(tags) order by id for no key update)
    update machine m set tags = array_replace(m.tags, $1, $2) from tagged where m.id = tagged.id
"""
_RENAME_ON_HOSTS = """
    with tagged as (select id from vm_host where $1 = any(tags) order by id for no key update)
    update vm_host h set tags = array_replace(h.tags, $1, $2) from tagged where h.id = tagged.id
"""
_RENAME_ON_DETACHED = "update detached_machine set tags = array_replace(tags, $1, $2) where $1 = any(tags)"
_DROP_FROM_MACHINES = """
    with tagged as (select id from machine where $1 = any(tags) order by id for no key update),
         changed as (
            update machine m set tags = array_remove(m.tags, $1) from tagged where m.id = tagged.id returning 1)
    select count(*) from changed
"""
_DROP_FROM_HOSTS = """
    with tagged as (select id from vm_host where $1 = any(tags) order by id for no key update),
         changed as (
            update vm_host h set tags = array_remove(h.tags, $1) from tagged where h.id = tagged.id returning 1)
    select count(*) from changed
"""
_DROP_FROM_DETACHED = "update detached_machine set tags = array_remove(tags, $1) where $1 = any(tags)"
_NAMED = """
    select distinct on (given) given, system_id
      from unnest($1::text[]) given
      join lateral (
           select system_id, 1 as choice from machine where system_id = given
           union all select system_id, 2 from vm_host where system_id = given
           union all select system_id, 3 from machine where hostname = given
           union all select system_id, 4 from vm_host where name = given) node on true
     order by given, choice
"""
_ADD_TO_MACHINES = """
    with wanted as (select id from machine where system_id = any($1::text[]) and $2 <> all(tags)
                     order by id for no key update)
    update machine m set tags = array_append(m.tags, $2) from wanted where m.id = wanted.id and $2 <> all(m.tags)
"""
_ADD_TO_HOSTS = """
    with wanted as (select id from vm_host where system_id = any($1::text[]) and $2 <> all(tags)
                     order by id for no key update)
    update vm_host h set tags = array_append(h.tags, $2) from wanted where h.id = wanted.id and $2 <> all(h.tags)
"""
_REMOVE_FROM_MACHINES = """
    with wanted as (select id from machine where system_id = any($1::text[]) and $2 = any(tags)
                     order by id for no key update)
    update machine m set tags = array_remove(m.tags, $2) from wanted where m.id = wanted.id
"""
_REMOVE_FROM_HOSTS = """
    with wanted as (select id from vm_host where system_id = any($1::text[]) and $2 = any(tags)
                     order by id for no key update)
    update vm_host h set tags = array_remove(h.tags, $2) from wanted where h.id = wanted.id
"""


async def all_tags(db: Db, *, caller: Caller | None = None) -> tuple[Tag, ...]:
    """Returns the tags that were created, and those of the machines and hosts that the caller may see, by name."""
    return tuple(Tag(**row) for row in await db.fetch(_LIST, *seen_by(caller)))


async def read(db: Db, name: str, *, caller: Caller | None) -> Tag | None:
    row = await db.fetchrow(_READ, name, *seen_by(caller))
    return None if row is None else Tag(**row)


async def unknown(db: Db, names: Sequence[str], *, caller: Caller | None) -> tuple[str, ...]:
    """Returns those of the names that no tag has which `all_tags` would return, in their order."""
    rows = await db.fetch(_UNKNOWN, list(names), *seen_by(caller))
    return tuple(row["name"] for row in rows)


async def insert(db: Db, tag: Tag) -> None:
    await db.execute(_INSERT, tag.name, tag.comment, tag.definition, tag.kernel_opts)


async def lock(db: Db, name: str) -> None:
    """Prevents other changes of the tag until the transaction ends; stores it if only machines or hosts have it."""
    await db.execute(_ENSURE, name)
    await db.execute(_LOCK, name)


async def update(db: Db, name: str, change: TagChange) -> Tag:
    """Changes the tag, which the caller has locked, and renames it wherever it is."""
    row = await db.fetchrow(_UPDATE, name, change.name, change.comment, change.definition, change.kernel_opts)
    assert row is not None  # noqa: S101 - it is locked
    if change.name is not None and change.name != name:
        await db.execute(_RENAME_ON_MACHINES, name, change.name)
        await db.execute(_RENAME_ON_HOSTS, name, change.name)
        await db.execute(_RENAME_ON_DETACHED, name, change.name)
    return Tag(**row)


async def delete(db: Db, name: str) -> TagUsers:
    """Deletes the tag, also from machines and hosts; returns how many had it."""
    await db.execute(_DELETE, name)
    machines = await db.fetchval(_DROP_FROM_MACHINES, name)
    hosts = await db.fetchval(_DROP_FROM_HOSTS, name)
    await db.execute(_DROP_FROM_DETACHED, name)
    return TagUsers(machines=machines, hosts=hosts)


async def named_nodes(db: Db, given: Sequence[str]) -> dict[str, str]:
    """Returns system ids of machines and hosts by what names them: a system id, else a hostname or a host's name."""
    return {row["given"]: row["system_id"] for row in await db.fetch(_NAMED, list(given))}


async def add_to(db: Db, name: str, system_ids: Sequence[str]) -> None:
    """Idempotent."""
    await db.execute(_ADD_TO_MACHINES, list(system_ids), name)
    await db.execute(_ADD_TO_HOSTS, list(system_ids), name)


async def remove_from(db: Db, name: str, system_ids: Sequence[str]) -> None:
    """Idempotent."""
    await db.execute(_REMOVE_FROM_MACHINES, list(system_ids), name)
    await db.execute(_REMOVE_FROM_HOSTS, list(system_ids), name)
