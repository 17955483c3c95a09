"""Reads when certificates expire, by their purpose. Never one series a certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

from common.process.metric_families import Family, Sample
from regiond.db.pool import Db
from regiond.metrics.families import Reading

_EXPIRY = Family(
    name="certificate_expiry_timestamp_seconds",
    text="Time at which the first certificate of a purpose expires: authority, api, rack, rpc_client, host_client "
    "(ours at LXD) or host_server (the pinned one of LXD). Those of RPC clients that have expired do not count.",
    labels=("purpose",),
)

# An RPC client that nobody uses any more expires and stays until somebody revokes it.
_READ = """
    select 'rack' as purpose, min(certificate_expires_at) as expires_at from rack where removed_at is null
    union all
    select 'rpc_client', min(certificate_expires_at) from rpc_client
     where revoked_at is null and certificate_expires_at > now()
    union all
    select 'host_client', min(k.expires_at) from vm_host h join key_pair k on k.id = h.key_pair_id
     where h.state <> 'removing'
    union all
    select 'host_server', min(pinned_expires_at) from vm_host where state <> 'removing'
"""


def certificates(own: Callable[[], Mapping[str, datetime]]) -> Reading:
    """Returns the reading; `own` has the expiry of this region's certificates, by purpose."""

    async def read(db: Db) -> AsyncIterator[Sample]:
        expiries = {row["purpose"]: row["expires_at"] for row in await db.fetch(_READ)}
        for purpose, expires_at in {**own(), **expiries}.items():
            if expires_at is not None:
                yield Sample(_EXPIRY, expires_at.timestamp(), (purpose,))

    return Reading(name="certificates", families=(_EXPIRY,), read=read, every_s=60.0)
