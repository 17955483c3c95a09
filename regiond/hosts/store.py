"""The rows of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg
from attrs import frozen

from common.errors import InvalidRequest, NotFound
from common.values import DriverType
from regiond.credentials import key_pair_store as key_pairs
from regiond.ledger import store as ledger

if TYPE_CHECKING:
    from regiond.db.pool import Db

_INSERT = """
    insert into vm_host (name, driver, address, project, zone_id, pool_id, tags, cpu_over_commit_ratio,
                         memory_over_commit_ratio, reserved_cores, reserved_memory_mib, default_macvlan_mode,
                         system_id, public_key)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    returning id
"""
_SCHEDULE = "insert into vm_host_schedule (host_id, next_refresh_at) values ($1, now() + interval '1 minute')"

_UPDATE = """
    update vm_host
       set name = coalesce($2, name), address = coalesce($3, address), zone_id = coalesce($4, zone_id),
           pool_id = coalesce($5, pool_id), tags = coalesce($6, tags),
           cpu_over_commit_ratio = coalesce($7, cpu_over_commit_ratio),
           memory_over_commit_ratio = coalesce($8, memory_over_commit_ratio),
           reserved_cores = coalesce($9, reserved_cores), reserved_memory_mib = coalesce($10, reserved_memory_mib),
           default_storage_pool_id = coalesce($11, default_storage_pool_id),
           default_macvlan_mode = coalesce($12, default_macvlan_mode)
     where id = $1
"""
_POOL_OF_HOST = """
    select p.id from storage_pool p join vm_host h on h.server_id = p.server_id
     where h.id = $1 and p.missing_since is null and (p.pool_key = $2 or p.name = $2)
     order by p.pool_key <> $2 limit 1
"""
_ADD_TAG = "update vm_host set tags = array_append(tags, $2) where id = $1 and not ($2 = any(tags))"
_REMOVE_TAG = "update vm_host set tags = array_remove(tags, $2) where id = $1 and $2 = any(tags)"
_PIN = "update vm_host set pinned = $2, pinned_fingerprint = $3 where id = $1"
# All hosts of the server show the same certificate: who has accepted it for one has accepted it.
_PIN_SHARED = """
    update vm_host set pinned = $2, pinned_fingerprint = $3
     where key_pair_id = (select key_pair_id from vm_host where id = $1)
       and pinned_fingerprint = (select pinned_fingerprint from vm_host where id = $1)
"""
_UNPIN = "update vm_host set pinned = null, pinned_fingerprint = null where id = $1"
_UNREACHABLE = """
    update vm_host set state = case when state = 'ready' then 'unreachable' else state end, error_code = $2,
                       error_message = $3
     where id = $1 and (error_code is distinct from $2 or error_message is distinct from $3 or state = 'ready')
"""
_REMOVING = "update vm_host set state = 'removing' where id = $1"
_OFFERED = """
    update vm_host set state = case when server_id is null then 'pending' else 'unreachable' end
     where id = $1 and state = 'removing'
"""
_KEEP = "select 1 from vm_host where id = $1 for key share"
_LOCK = "select server_id from vm_host where id = $1 for update"
_LOOK_AGAIN = """
    update vm_host_schedule set next_refresh_at = now()
     where host_id in (select id from vm_host where server_id = $1)
"""
_CARRY_SERVERS = """
    update server s set identity = replace(s.identity, $2, $3)
     where s.identity like 'lxd/%' and position($2 in s.identity) > 0
       and s.id in (select h.server_id from vm_host h join vm_host me on me.id = $1
                     where h.id = me.id or h.pinned_fingerprint = me.pinned_fingerprint)
"""
_CARRY_CLUSTERS = "update cluster set identity = $2 where identity = $1"
_DELETE = "delete from vm_host where id = $1"
_LINKED = """
    select driver, address, project, member, pinned, pinned_fingerprint, system_id, name, state, trust_refusal,
           server_id is not null as discovered, created_at > now() - interval '1 hour' as is_new
      from vm_host where id = $1
"""
_TRUST_REFUSAL = "update vm_host set trust_refusal = $2 where id = $1 and trust_refusal is distinct from $2"


@frozen(kw_only=True)
class Link:
    """What it takes to speak to a host, without its secrets."""

    driver: DriverType
    address: str
    project: str
    member: str | None
    pinned: str | None
    pinned_fingerprint: str | None
    system_id: str
    name: str
    state: str
    trust_refusal: str | None
    discovered: bool  # ever
    is_new: bool  # added within the last hour


async def link(db: Db, host_id: int) -> Link:
    row = await db.fetchrow(_LINKED, host_id)
    if row is None:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    return Link(**{**dict(row), "driver": DriverType(row["driver"])})


async def insert(
    db: Db,
    *,
    name: str,
    driver: DriverType,
    address: str,
    project: str,
    zone_id: int,
    pool_id: int,
    tags: Sequence[str],
    cpu_over_commit_ratio: float,
    memory_over_commit_ratio: float,
    reserved_cores: int,
    reserved_memory_mib: int,
    default_macvlan_mode: str | None,
    system_id: str,
    public_key: str | None,
) -> int:
    """Raises InvalidRequest when a host with this driver, address and project is there already."""
    try:
        async with db.transaction():
            host_id: int = await db.fetchval(
                _INSERT, name, driver.value, address, project, zone_id, pool_id, list(tags), cpu_over_commit_ratio,
                memory_over_commit_ratio, reserved_cores, reserved_memory_mib, default_macvlan_mode, system_id,
                public_key,
            )  # fmt: skip
            await db.execute(_SCHEDULE, host_id)
    except asyncpg.UniqueViolationError as error:
        raise _twice(name) from error
    except asyncpg.ForeignKeyViolationError as error:
        raise _just_gone(error) from error
    return host_id


def _just_gone(error: asyncpg.ForeignKeyViolationError) -> InvalidRequest:
    return InvalidRequest(f"The zone or pool has just been removed: {error.detail}")


def _twice(name: str) -> InvalidRequest:
    return InvalidRequest(f"Pod {name} with type and parameters already exist.")


async def update(
    db: Db,
    host_id: int,
    *,
    name: str | None,
    address: str | None,
    zone_id: int | None,
    pool_id: int | None,
    tags: Sequence[str] | None,
    cpu_over_commit_ratio: float | None,
    memory_over_commit_ratio: float | None,
    reserved_cores: int | None,
    reserved_memory_mib: int | None,
    default_storage_pool_id: int | None,
    default_macvlan_mode: str | None,
) -> None:
    """None keeps what is there."""
    try:
        async with db.transaction():
            await db.execute(
                _UPDATE, host_id, name, address, zone_id, pool_id, None if tags is None else list(tags),
                cpu_over_commit_ratio, memory_over_commit_ratio, reserved_cores, reserved_memory_mib,
                default_storage_pool_id, default_macvlan_mode,
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise _twice(name or str(host_id)) from error
    except asyncpg.ForeignKeyViolationError as error:
        raise _just_gone(error) from error


async def storage_pool_id(db: Db, host_id: int, key_or_name: str) -> int | None:
    found: int | None = await db.fetchval(_POOL_OF_HOST, host_id, key_or_name)
    return found


async def add_tag(db: Db, host_id: int, tag: str) -> None:
    await db.execute(_ADD_TAG, host_id, tag)


async def remove_tag(db: Db, host_id: int, tag: str) -> None:
    await db.execute(_REMOVE_TAG, host_id, tag)


async def pin(db: Db, host_id: int, material: str, fingerprint: str) -> None:
    await db.execute(_PIN, host_id, material, fingerprint)


async def carry_identity(db: Db, host_id: int, before: str, now: str) -> None:
    """A server that is known by its certificate (LXD) keeps its row, and its machines, when a person accepts a new one.

    For a cluster, every member's.
    """
    await db.execute(_CARRY_SERVERS, host_id, before, now)
    await db.execute(_CARRY_CLUSTERS, before, now)


async def pin_shared(db: Db, host_id: int, material: str, fingerprint: str) -> None:
    """As `pin`, and for every host that uses the same key pair and had the same identity pinned."""
    await db.execute(_PIN_SHARED, host_id, material, fingerprint)
    await db.execute(_PIN, host_id, material, fingerprint)


async def unpin(db: Db, host_id: int) -> None:
    await db.execute(_UNPIN, host_id)


async def set_trust_refusal(db: Db, host_id: int, reason: str | None) -> None:
    """Why the host did not take the token or password that was given."""
    await db.execute(_TRUST_REFUSAL, host_id, reason)


async def set_unreachable(db: Db, host_id: int, code: str, message: str) -> None:
    """No row is written when the host was known to be so."""
    await db.execute(_UNREACHABLE, host_id, code, message)


async def set_removing(db: Db, host_id: int) -> None:
    await db.execute(_REMOVING, host_id)


async def set_offered(db: Db, host_id: int) -> None:
    """Back from `removing`; the next refresh says how it is."""
    await db.execute(_OFFERED, host_id)


async def keep(db: Db, host_id: int) -> None:
    """The host is not removed before the transaction ends."""
    await db.execute(_KEEP, host_id)


async def lock(db: Db, host_id: int) -> None:
    """Nobody else adds a machine to the host, or takes in a discovery of it, until the transaction ends."""
    await db.execute(_LOCK, host_id)


async def delete(db: Db, host_id: int) -> None:
    """The host's row goes; its server too, with all claims of foreign guests, when no other host shares it.

    When one does, that one is looked at anew: guests of ours that stay on the server are foreign from now on.
    """
    server_id = await db.fetchval(_LOCK, host_id)
    pair_id = await key_pairs.of_host(db, host_id)
    await db.execute(_DELETE, host_id)
    if pair_id is not None:
        await key_pairs.drop_unused(db, pair_id)
    if server_id is not None:
        await ledger.drop_server(db, server_id)
        await db.execute(_LOOK_AGAIN, server_id)
