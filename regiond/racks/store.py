"""Rows of racks, join tokens, RPC clients and of what each rack reaches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import frozen

from common.errors import InnkeeperError
from regiond.caller import Caller
from regiond.racks.model import (
    CONNECTION_ERROR_CODES,
    DisconnectedRack,
    Membership,
    RackCandidate,
    RecordedReach,
    RpcClientView,
    TokenState,
)

if TYPE_CHECKING:
    from regiond.db.pool import Db

REMOVED_CHANNEL = "rack_removed"
REVOKED_CHANNEL = "rpc_client_revoked"

_INSTALLATION = "select id from installation"
_AUTHORITY = "select authority_fingerprint from installation for update"
_SET_AUTHORITY = "update installation set authority_fingerprint = $1"

_INSERT_INVITATION = """
    insert into rack_token (secret_hash, created_by, expires_at, zone_ids) values ($1, $2, now() + $3::interval, $4)
    returning expires_at
"""
_USE_INVITATION = """
    update rack_token set used_at = now(), used_by = $2
     where secret_hash = $1 and used_at is null and expires_at > now()
    returning zone_ids
"""
_SELECT_INVITATION = "select used_at, expires_at from rack_token where secret_hash = $1"
_DELETE_OLD_TOKENS = "delete from rack_token where greatest(used_at, expires_at) < now() - interval '30 days'"

# A rack that joined but never connected does not block its name.
_REPLACE_UNSEEN = "update rack set removed_at = now() where name = $1 and removed_at is null and seen_at is null"
_INSERT = """
    insert into rack (id, name, certificate_fingerprint, certificate_expires_at, zone_ids) values ($1, $2, $3, $4, $5)
"""
_RENEW = """
    update rack set certificate_fingerprint = $2, certificate_expires_at = $3 where id = $1 and removed_at is null
    returning name
"""
_MEMBERSHIP = "select name, removed_at from rack where id = $1"
_LOCK = "select from rack where id = $1 for update"
_REMOVE = "update rack set removed_at = now() where id = $1 and removed_at is null returning name"
_REPORT_STOLEN = "update rack set stolen_at = now() where id = $1 and stolen_at is null returning name"
_ADD_ROTATION = "insert into rack_rotation (rack_id, operation_id) values ($1, $2) on conflict do nothing"
_REMOVE_REACH = "delete from rack_reach where rack_id = $1"
_HOSTS_OF_ONLY = """
    select h.name
      from rack_reach x join vm_host h on h.id = x.host_id
     where x.rack_id = $1 and x.reaches
       and not exists (select from rack_reach other
                         join rack r on r.id = other.rack_id and r.removed_at is null
                              and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                        where other.host_id = x.host_id and other.rack_id <> $1 and other.reaches)
     order by h.name
"""
_NOTIFY = "select pg_notify($1, $2)"

# Writes only changes.
_RECORD_REACH = """
    with host as (
        select id, state = 'unreachable' and error_code = any($6::text[]) as lost from vm_host where id = $2
    ), recorded as (
        insert into rack_reach (rack_id, host_id, reaches, error_code, error_message)
        select $1, host.id, $3, $4, $5 from host
         where exists (select from rack where id = $1 and removed_at is null)
           and not exists (
                select from rack_reach
                 where rack_id = $1 and host_id = $2 and reaches = $3
                   and error_code is not distinct from $4 and error_message is not distinct from $5)
        on conflict (rack_id, host_id) do update
           set reaches = excluded.reaches, error_code = excluded.error_code, error_message = excluded.error_message,
               at = now()
        returning 1
    )
    select exists (select from recorded) as changed, coalesce((select lost from host), false) as host_lost
"""

_CANDIDATES = """
    select r.id as rack_id, r.name, bool_or(l.region_id = $2) as here,
           x.reaches, x.error_code, x.error_message, x.at as since
      from rack r
      join rack_link l on l.rack_id = r.id
      join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
      join vm_host h on h.id = $1 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
      left join rack_reach x on x.rack_id = r.id and x.host_id = $1
     where r.removed_at is null
     group by r.id, r.name, x.reaches, x.error_code, x.error_message, x.at
"""

_UNREACHED_HOSTS = """
    select h.id from vm_host h
     where h.state = 'ready'
       and not exists (select from rack_reach x
                         join rack r on r.id = x.rack_id and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                         join rack_link l on l.rack_id = x.rack_id
                         join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                        where x.host_id = h.id and x.reaches)
"""
_UNTRIED_HOSTS = """
    select l.rack_id, h.id as host_id
      from rack_link l
      join rack r on r.id = l.rack_id
      join vm_host h on r.zone_ids is null or h.zone_id = any(r.zone_ids)
     where l.region_id = $1 and h.state = 'ready'
       and not exists (select from rack_reach x where x.rack_id = l.rack_id and x.host_id = h.id)
     order by h.id, l.rack_id
     limit 1000
"""
_DISCONNECTED_RACKS = """
    select r.name, r.seen_at
      from rack r
      join rack_reach x on x.rack_id = r.id and x.host_id = $1 and x.reaches
      join vm_host h on h.id = $1 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
     where r.removed_at is null
       and not exists (select from rack_link l
                         join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                        where l.rack_id = r.id)
     order by r.name
"""

_INSERT_CLIENT = """
    insert into rpc_client (id, name, account_id, certificate_fingerprint, certificate_expires_at, api_key_id)
    values ($1, $2, $3, $4, $5, $6)
"""
# A certificate that has expired does not block the name.
_REPLACE_EXPIRED = """
    update rpc_client set revoked_at = now()
     where name = $1 and revoked_at is null and certificate_expires_at < now()
"""
_KEY_LIFETIME = "select expires_at - now() from api_key where id = $1"
_RENEW_CLIENT = """
    update rpc_client
       set earlier_fingerprints = (array_prepend(certificate_fingerprint, earlier_fingerprints))[1:16],
           certificate_fingerprint = $2, certificate_expires_at = $3
     where id = $1 and revoked_at is null
"""
_CLIENT = """
    select c.revoked_at, array_prepend(c.certificate_fingerprint, c.earlier_fingerprints) as fingerprints,
           c.api_key_id, k.expires_at as key_expires_at, k.expires_at <= now() as key_is_expired,
           a.id, a.username, a.email, a.is_admin, a.is_active
      from rpc_client c join account a on a.id = c.account_id left join api_key k on k.id = c.api_key_id
     where c.id = $1
"""
_CLIENTS = """
    select c.id, c.name, a.username, c.certificate_fingerprint, c.certificate_expires_at, c.issued_at,
           k.name as api_key_name, k.token_key
      from rpc_client c join account a on a.id = c.account_id left join api_key k on k.id = c.api_key_id
     where c.revoked_at is null and ($1::integer is null or c.account_id = $1)
     order by c.name
"""
_REVOKE_CLIENT = """
    update rpc_client set revoked_at = now()
     where name = $1 and revoked_at is null and ($2 or account_id = $3)
    returning id
"""


@frozen(kw_only=True)
class UsedToken:
    """`zone_ids` None: all zones."""

    zone_ids: Sequence[int] | None


@frozen(kw_only=True)
class RpcClient:
    caller: Caller
    is_active: bool
    revoked_at: datetime | None
    fingerprints: frozenset[str]
    api_key_id: int | None
    key_expires_at: datetime | None
    key_is_expired: bool


async def installation_id(db: Db) -> UUID:
    found: UUID = await db.fetchval(_INSTALLATION)
    return found


async def authority_fingerprint(db: Db) -> str | None:
    """Returns the fingerprint of the installation's authority, None before the first start.

    Locks the row, so that two concurrent first starts use the same authority.
    """
    found: str | None = await db.fetchval(_AUTHORITY)
    return found


async def set_authority_fingerprint(db: Db, fingerprint: str) -> None:
    await db.execute(_SET_AUTHORITY, fingerprint)


async def insert_token(
    db: Db, secret_hash: bytes, created_by: int | None, lifetime: timedelta, zone_ids: Sequence[int] | None
) -> datetime:
    await db.execute(_DELETE_OLD_TOKENS)
    expires_at: datetime = await db.fetchval(_INSERT_INVITATION, secret_hash, created_by, lifetime, zone_ids)
    return expires_at


async def use_token(db: Db, secret_hash: bytes, rack_id: UUID) -> UsedToken | None:
    """Records a valid token as used; returns None if it is not valid. Waits for a concurrent use."""
    row = await db.fetchrow(_USE_INVITATION, secret_hash, rack_id)
    return None if row is None else UsedToken(zone_ids=row["zone_ids"])


async def token(db: Db, secret_hash: bytes) -> TokenState | None:
    row = await db.fetchrow(_SELECT_INVITATION, secret_hash)
    return None if row is None else TokenState(**row)


async def insert(
    db: Db, rack_id: UUID, name: str, fingerprint: str, expires_at: datetime, zone_ids: Sequence[int] | None
) -> None:
    """Raises asyncpg.UniqueViolationError if another rack has the name."""
    await db.execute(_REPLACE_UNSEEN, name)
    await db.execute(_INSERT, rack_id, name, fingerprint, expires_at, zone_ids)


async def renew(db: Db, rack_id: UUID, fingerprint: str, expires_at: datetime) -> str | None:
    """Returns the rack's name, None if it is removed."""
    name: str | None = await db.fetchval(_RENEW, rack_id, fingerprint, expires_at)
    return name


async def membership(db: Db, rack_id: UUID) -> Membership | None:
    row = await db.fetchrow(_MEMBERSHIP, rack_id)
    return None if row is None else Membership(**row)


async def remove(db: Db, rack_id: UUID) -> str | None:
    """Removes a rack, notifies all regions and returns its name; None if there was none to remove.

    Waits for the record of a credential that is about to be sent to it, and prevents further ones.
    """
    await db.execute(_LOCK, rack_id)
    name: str | None = await db.fetchval(_REMOVE, rack_id)
    if name is not None:
        await db.execute(_REMOVE_REACH, rack_id)
        await db.execute(_NOTIFY, REMOVED_CHANNEL, str(rack_id))
    return name


async def report_stolen(db: Db, rack_id: UUID) -> str | None:
    """Returns the rack's name; None if it was reported before. The caller has removed it."""
    name: str | None = await db.fetchval(_REPORT_STOLEN, rack_id)
    return name


async def add_rotation(db: Db, rack_id: UUID, operation_id: int) -> None:
    """Records that the operation replaces credentials which the rack had. Idempotent."""
    await db.execute(_ADD_ROTATION, rack_id, operation_id)


async def hosts_of_only(db: Db, rack_id: UUID) -> tuple[str, ...]:
    """Returns the names of the hosts that this rack reaches and no other one."""
    return tuple(row[0] for row in await db.fetch(_HOSTS_OF_ONLY, rack_id))


async def record_reach(db: Db, rack_id: UUID, host_id: int, error: InnkeeperError | None) -> RecordedReach:
    """Writes only changes."""
    code, message = (error.code, error.message.replace("\0", "")) if error else (None, None)
    codes = list(CONNECTION_ERROR_CODES)
    (row,) = await db.fetch(_RECORD_REACH, rack_id, host_id, error is None, code, message, codes)
    return RecordedReach(**row)


async def candidates(db: Db, host_id: int, region_id: UUID) -> tuple[RackCandidate, ...]:
    return tuple(RackCandidate(**row) for row in await db.fetch(_CANDIDATES, host_id, region_id))


async def disconnected_racks(db: Db, host_id: int) -> tuple[DisconnectedRack, ...]:
    return tuple(DisconnectedRack(**row) for row in await db.fetch(_DISCONNECTED_RACKS, host_id))


async def untried_hosts(db: Db, region_id: UUID) -> tuple[tuple[UUID, int], ...]:
    return tuple((row["rack_id"], row["host_id"]) for row in await db.fetch(_UNTRIED_HOSTS, region_id))


async def unreached_hosts(db: Db) -> tuple[int, ...]:
    return tuple(row["id"] for row in await db.fetch(_UNREACHED_HOSTS))


async def key_lifetime(db: Db, api_key_id: int | None) -> timedelta | None:
    """Returns how long the key is still valid; None: without end."""
    lifetime: timedelta | None = await db.fetchval(_KEY_LIFETIME, api_key_id)
    return lifetime


async def insert_client(
    db: Db,
    client_id: UUID,
    name: str,
    account_id: int,
    fingerprint: str,
    expires_at: datetime,
    *,
    api_key_id: int | None,
) -> None:
    """Raises asyncpg.UniqueViolationError if another client has the name.

    Raises asyncpg.ForeignKeyViolationError if account or key was just deleted.
    """
    await db.execute(_REPLACE_EXPIRED, name)
    await db.execute(_INSERT_CLIENT, client_id, name, account_id, fingerprint, expires_at, api_key_id)


async def renew_client(db: Db, client_id: UUID, fingerprint: str, expires_at: datetime) -> bool:
    """Returns False if the client is revoked."""
    return await db.execute(_RENEW_CLIENT, client_id, fingerprint, expires_at) == "UPDATE 1"


async def client(db: Db, client_id: UUID) -> RpcClient | None:
    row = await db.fetchrow(_CLIENT, client_id)
    if row is None:
        return None
    return RpcClient(
        caller=Caller(account_id=row["id"], username=row["username"], email=row["email"], is_admin=row["is_admin"]),
        is_active=row["is_active"],
        revoked_at=row["revoked_at"],
        fingerprints=frozenset(row["fingerprints"]),
        api_key_id=row["api_key_id"],
        key_expires_at=row["key_expires_at"],
        key_is_expired=bool(row["key_is_expired"]),
    )


async def list_clients(db: Db, *, account_id: int | None) -> tuple[RpcClientView, ...]:
    """Returns the clients of the account, for None those of all."""
    return tuple(RpcClientView(**row) for row in await db.fetch(_CLIENTS, account_id))


async def revoke_client(db: Db, name: str, account_id: int, *, of_any_account: bool) -> UUID | None:
    """Revokes a client and returns its id; None if there was none to revoke. A trigger notifies all regions."""
    client_id: UUID | None = await db.fetchval(_REVOKE_CLIENT, name, of_any_account, account_id)
    return client_id
