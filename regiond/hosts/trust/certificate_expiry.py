"""Records events 30, 7 and 1 days before a client certificate expires, and at expiry; dates pinned ones."""

from __future__ import annotations

from common.trust.certificates import utc_now
from common.trust.expiry import NOTICE_DAYS, expiry_text
from common.words.hidden_text import hidden_place
from regiond.credentials import key_pair_store
from regiond.credentials.model import ExpiringKeyPair
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.address import identity_store


async def report_expiring_certificates(database: Database) -> int:
    """Records an event for each host whose key pair passed a limit since the last call, once for all regions.

    Returns the number of key pairs.
    """
    async with database.transaction() as db:
        pairs = await key_pair_store.claim_expiry_notices(db, utc_now(), NOTICE_DAYS)
        for pair in pairs:
            level = Level.WARNING if pair.expiry_notified_days > 1 else Level.ERROR
            details = {"fingerprint": pair.fingerprint, "expires_at": pair.expires_at.isoformat()}
            for host_id, name in (await key_pair_store.hosts_of_key_pair(db, pair.id)).items():
                await Events.record(
                    db, "certificate_expiring", _text(name, pair), level=level, host_id=host_id, details=details
                )
    return len(pairs)


async def read_expiry_of_servers(database: Database) -> int:
    """Stores when pinned certificates of servers expire, where an earlier release pinned them. Idempotent."""
    async with database.connection() as db:
        return await identity_store.read_missing_expiry(db)


def _text(host_name: str, pair: ExpiringKeyPair) -> str:
    state = expiry_text(pair.expiry_notified_days, pair.expires_at)
    return f"{host_name}: our certificate {hidden_place(pair.fingerprint)} {state}: rotate the credentials"
