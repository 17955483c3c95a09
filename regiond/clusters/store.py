"""Rows of clusters and of the membership of hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from attrs import frozen

from common.errors import NotFound
from common.hosts.host_settings import SETTINGS
from regiond.clusters.model import ClusterRow
from regiond.db.pool import Db, of_row
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.host_names import free_host_name, is_name_taken
from regiond.hosts.store import move_to_zone
from regiond.requests.caller import Caller, visible_pool_ids

T = TypeVar("T")

_NAME_TRIES = 4
_SETTINGS = ", ".join(SETTINGS)
_CLUSTERS = """
    select c.id, c.name, c.project, z.id as zone_id, z.name as zone_name, z.description as zone_description,
           p.id as pool_id, p.name as pool_name, p.description as pool_description,
           array(select h.id from vm_host h
                  where h.cluster_id = c.id and ($2::integer[] is null or h.pool_id = any($2))
                  order by h.id) as host_ids,
           (select count(*) from guest g
             where g.project = c.project and g.kind = 'vm'
               and g.server_id in (select h.server_id from vm_host h where h.cluster_id = c.id)) as vm_count
      from cluster c join zone z on z.id = c.zone_id join resource_pool p on p.id = c.pool_id
     where ($1::integer is null or c.id = $1) and ($2::integer[] is null or c.pool_id = any($2))
     order by c.id
"""
_COUNT = "select count(*) from cluster where $1::integer[] is null or pool_id = any($1)"
_HOST = """
    select id, name, driver, project, zone_id, pool_id, pinned_fingerprint, cluster_id, member
      from vm_host where id = $1 for no key update
"""
_KNOWN_CLUSTER = """
    select h.pinned_fingerprint as certificate, c.excluded_members,
           array(select m.member from vm_host m where m.cluster_id = c.id and m.id <> h.id) as hosts,
           array(select problem ->> 'message' from jsonb_array_elements(h.problems) problem) as problems
      from vm_host h left join cluster c on c.identity = coalesce(h.pinned_fingerprint, '') and c.project = h.project
     where h.id = $1
"""
_INSERT = """
    insert into cluster (name, identity, project, zone_id, pool_id) values ($1, $2, $3, $4, $5)
    on conflict (identity, project) do nothing
"""
_CLUSTER_OF = "select id, excluded_members from cluster where identity = $1 and project = $2 for no key update"
_JOIN = """
    update vm_host set cluster_id = $2, member = $3, name = $4
     where id = $1 and (cluster_id, member, name) is distinct from ($2, $3, $4)
"""
_INCLUDE_MEMBER = """
    update cluster set excluded_members = array_remove(excluded_members, $2)
     where id = $1 and $2 = any(excluded_members)
"""
_MEMBERS = "select id, member, address from vm_host where cluster_id = $1"
_JOIN_EXISTING = """
    update vm_host set cluster_id = $1, member = $2
     where driver = $3 and address = $4 and project = $5 and cluster_id is null and pinned_fingerprint = $6
    returning id
"""
# Who else is in charge of the members, such as a MAAS, is in charge of a new one, too. A person's maintenance is not.
_ADD = f"""
    insert into vm_host (name, driver, address, project, zone_id, pool_id, tags, {_SETTINGS}, system_id,
                         pinned, pinned_fingerprint, pinned_expires_at, key_pair_id, cluster_id, member,
                         maintenance_since, maintenance_by, maintenance_reason, maintenance_holder)
    select $5, driver, $3, project, zone_id, pool_id, tags, {_SETTINGS}, $4,
           pinned, pinned_fingerprint, pinned_expires_at, key_pair_id, cluster_id, $2,
           case when maintenance_holder is not null then now() end,
           case when maintenance_holder is not null then maintenance_by end,
           case when maintenance_holder is not null then maintenance_reason end, maintenance_holder
      from vm_host where id = $1
    on conflict (driver, address, project) do nothing
    returning id
"""  # noqa: S608  # the names of our own attributes
_SCHEDULE = "insert into vm_host_schedule (host_id, next_refresh_at) values ($1, now())"
_OFFLINE = """
    update vm_host set state = case when state = 'ready' then 'unreachable' else state end,
                       error_code = 'host_unreachable', error_message = $2, error_details = '{}'
     where id = $1 and state <> 'removing' and (state = 'ready' or error_message is distinct from $2)
"""
_EXCLUDE_MEMBER = """
    update cluster c set excluded_members = array_append(c.excluded_members, h.member)
      from vm_host h
     where h.id = $1 and c.id = h.cluster_id and h.member is not null and not (h.member = any(c.excluded_members))
"""
_DROP_EMPTY = "delete from cluster c where not exists (select 1 from vm_host h where h.cluster_id = c.id)"
_CHANGE = """
    update cluster set name = coalesce($2, name), zone_id = coalesce($3, zone_id), pool_id = coalesce($4, pool_id)
     where id = $1
"""
_HOSTS = "select id from vm_host where cluster_id = $1 order by id"
_CHANGE_POOLS = "update vm_host set pool_id = $2 where cluster_id = $1 and pool_id <> $2"


@frozen(kw_only=True)
class MemberHost:
    """A host that is a member, with what hosts of other members are created from."""

    id: int
    name: str
    driver: str
    project: str
    zone_id: int
    pool_id: int
    pinned_fingerprint: str
    cluster_id: int | None
    member: str | None


@frozen(kw_only=True)
class Cluster:
    id: int
    excluded_members: tuple[str, ...]


@frozen(kw_only=True)
class KnownCluster:
    """The cluster of a host as the database has it; without hosts if it is new.

    `certificate` is the SHA-256 that all members present, None if none is pinned. `hosts` names the members that are
    other hosts. `problems` has the messages of the reporting host's problems.
    """

    certificate: str | None
    hosts: frozenset[str] = frozenset()
    excluded_members: frozenset[str] = frozenset()
    problems: frozenset[str] = frozenset()


async def known_cluster(db: Db, host_id: int) -> KnownCluster:
    """Raises NotFound."""
    row = await db.fetchrow(_KNOWN_CLUSTER, host_id)
    if row is None:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    return KnownCluster(
        certificate=row["certificate"],
        hosts=frozenset(row["hosts"]),
        excluded_members=frozenset(row["excluded_members"] or ()),
        problems=frozenset(row["problems"]),
    )


async def count_clusters(db: Db, *, caller: Caller | None = None) -> int:
    """Returns the number of clusters that the caller may see; no caller: all."""
    found: int = await db.fetchval(_COUNT, visible_pool_ids(caller))
    return found


async def list_clusters(
    db: Db, cluster_id: int | None = None, *, caller: Caller | None = None
) -> tuple[ClusterRow, ...]:
    """Returns the clusters that the caller may see, each with the hosts that it may see; no caller: all."""
    return tuple(
        of_row(
            ClusterRow,
            row,
            zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
            pool=ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"]),
            host_ids=tuple(row["host_ids"]),
        )
        for row in await db.fetch(_CLUSTERS, cluster_id, visible_pool_ids(caller))
    )


async def member_host(db: Db, host_id: int) -> MemberHost:
    """Locks the host until the transaction ends. Raises NotFound."""
    row = await db.fetchrow(_HOST, host_id)
    if row is None:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    return of_row(MemberHost, row, pinned_fingerprint=row["pinned_fingerprint"] or "")


async def find_or_create(db: Db, host: MemberHost) -> Cluster:
    """The host's cluster, created if it is new. Locks it, so that each member is added once."""
    row = await db.fetchrow(_CLUSTER_OF, host.pinned_fingerprint, host.project)
    if row is None:
        await db.execute(_INSERT, host.name, host.pinned_fingerprint, host.project, host.zone_id, host.pool_id)
        row = await db.fetchrow(_CLUSTER_OF, host.pinned_fingerprint, host.project)
    if row is None:
        raise RuntimeError(f"the cluster {host.pinned_fingerprint} was neither created nor found")
    return Cluster(id=row["id"], excluded_members=tuple(row["excluded_members"]))


async def join(db: Db, host_id: int, cluster_id: int, member: str) -> None:
    """Makes the host that member, with its name, or a numbered one if another host has it. Idempotent."""

    async def update(name: str) -> None:
        await db.execute(_JOIN, host_id, cluster_id, member, name)

    await _with_free_name(db, member, update, host_id)
    await db.execute(_INCLUDE_MEMBER, cluster_id, member)


async def members(db: Db, cluster_id: int) -> dict[str, int]:
    """Host ids by member name."""
    return {row["member"]: row["id"] for row in await db.fetch(_MEMBERS, cluster_id)}


async def add_member_host(
    db: Db, host: MemberHost, cluster_id: int, *, member: str, address: str, system_id: str
) -> int | None:
    """Adds a host for another member, with the key pair, pin, zone, pool, tags and settings of `host`.

    Its name is that of the member, numbered if another host has it. Returns the id, or None if a host with that
    address existed: if the same certificate is pinned for it, it becomes the member, else it does not change.
    """
    existing = _JOIN_EXISTING, cluster_id, member, host.driver, address, host.project, host.pinned_fingerprint
    if await db.fetchval(*existing) is not None:
        return None

    async def insert(name: str) -> int | None:
        found: int | None = await db.fetchval(_ADD, host.id, member, address, system_id, name)
        return found

    added = await _with_free_name(db, member, insert)
    if added is not None:
        await db.execute(_SCHEDULE, added)
    return added


async def _with_free_name(db: Db, wanted: str, write: Callable[[str], Awaitable[T]], host_id: int | None = None) -> T:
    """Runs `write` with a free name, again if another transaction takes the name in the meantime."""
    for left in range(_NAME_TRIES - 1, -1, -1):
        name = await free_host_name(db, wanted, host_id)
        try:
            async with db.transaction():
                return await write(name)
        except asyncpg.UniqueViolationError as error:
            if not left or not is_name_taken(error):
                raise
    raise AssertionError("unreachable: the last try returns or raises")


async def set_offline(db: Db, host_id: int, message: str) -> bool:
    """Whether the row changed."""
    return await db.execute(_OFFLINE, host_id, message) == "UPDATE 1"


async def leave(db: Db, host_id: int) -> None:
    """Excludes the member of a host that a user removes: discovery runs of other members do not add it again."""
    await db.execute(_EXCLUDE_MEMBER, host_id)


async def drop_empty(db: Db) -> None:
    await db.execute(_DROP_EMPTY)


async def change(db: Db, cluster_id: int, *, name: str | None, zone_id: int | None, pool_id: int | None) -> None:
    """Changes the cluster, and copies zone and pool to the hosts of its members, whose machines are in their zone."""
    await db.execute(_CHANGE, cluster_id, name, zone_id, pool_id)
    if zone_id is not None:
        await move_to_zone(db, [row["id"] for row in await db.fetch(_HOSTS, cluster_id)], zone_id)
    if pool_id is not None:
        await db.execute(_CHANGE_POOLS, cluster_id, pool_id)
