"""The condition of a host: what its state, error, maintenance and the age of its data say. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from attrs import frozen

from regiond.hosts.model import HostState

STALE_AFTER = timedelta(minutes=10)  # at least: a refresh that fails twice in a row makes a host's data old


class HostCondition(StrEnum):
    """The most important of what is known of a host."""

    CONNECTED = "connected"
    STALE = "stale"  # the last successful refresh is long ago
    CLOSED = "closed"  # for placement, by somebody
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"  # the server is not the one that was pinned
    WAITING_FOR_TRUST = "waiting_for_trust"
    NOT_REACHED = "not_reached"  # never yet
    REMOVING = "removing"


_BY_ERROR = {
    "peer_changed": HostCondition.REJECTED,
    "server_unconfirmed": HostCondition.REJECTED,
    "not_trusted": HostCondition.WAITING_FOR_TRUST,
}
_BY_STATE = {
    HostState.REMOVING: HostCondition.REMOVING,
    HostState.UNREACHABLE: HostCondition.UNREACHABLE,
    HostState.PENDING: HostCondition.NOT_REACHED,
}
_WRONG = frozenset({
    HostCondition.STALE, HostCondition.UNREACHABLE, HostCondition.REJECTED, HostCondition.WAITING_FOR_TRUST,
})  # fmt: skip


def stale_after(refresh_every_s: float) -> timedelta:
    """Returns the age from which the data of a host that is refreshed so often are old."""
    return max(STALE_AFTER, timedelta(seconds=2 * refresh_every_s))


@frozen(kw_only=True)
class Judgement:
    """The condition, whether somebody should look at the host, and whether it is open for placement."""

    condition: HostCondition
    needs_attention: bool
    is_open: bool


def judge(
    state: HostState,
    error_code: str | None,
    refreshed_at: datetime | None,
    now: datetime,
    *,
    in_maintenance: bool,
    stale_after: timedelta = STALE_AFTER,
) -> Judgement:
    """Returns the condition of a host with these facts, the most important first."""
    is_stale = refreshed_at is not None and now - refreshed_at > stale_after
    condition = _condition(state, error_code, in_maintenance=in_maintenance, is_stale=is_stale)
    never_reached = condition is HostCondition.NOT_REACHED and error_code is not None
    return Judgement(
        condition=condition,
        needs_attention=condition in _WRONG or never_reached,
        is_open=condition in {HostCondition.CONNECTED, HostCondition.STALE},
    )


def _condition(state: HostState, error_code: str | None, *, in_maintenance: bool, is_stale: bool) -> HostCondition:
    if state is not HostState.REMOVING and error_code in _BY_ERROR:
        return _BY_ERROR[error_code]
    if state in _BY_STATE:
        return _BY_STATE[state]
    if in_maintenance:
        return HostCondition.CLOSED
    return HostCondition.STALE if is_stale else HostCondition.CONNECTED
