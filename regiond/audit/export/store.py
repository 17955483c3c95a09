"""SQL of the position up to which the audit trail was sent, and of the lease of a destination."""

from __future__ import annotations

from uuid import UUID

from regiond.db.pool import Db

_ADD = "insert into audit_export (destination) values ($1) on conflict do nothing"
_LEASE = """
    update audit_export set lease_owner = $2, lease_until = now() + make_interval(secs => $3)
     where destination = $1 and (lease_owner = $2 or lease_until is null or lease_until < now())
    returning sent_id
"""
_RECORD = """
    update audit_export set sent_id = $4, sent_at = now()
     where destination = $1 and lease_owner = $2 and sent_id = $3
    returning true
"""
_MOVE_BACK = "update audit_export set sent_id = least(sent_id, $2) where destination = $1"
_RELEASE = "update audit_export set lease_owner = null, lease_until = null where destination = $1 and lease_owner = $2"
_PRUNED = "select pruned_id from audit_chain"


async def lease(db: Db, destination: str, owner: UUID, seconds: float) -> int | None:
    """Returns the id of the last entry that was sent; None while another region sends. Renews a lease that is held."""
    await db.execute(_ADD, destination)
    sent_id: int | None = await db.fetchval(_LEASE, destination, owner, seconds)
    return sent_id


async def record(db: Db, destination: str, owner: UUID, before_id: int, sent_id: int) -> bool:
    """Moves the position from `before_id` to `sent_id`.

    Returns False, with nothing changed, if another region has taken the lease or moved the position back.
    """
    return bool(await db.fetchval(_RECORD, destination, owner, before_id, sent_id))


async def move_back(db: Db, destination: str, sent_id: int) -> None:
    """Has the entries after `sent_id` sent again, by whichever region holds the lease. Idempotent."""
    await db.execute(_MOVE_BACK, destination, sent_id)


async def release(db: Db, destination: str, owner: UUID) -> None:
    """Lets another region continue at once. Idempotent."""
    await db.execute(_RELEASE, destination, owner)


async def pruned_id(db: Db) -> int:
    """Returns the id of the last entry that was deleted because of its age; 0 if none was."""
    return await db.fetchval(_PRUNED) or 0
