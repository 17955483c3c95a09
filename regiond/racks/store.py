"""Rows of the installation, of join tokens and of racks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from attrs import frozen

from regiond.db.pool import Db
from regiond.racks.admission_model import Membership, TokenState

REMOVED_CHANNEL = "rack_removed"

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


@frozen(kw_only=True)
class UsedToken:
    """A token that was just used. `zone_ids` are the zones of the rack that joins; None: all."""

    zone_ids: Sequence[int] | None


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
    """Inserts a rack. Raises asyncpg.UniqueViolationError if another rack has the name."""
    await db.execute(_REPLACE_UNSEEN, name)
    await db.execute(_INSERT, rack_id, name, fingerprint, expires_at, zone_ids)


async def renew(db: Db, rack_id: UUID, fingerprint: str, expires_at: datetime) -> str | None:
    """Records the rack's new certificate and returns its name; None if it is removed."""
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
    """Records the rack as stolen and returns its name; None if it was reported before. The caller has removed it."""
    name: str | None = await db.fetchval(_REPORT_STOLEN, rack_id)
    return name


async def add_rotation(db: Db, rack_id: UUID, operation_id: int) -> None:
    """Records that the operation replaces credentials which the rack had. Idempotent."""
    await db.execute(_ADD_ROTATION, rack_id, operation_id)


async def hosts_of_only(db: Db, rack_id: UUID) -> tuple[str, ...]:
    """Returns the names of the hosts that this rack reaches and no other rack does."""
    return tuple(row[0] for row in await db.fetch(_HOSTS_OF_ONLY, rack_id))
