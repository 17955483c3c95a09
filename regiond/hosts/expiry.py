"""Tells in time that a certificate of ours ends: 30 days before, 7 days, one day, and when it has ended."""

from __future__ import annotations

from common.certificates import utc_now
from regiond.credentials import key_pair_store
from regiond.credentials.key_pair_store import NearExpiry
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events

DAYS = (30, 7, 1, 0)
LOOK_EVERY_S = 6 * 3600.0


async def tell_expiring(database: Database) -> int:
    """Record what is news, once for all regions: an event for each host that uses such a pair. How many pairs."""
    async with database.transaction() as db:
        found = await key_pair_store.nearing_expiry(db, utc_now(), DAYS)
        for pair in found:
            for host_id, name in (await key_pair_store.hosts(db, pair.id)).items():
                level = Level.WARNING if pair.told_days > 1 else Level.ERROR
                details = {"fingerprint": pair.fingerprint, "expires_at": pair.expires_at.isoformat()}
                await Events.record(
                    db, "certificate_expiring", text_of(name, pair), level=level, host_id=host_id, details=details
                )
    return len(found)


def text_of(host_name: str, pair: NearExpiry) -> str:
    ends = f"{pair.expires_at:%Y-%m-%d %H:%M} UTC"
    if pair.told_days == 0:
        return f"{host_name}: our certificate {pair.fingerprint} has expired ({ends}): rotate the credentials"
    within = "a day" if pair.told_days == 1 else f"{pair.told_days} days"
    return f"{host_name}: our certificate {pair.fingerprint} expires within {within} ({ends}): rotate the credentials"
