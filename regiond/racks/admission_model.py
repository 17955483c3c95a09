"""The rules of admission to a region: names, tokens, memberships of racks, and RPC clients."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from uuid import UUID

from attrs import frozen

from common.errors import InvalidRequest, NotAllowed, NotFound, TokenRejected
from common.rpc.peers import Peer
from regiond.requests.caller import Caller

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def check_name(name: str) -> str:
    """Returns a valid name of a rack or RPC client. Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest.of(
            {
                "name": [
                    "Use 1 to 63 letters, digits, dots, hyphens and underscores, with a letter or digit at each end."
                ]
            }
        )
    return name


def token_hash(secret: str) -> bytes:
    """Returns the SHA-256 of the secret, whose 256 random bits need neither salt nor key stretching."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def rack_uuid(rack_id: str) -> UUID:
    """Returns the id as a UUID. Raises NotFound for an invalid id."""
    try:
        return UUID(rack_id)
    except ValueError as error:
        raise NotFound(f"There is no rack {rack_id!r}.") from error


def peer_id(peer: Peer) -> UUID:
    """Returns the peer's id as a UUID. Raises NotAllowed for an id that is not a UUID."""
    try:
        return UUID(peer.id)
    except ValueError as error:
        raise NotAllowed(f"{peer} is not known to this region.") from error


@frozen(kw_only=True)
class TokenState:
    used_at: datetime | None
    expires_at: datetime


@frozen(kw_only=True)
class Membership:
    """A rack that requests admission."""

    name: str
    removed_at: datetime | None


def require_admission(rack_id: str, known: Membership | None) -> str:
    """Returns the name of an enrolled rack. Raises NotAllowed for an unknown or removed one."""
    if known is None:
        raise NotAllowed(f"Rack {rack_id} is unknown to this region; it has to join again.")
    if known.removed_at is not None:
        raise NotAllowed(f"The rack {known.name!r} was removed from this region on {known.removed_at:%Y-%m-%d}.")
    return known.name


def token_error(token: TokenState | None) -> TokenRejected:
    if token is None:
        return TokenRejected(
            "This region did not issue this token. Get a new one with: innkeeper rack token", reason="unknown"
        )
    if token.used_at is not None:
        return TokenRejected(f"This token was used at {token.used_at:%Y-%m-%d %H:%M} UTC.", reason="used")
    return TokenRejected(f"This token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC.", reason="expired")


@frozen(kw_only=True)
class KnownClient:
    """An RPC client that requests admission. `caller` is its account; `fingerprints` are of its certificates."""

    caller: Caller
    is_active: bool
    revoked_at: datetime | None
    fingerprints: frozenset[str]
    key_expires_at: datetime | None
    key_is_expired: bool


def require_client(peer: Peer, known: KnownClient | None) -> Caller:
    """Returns the account of a valid client. Raises NotAllowed if client, account or API key is not valid."""
    if known is None or peer.fingerprint not in known.fingerprints:
        raise NotAllowed(f"The RPC client {peer.name!r} ({peer.id}) is unknown to this region.")
    if known.revoked_at is not None:
        raise NotAllowed(f"The RPC client {peer.name!r} was revoked on {known.revoked_at:%Y-%m-%d}.")
    if not known.is_active:
        raise NotAllowed(f"The account {known.caller.username!r} of the RPC client {peer.name!r} is disabled.")
    if known.key_is_expired:
        raise NotAllowed(f"The API key of the RPC client {peer.name!r} expired on {known.key_expires_at:%Y-%m-%d}.")
    return known.caller
