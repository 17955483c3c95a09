"""The rows of clusters, and which hosts are their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from common.errors import NotFound
from regiond.clusters.model import ClusterRow
from regiond.groups.model import ResourcePool, Zone

if TYPE_CHECKING:
    from regiond.db.pool import Db

_CLUSTERS = """
    select c.id, c.name, c.project, z.id as zone_id, z.name as zone_name, z.description as zone_description,
           p.id as pool_id, p.name as pool_name, p.description as pool_description,
           array(select h.id from vm_host h where h.cluster_id = c.id order by h.id) as host_ids,
           (select count(*) from guest g
             where g.project = c.project and g.kind = 'vm'
               and g.server_id in (select h.server_id from vm_host h where h.cluster_id = c.id)) as vm_count
      from cluster c join zone z on z.id = c.zone_id join resource_pool p on p.id = c.pool_id
     where $1::integer is null or c.id = $1
     order by c.id
"""
_HOST = """
    select id, name, driver, project, address, zone_id, pool_id, tags, cpu_over_commit_ratio,
           memory_over_commit_ratio, default_macvlan_mode, pinned, pinned_fingerprint, key_pair_id, cluster_id, member
      from vm_host where id = $1 for no key update
"""
_FOUND = """
    insert into cluster (name, identity, project, zone_id, pool_id) values ($1, $2, $3, $4, $5)
    on conflict (identity, project) do nothing
"""
_CLUSTER_OF = "select id, left_out from cluster where identity = $1 and project = $2 for no key update"
_JOIN = """
    update vm_host set cluster_id = $2, member = $3, name = $3
     where id = $1 and (cluster_id, member, name) is distinct from ($2, $3, $3)
"""
_COME_BACK = "update cluster set left_out = array_remove(left_out, $2) where id = $1 and $2 = any(left_out)"
_MEMBERS = "select id, member, address from vm_host where cluster_id = $1"
_ADOPT = """
    update vm_host set cluster_id = $1, member = $2
     where driver = $3 and address = $4 and project = $5 and cluster_id is null
    returning id
"""
_ADD = """
    insert into vm_host (name, driver, address, project, zone_id, pool_id, tags, cpu_over_commit_ratio,
                         memory_over_commit_ratio, reserved_cores, reserved_memory_mib, default_macvlan_mode, system_id,
                         pinned, pinned_fingerprint, key_pair_id, cluster_id, member)
    select $2, driver, $3, project, zone_id, pool_id, tags, cpu_over_commit_ratio, memory_over_commit_ratio,
           reserved_cores, reserved_memory_mib, default_macvlan_mode, $4,
           pinned, pinned_fingerprint, key_pair_id, cluster_id, $2
      from vm_host where id = $1
    on conflict (driver, address, project) do nothing
    returning id
"""
_SCHEDULE = "insert into vm_host_schedule (host_id, next_refresh_at) values ($1, now())"
_OFFLINE = """
    update vm_host set state = case when state = 'ready' then 'unreachable' else state end,
                       error_code = 'host_unreachable', error_message = $2
     where id = $1 and state <> 'removing' and (state = 'ready' or error_message is distinct from $2)
"""
_LEAVE = """
    update cluster c set left_out = array_append(c.left_out, h.member)
      from vm_host h
     where h.id = $1 and c.id = h.cluster_id and h.member is not null and not (h.member = any(c.left_out))
"""
_DROP_EMPTY = "delete from cluster c where not exists (select 1 from vm_host h where h.cluster_id = c.id)"
_CHANGE = """
    update cluster set name = coalesce($2, name), zone_id = coalesce($3, zone_id), pool_id = coalesce($4, pool_id)
     where id = $1
"""
_CHANGE_HOSTS = """
    update vm_host set zone_id = coalesce($2, zone_id), pool_id = coalesce($3, pool_id)
     where cluster_id = $1 and (zone_id, pool_id) is distinct from (coalesce($2, zone_id), coalesce($3, pool_id))
"""


@frozen(kw_only=True)
class MemberHost:
    """A host that was found to be a member, as far as its siblings take after it."""

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
    left_out: tuple[str, ...]


async def list_clusters(db: Db, cluster_id: int | None = None) -> tuple[ClusterRow, ...]:
    return tuple(
        ClusterRow(
            id=row["id"],
            name=row["name"],
            project=row["project"],
            zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
            pool=ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"]),
            host_ids=tuple(row["host_ids"]),
            vm_count=row["vm_count"],
        )
        for row in await db.fetch(_CLUSTERS, cluster_id)
    )


async def member_host(db: Db, host_id: int) -> MemberHost:
    """Locked until the caller's transaction ends. Raises NotFound."""
    row = await db.fetchrow(_HOST, host_id)
    if row is None:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    return MemberHost(
        id=row["id"],
        name=row["name"],
        driver=row["driver"],
        project=row["project"],
        zone_id=row["zone_id"],
        pool_id=row["pool_id"],
        pinned_fingerprint=row["pinned_fingerprint"] or "",
        cluster_id=row["cluster_id"],
        member=row["member"],
    )


async def found(db: Db, host: MemberHost) -> Cluster:
    """The cluster that the host is a member of, made if it is new; locked, so that siblings are added once."""
    row = await db.fetchrow(_CLUSTER_OF, host.pinned_fingerprint, host.project)
    if row is None:
        await db.execute(_FOUND, host.name, host.pinned_fingerprint, host.project, host.zone_id, host.pool_id)
        row = await db.fetchrow(_CLUSTER_OF, host.pinned_fingerprint, host.project)
    if row is None:
        raise RuntimeError(f"the cluster {host.pinned_fingerprint} was neither made nor found")
    return Cluster(id=row["id"], left_out=tuple(row["left_out"]))


async def join(db: Db, host_id: int, cluster_id: int, member: str) -> None:
    """The host is that member, and takes its name. Nothing is written when it was so."""
    await db.execute(_JOIN, host_id, cluster_id, member)
    await db.execute(_COME_BACK, cluster_id, member)


async def members(db: Db, cluster_id: int) -> dict[str, int]:
    """Host ids by member name."""
    return {row["member"]: row["id"] for row in await db.fetch(_MEMBERS, cluster_id)}


async def add_sibling(
    db: Db, host: MemberHost, cluster_id: int, *, member: str, address: str, system_id: str
) -> int | None:
    """A host for another member, like `host`: same key pair, pin, zone, pool and ratios. The id when it is new."""
    if await db.fetchval(_ADOPT, cluster_id, member, host.driver, address, host.project) is not None:
        return None
    added: int | None = await db.fetchval(_ADD, host.id, member, address, system_id)
    if added is not None:
        await db.execute(_SCHEDULE, added)
    return added


async def set_offline(db: Db, host_id: int, message: str) -> bool:
    """Whether that was news."""
    return await db.execute(_OFFLINE, host_id, message) == "UPDATE 1"


async def leave(db: Db, host_id: int) -> None:
    """A person removes the host: its member is not added again by what its siblings tell."""
    await db.execute(_LEAVE, host_id)


async def drop_empty(db: Db) -> None:
    await db.execute(_DROP_EMPTY)


async def change(db: Db, cluster_id: int, *, name: str | None, zone_id: int | None, pool_id: int | None) -> None:
    """Zone and pool are copied to the hosts of the members."""
    await db.execute(_CHANGE, cluster_id, name, zone_id, pool_id)
    await db.execute(_CHANGE_HOSTS, cluster_id, zone_id, pool_id)
