"""Values of reach: a rack's last attempt at a host, and the order in which racks are tried."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from attrs import frozen

from common.errors import HostHung, HostUnreachable, LinkLost, RackUnreachable

# Errors of a host that any later successful call contradicts.
CONNECTION_ERROR_CODES = (HostUnreachable.code, HostHung.code, RackUnreachable.code, LinkLost.code)


Zones: TypeAlias = frozenset[int] | None  # the ids of the zones that a rack serves; None: all


@frozen(kw_only=True)
class RackCandidate:
    """A connected rack and its last attempt at one host. `reaches` is None before the first.

    `here` means that this region process has a link to the rack. `since` is when `reaches` changed last. `host_lost` is
    as in `RecordedReach`.
    """

    rack_id: UUID
    name: str
    here: bool
    reaches: bool | None = None
    error_code: str | None = None
    error_message: str | None = None
    since: datetime | None = None
    host_lost: bool = False


@frozen(kw_only=True)
class RecordedReach:
    """The changes that a recorded attempt made.

    `host_lost`: the host's state is `unreachable` by a connection error, so an attempt that succeeded contradicts it.
    """

    changed: bool
    host_lost: bool = False


@frozen(kw_only=True)
class DisconnectedRack:
    """A rack that reached a host when it last tried and has no link to any region now."""

    name: str
    seen_at: datetime | None


@frozen(kw_only=True)
class WaitLimits:
    """The times for which racks are waited for after `since`, on the clock of the database.

    `running_s` is the time for a rack that runs a call. Another rack is waited for `lost_margin_s` longer than the idle
    timeout of its links, which is `idle_timeout_s` for a rack that does not report it.
    """

    since: datetime
    running_s: float
    lost_margin_s: float
    idle_timeout_s: float


@frozen(kw_only=True)
class AwaitedRack:
    """A rack that may run an older call. `lost_s`: how long it is waited for if it cannot be asked."""

    rack_id: UUID
    name: str
    lost_s: float


def sort_candidates(candidates: Iterable[RackCandidate]) -> tuple[RackCandidate, ...]:
    """Returns racks that reach the host, then racks that have not tried, then racks that failed, oldest failure first.

    Within each group, racks linked to this process come first; ties go to the lower id.
    """
    return tuple(sorted(candidates, key=_sort_key))


def _sort_key(candidate: RackCandidate) -> tuple[int, bool, float, str]:
    rank = {True: 0, None: 1, False: 2}[candidate.reaches]
    failed_at = candidate.since.timestamp() if rank == 2 and candidate.since else 0.0
    return rank, not candidate.here, failed_at, str(candidate.rack_id)
