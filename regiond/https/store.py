"""SQL of the notices about certificates that expire."""

from __future__ import annotations

from datetime import datetime, timedelta

from regiond.db.pool import Db

# Regions that share a certificate give each notice once.
_CLAIM = """
    insert into tls_certificate_notice as notice (fingerprint, notified_days, expires_at) values ($1, $2, $3)
    on conflict (fingerprint) do update set notified_days = excluded.notified_days
     where notice.notified_days > excluded.notified_days
    returning fingerprint
"""
_FORGET = "delete from tls_certificate_notice where expires_at < now() - $1::interval"


async def claim_notice(db: Db, fingerprint: str, days: int, expires_at: datetime) -> bool:
    """Whether the notice of `days` before the expiry has not been given yet; from now on it has."""
    return await db.fetchval(_CLAIM, fingerprint, days, expires_at) is not None


async def forget_notices(db: Db, expired_for: timedelta) -> None:
    await db.execute(_FORGET, expired_for)
