"""Racks as people see them, and in which order they are tried for a host."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from attrs import frozen

from common.errors import InvalidRequest, NotAllowed, NotFound
from common.rpc.peers import Peer

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@frozen(kw_only=True)
class RackView:
    """`connected`: to any living region process. `hosts_reached` counts hosts it reached when it last tried."""

    id: UUID
    name: str
    connected: bool
    joined_at: datetime
    seen_at: datetime | None
    certificate_fingerprint: str
    certificate_expires_at: datetime
    hosts_reached: int
    removed_at: datetime | None = None


@frozen(kw_only=True)
class RpcClientView:
    id: UUID
    name: str
    username: str
    certificate_fingerprint: str
    certificate_expires_at: datetime
    issued_at: datetime


@frozen(kw_only=True)
class RackCandidate:
    """A connected rack, and how it fared with one host: `reaches` is None when it has not tried yet.

    `here` says that this region process has a link to it. `since` is when `reaches` came to be so.
    """

    rack_id: UUID
    name: str
    here: bool
    reaches: bool | None = None
    error_code: str | None = None
    error_message: str | None = None
    since: datetime | None = None


@frozen(kw_only=True)
class AwayRack:
    """A rack that reached a host when it last tried, and is connected to no region now."""

    name: str
    seen_at: datetime | None


def unreached_text(host_id: int, linked: int, away: Iterable[AwayRack], failed: Mapping[str, str]) -> str:
    """Why nobody gets to a host, and what to do. `failed`: what each connected rack met there, by its name.

    `linked` racks are connected to the region process that says so.
    """
    known = [
        f"{rack.name}{f' (last seen {rack.seen_at:%Y-%m-%d %H:%M:%S} UTC)' if rack.seen_at else ''}" for rack in away
    ]
    if not known:
        return (
            f"No connected rack can reach VM host {host_id}; {linked} racks are connected to this region. "
            "Start a rack, or join one."
        )
    said = [f"No connected rack reaches VM host {host_id}. Not connected, but reached it: {', '.join(known)}."]
    said += [f"Rack {name}: {message}" for name, message in failed.items()]
    return " ".join(said)


def in_order(candidates: Iterable[RackCandidate]) -> tuple[RackCandidate, ...]:
    """Those that reach the host, then those that have not tried, then those that failed, the oldest failure first.

    Within each of these, the ones linked to this process first; ties go to the lower id.
    """
    return tuple(sorted(candidates, key=_place))


def _place(candidate: RackCandidate) -> tuple[int, bool, float, str]:
    rank = {True: 0, None: 1, False: 2}[candidate.reaches]
    failed_at = candidate.since.timestamp() if rank == 2 and candidate.since else 0.0
    return rank, not candidate.here, failed_at, str(candidate.rack_id)


def check_name(name: str) -> str:
    """A rack's or RPC client's name: 1 to 63 of letters, digits, dots, hyphens, underscores. Raises InvalidRequest."""
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
    """SHA-256: the 256 random bits of a token's secret need neither salt nor stretching."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def rack_uuid(rack_id: str) -> UUID:
    """Raises NotFound for what is no id."""
    try:
        return UUID(rack_id)
    except ValueError as error:
        raise NotFound(f"There is no rack {rack_id!r}.") from error


def peer_id(peer: Peer) -> UUID:
    """Raises NotAllowed for an id that no rack and no RPC client of ours can have."""
    try:
        return UUID(peer.id)
    except ValueError as error:
        raise NotAllowed(f"{peer} is not known to this region.") from error
