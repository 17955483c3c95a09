"""SQL for key pairs whose hosts are being removed: which host is the last, and whether the pair is kept."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.db.pool import Db

_LEAVE = "update vm_host set leaves_key_pair = true where id = $1"
_STAY = "update vm_host set leaves_key_pair = false where id = $1 and leaves_key_pair"
_USED = """
    select exists (select from vm_host where key_pair_id = $1 and not leaves_key_pair and id <> all($2::integer[]))
"""
_KEEP = """
    update key_pair set kept_address = case when $3 then (select address from vm_host where id = $2) end where id = $1
"""
# During a rotation the server may trust the certificates of both pairs; of a pair that a user replaced, the old one.
_OTHERS = """
    select fingerprint from key_pair
     where replaces_id = $1 or id = (select replaces_id from key_pair where id = $1)
    union
    select retired_fingerprint from key_pair where id = $1 and retired_fingerprint is not null
"""


async def leave_key_pair(db: Db, host_id: int) -> None:
    """Records that the removal of the host needs the server no longer. The caller holds the lock of the pair."""
    await db.execute(_LEAVE, host_id)


async def stay_with_key_pair(db: Db, host_id: int) -> None:
    """Reverts `leave_key_pair` of a host that is not removed. Idempotent."""
    await db.execute(_STAY, host_id)


async def key_pair_is_used(db: Db, pair_id: int, *, but: Iterable[int] = ()) -> bool:
    """Whether a host uses the pair, apart from those that leave it and from those named."""
    found: bool = await db.fetchval(_USED, pair_id, list(but))
    return found


async def keep_key_pair(db: Db, pair_id: int, host_id: int, *, keep: bool) -> None:
    """Decides whether the pair is kept when this last host is deleted, for the next host at its address."""
    await db.execute(_KEEP, pair_id, host_id, keep)


async def related_certificates(db: Db, pair_id: int) -> tuple[str, ...]:
    """Returns the fingerprints of other certificates of ours that the server may trust."""
    return tuple(row["fingerprint"] for row in await db.fetch(_OTHERS, pair_id))
