"""Values of racks and RPC clients, and the order in which racks are tried for a host."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from attrs import frozen

from common.errors import (
    HostHung,
    HostUnreachable,
    InvalidRequest,
    LinkLost,
    NotAllowed,
    NotFound,
    RackUnreachable,
    TokenRejected,
)
from common.phrases import number_of
from common.rpc.peers import Peer
from regiond.deletion_plan import AffectedRecord, DeletionPlan

# Errors of a host that any later successful call contradicts.
CONNECTION_ERROR_CODES = (HostUnreachable.code, HostHung.code, RackUnreachable.code, LinkLost.code)

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


HOSTS_SHOWN = 50  # hosts that a message names
UNREACHED_SHOWN = 20  # hosts that a list of racks names for each rack; reading one rack shows all


@frozen(kw_only=True)
class RackRegion:
    """A live region that a rack has a link to. `hostname` is that of its computer."""

    id: UUID
    hostname: str
    connected_at: datetime


@frozen(kw_only=True)
class HostReach:
    """A rack's last attempt at a host; `reaches` is None before the first. `since` is when the result changed last."""

    host_id: int
    host: str
    reaches: bool | None = None
    error_code: str | None = None
    error_message: str | None = None
    since: datetime | None = None


@frozen(kw_only=True)
class RegionView:
    """A region process. `running` means that its heartbeat is at most 30 s old; `here` that it is this process.

    `schema_number` is that of the newest migration its release knows. `racks` are names, `operations` the ids of those
    whose lease it holds. A process of an older release does not report release, schema and addresses.
    """

    id: UUID
    hostname: str
    pid: int
    running: bool
    here: bool
    started_at: datetime
    seen_at: datetime
    age_s: int
    silent_s: int
    release: str | None = None
    schema_number: int | None = None
    rpc_address: str | None = None
    api_url: str | None = None
    racks: tuple[str, ...] = ()
    operations: tuple[int, ...] = ()


@frozen(kw_only=True)
class RackRotation:
    """A rotation that replaces credentials which a removed or stolen rack had."""

    operation_id: int
    host: str
    state: str
    error_message: str | None = None


@frozen(kw_only=True)
class ExposedByHand:
    """A credential that a removed or stolen rack had, and that only a person can replace. `remedy` says how."""

    host_id: int
    host: str
    credential: str
    sent_at: datetime
    remedy: str


@frozen(kw_only=True)
class RackView:
    """`connected` means a link to any live region. `hosts_reached` counts hosts that its last attempt reached.

    `age_s` is the time since it connected, otherwise since it was last seen or joined. `hosts` are the hosts it does
    not reach, at most UNREACHED_SHOWN, in a list; all hosts, where one rack is read. Hosts of zones that it does not
    serve are left out. `zones` are the names of those it serves; None: all. `rotations` and `by_hand` are those of a
    rack that is read after its removal.
    """

    id: UUID
    name: str
    connected: bool
    joined_at: datetime
    seen_at: datetime | None
    certificate_fingerprint: str
    certificate_expires_at: datetime
    hosts_reached: int
    hosts_unreached: int = 0
    removed_at: datetime | None = None
    release: str | None = None
    age_s: int = 0
    regions: tuple[RackRegion, ...] = ()
    hosts: tuple[HostReach, ...] = ()
    zones: tuple[str, ...] | None = None
    stolen_at: datetime | None = None
    rotations: tuple[RackRotation, ...] = ()
    by_hand: tuple[ExposedByHand, ...] = ()

    @property
    def state(self) -> str:
        if self.stolen_at is not None:
            return "stolen"
        if self.removed_at is not None:
            return "removed"
        return "connected" if self.connected else "disconnected" if self.seen_at is not None else "never connected"

    @property
    def connected_at(self) -> datetime | None:
        return min((region.connected_at for region in self.regions), default=None)


@frozen(kw_only=True)
class RpcClientView:
    id: UUID
    name: str
    username: str
    certificate_fingerprint: str
    certificate_expires_at: datetime
    issued_at: datetime
    api_key_name: str | None = None  # None: the key is unknown, see rpc_client.api_key_id
    token_key: str | None = None


@frozen(kw_only=True)
class RackCandidate:
    """A connected rack and its last attempt at one host. `reaches` is None before the first.

    `here` means that this region process has a link to the rack. `since` is when `reaches` changed last.
    """

    rack_id: UUID
    name: str
    here: bool
    reaches: bool | None = None
    error_code: str | None = None
    error_message: str | None = None
    since: datetime | None = None


@frozen(kw_only=True)
class RecordedReach:
    """What a recorded attempt changed.

    `host_lost`: the host's state is `unreachable` by a connection error, so an attempt that succeeded contradicts it.
    """

    changed: bool
    host_lost: bool = False


@frozen(kw_only=True)
class SupervisedHost:
    """A host as the link supervisor sees it. A new address or key on either side requires a new watch."""

    id: int
    is_ready: bool
    is_removing: bool
    address: str
    pinned_fingerprint: str | None = None
    certificate_fingerprint: str | None = None


@frozen(kw_only=True)
class DisconnectedRack:
    """A rack that reached a host when it last tried and has no link to any region now."""

    name: str
    seen_at: datetime | None


def sort_candidates(candidates: Iterable[RackCandidate]) -> tuple[RackCandidate, ...]:
    """Racks that reach the host, then racks that have not tried, then racks that failed, the oldest failure first.

    Within each group, racks linked to this process come first; ties go to the lower id.
    """
    return tuple(sorted(candidates, key=_sort_key))


def _sort_key(candidate: RackCandidate) -> tuple[int, bool, float, str]:
    rank = {True: 0, None: 1, False: 2}[candidate.reaches]
    failed_at = candidate.since.timestamp() if rank == 2 and candidate.since else 0.0
    return rank, not candidate.here, failed_at, str(candidate.rack_id)


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
    """SHA-256, because the 256 random bits of a secret need neither salt nor stretching."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def rack_uuid(rack_id: str) -> UUID:
    """Raises NotFound for an invalid id."""
    try:
        return UUID(rack_id)
    except ValueError as error:
        raise NotFound(f"There is no rack {rack_id!r}.") from error


def peer_id(peer: Peer) -> UUID:
    """Raises NotAllowed for an id that is not a UUID."""
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
class Exposed:
    """What becomes of the credentials that a removed rack had. `rotated` names a host of each server."""

    rotated: tuple[str, ...] = ()
    by_hand: tuple[ExposedByHand, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        found = []
        if self.rotated:
            found.append(f"The rotation of credentials that it had is queued: {_named(self.rotated)}.")
        if self.by_hand:
            hosts = _named([f"{one.host} ({one.credential})" for one in self.by_hand])
            found.append(f"A person has to replace these credentials that it had: {hosts}.")
        return tuple(found)


NOTHING_EXPOSED = Exposed()


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:HOSTS_SHOWN])
    return f"{shown} and {len(names) - HOSTS_SHOWN} more" if len(names) > HOSTS_SHOWN else shown


def rack_removal(
    rack_id: str, name: str | None, hosts: Sequence[str], exposed: Exposed = NOTHING_EXPOSED
) -> DeletionPlan:
    """`name` is None if the rack was removed before; `hosts` are those that only this rack reaches."""
    if name is None:
        return DeletionPlan(name=rack_id, effects=("The rack was removed before.",))
    effects = ["It is disconnected at once, and its certificate is rejected."]
    if hosts:
        named = ", ".join(hosts[:5]) + (", …" if len(hosts) > 5 else "")
        effects.append(f"No other rack has reached {number_of(len(hosts), 'VM host')}: {named}.")
    effects += exposed.sentences
    return DeletionPlan(
        name=name, deleted=(AffectedRecord(kind="rack", id=rack_id, name=name),), effects=tuple(effects)
    )
