"""Pinned certificates and host keys of hosts, and the identities of their servers that follow from them."""

from __future__ import annotations

from datetime import datetime

from common.errors import InvalidRequest, WrongState
from common.trust.certificates import UNREADABLE, load_certificate
from regiond.db.pool import Db

_PIN = "update vm_host set pinned = $2, pinned_fingerprint = $3, pinned_expires_at = $4 where id = $1"
# All hosts of a server present the same certificate: accepting it for one accepts it for all.
_PIN_SHARED = """
    update vm_host set pinned = $2, pinned_fingerprint = $3, pinned_expires_at = $4
     where key_pair_id = (select key_pair_id from vm_host where id = $1)
       and pinned_fingerprint = (select pinned_fingerprint from vm_host where id = $1)
"""
_UNPIN = """
    update vm_host set pinned = null, pinned_fingerprint = null, pinned_expires_at = null,
                       confirmed_identity = null, expected_fingerprint = null, trust_on_first_use = false,
                       server_may_change = server_id is not null
     where id = $1
"""
_EXPECT = """
    update vm_host set expected_fingerprint = coalesce($2, expected_fingerprint),
                       trust_on_first_use = coalesce($3, trust_on_first_use)
     where id = $1
"""
_CONFIRM = "update vm_host set confirmed_identity = $2 where id = $1 and confirmed_identity is distinct from $2"
_SERVER_WITH_CERTIFICATE = """
    select other.id, h.id as host_id, h.name
      from vm_host me
      join vm_host own on own.id = me.id or own.pinned_fingerprint = me.pinned_fingerprint
      join server s on s.id = own.server_id
      join server other on other.identity = replace(s.identity, $2, $3) and other.id <> s.id
      left join vm_host h on h.server_id = other.id
     where me.id = $1 and s.identity like 'lxd/%' and position($2 in s.identity) > 0
     order by h.id limit 1
"""
_MIGRATE_SERVERS = """
    update server s set identity = replace(s.identity, $2, $3)
     where s.identity like 'lxd/%' and position($2 in s.identity) > 0
       and s.id in (select h.server_id from vm_host h join vm_host me on me.id = $1
                     where h.id = me.id or h.pinned_fingerprint = me.pinned_fingerprint)
"""
_WITHOUT_EXPIRY = """
    select id, pinned from vm_host where driver = 'lxd' and pinned is not null and pinned_expires_at is null
"""
_SET_EXPIRY = "update vm_host set pinned_expires_at = $3 where id = $1 and pinned = $2"
_MIGRATE_CLUSTERS = "update cluster set identity = $2 where identity = $1"


async def pin(db: Db, host_id: int, material: str, fingerprint: str) -> None:
    """Pins the certificate or host key that the host must present from now on."""
    await db.execute(_PIN, host_id, material, fingerprint, _expiry(material))


async def pin_shared(db: Db, host_id: int, material: str, fingerprint: str) -> None:
    """Pins as `pin` does, also for every host with the same key pair and the same pinned certificate."""
    await db.execute(_PIN_SHARED, host_id, material, fingerprint, _expiry(material))
    await db.execute(_PIN, host_id, material, fingerprint, _expiry(material))


async def read_missing_expiry(db: Db) -> int:
    """Stores when certificates expire that a release pinned which did not; returns how many. Idempotent."""
    read = 0
    for row in await db.fetch(_WITHOUT_EXPIRY):
        if (expires_at := _expiry(row["pinned"])) is not None:
            await db.execute(_SET_EXPIRY, row["id"], row["pinned"], expires_at)
            read += 1
    return read


async def migrate_identity(db: Db, host_id: int, old: str, new: str) -> None:
    """Gives an LXD server, or all members of a cluster, the identity with the new certificate's fingerprint.

    Otherwise the next discovery run would find another server and the host would lose its machines. Raises
    WrongState if another server has that certificate: the host's address then belongs to that server.
    """
    if (other := await db.fetchrow(_SERVER_WITH_CERTIFICATE, host_id, old, new)) is not None:
        raise WrongState(
            f"The certificate {new} is that of the server of VM host {other['name']} (id {other['host_id']}), so this "
            "host now leads to that server. Set its address back, or remove it.",
            host=other["host_id"],
        )
    await db.execute(_MIGRATE_SERVERS, host_id, old, new)
    await db.execute(_MIGRATE_CLUSTERS, old, new)


async def unpin(db: Db, host_id: int) -> None:
    """Makes the next contact of a host without machines a first contact.

    The identity that the host presents then is pinned, and the server may be another one.
    """
    await db.execute(_UNPIN, host_id)


async def expect_identity(db: Db, host_id: int, fingerprint: str | None, trust_on_first_use: bool | None) -> None:
    """Stores a person's statements about the identity of the host; None leaves one unchanged."""
    await db.execute(_EXPECT, host_id, fingerprint, trust_on_first_use)


async def confirm_identity(db: Db, host_id: int, identity: str) -> None:
    """Records an administrator's confirmation that the host is the server with that identity. Idempotent."""
    await db.execute(_CONFIRM, host_id, identity)


def _expiry(material: str) -> datetime | None:
    """Returns None for an SSH host key, and for a certificate that cannot be read."""
    try:
        return load_certificate(material).not_valid_after_utc
    except (InvalidRequest, *UNREADABLE):
        return None
