"""Decides why a machine that should run is off, and which machines of a host are started next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from attrs import frozen

BEFORE_LOSS = timedelta(minutes=10)  # a host that shuts down stops its guests while it still answers
AFTER_RETURN = timedelta(minutes=1)
AFTER_OPERATION = timedelta(minutes=10)  # within which a refresh follows
CLOCKS = timedelta(minutes=1)  # by which the clock of a hypervisor may differ
STAYS_OFF = timedelta(minutes=10)
TOGETHER_AFTER = timedelta(minutes=2)
MOST_AT_ONCE = 10  # starts of one host
MOST_TRIES = 3


class Verdict(StrEnum):
    """Why a machine that should run is off. HOST and UNCLEAR are values of machine.stopped_with."""

    HOST = "host"  # its host was away meanwhile
    UNCLEAR = "unclear"  # with its host, or somebody stopped it there
    STOPPED = "stopped"  # by itself or on its host, which stayed up
    UNDECIDED = "undecided"  # more is known later


@frozen(kw_only=True)
class Stopped:
    """A machine that should run and was found off, on a host that can be reached now.

    `lost_at` and `back_at` are from the last time that the host was away. `runs` counts the guests of its server that
    run; `through` of them began before the host was lost, and `anew` after it. `together` counts the machines of
    the host that were found off within a minute of this one, with itself. `busy_until` is the end of an operation that
    was open when the host was back: until then, refreshes left the machine as it was.
    """

    machine_id: int
    system_id: str
    hostname: str
    host_id: int
    host_name: str
    off_at: datetime
    lost_at: datetime | None
    back_at: datetime | None
    runs: int
    through: int
    anew: int
    together: int
    busy_until: datetime | None = None
    is_unclear: bool = False  # so far


def verdict(one: Stopped, now: datetime) -> Verdict:
    """Returns why the machine is off, or UNDECIDED.

    A guest that runs through proves that its host did not restart. What cannot be known is never HOST, so that nothing
    is started that somebody stopped.
    """
    if _is_by_outage(one) and not one.through:
        was_stopped_before = one.lost_at is not None and one.off_at < one.lost_at
        if not was_stopped_before or (one.runs == one.anew and (one.anew or one.together > 1)):
            return Verdict.HOST
        return Verdict.UNCLEAR
    if one.is_unclear:
        return Verdict.UNDECIDED
    if one.busy_until is not None and not one.through and one.off_at <= one.busy_until + AFTER_OPERATION:
        return Verdict.UNCLEAR
    age = now - one.off_at
    if not one.runs and one.together > 1:
        return Verdict.UNCLEAR if age >= TOGETHER_AFTER else Verdict.UNDECIDED
    return Verdict.STOPPED if age >= STAYS_OFF else Verdict.UNDECIDED


def _is_by_outage(one: Stopped) -> bool:
    """Returns whether the machine was found off from shortly before its host was lost until it was back."""
    if one.lost_at is None or one.back_at is None:
        return False
    return one.lost_at - BEFORE_LOSS <= one.off_at <= one.back_at + AFTER_RETURN


@frozen(kw_only=True)
class ToStart:
    """A machine that is to be started. Those of a host with higher `priority` start first."""

    machine_id: int
    system_id: str
    host_id: int
    hostname: str
    priority: int = 0
    delay_s: int = 0


@frozen(kw_only=True)
class Progress:
    """The starts of a host since it was back: how many continue, and until when the last one delays the next."""

    open: int = 0
    next_at: datetime | None = None


def due(waiting: Iterable[ToStart], progress: Mapping[int, Progress], now: datetime) -> tuple[ToStart, ...]:
    """Returns the machines to start now: of each host those of one priority, up to the first with a delay.

    The next ones are due when these have ended and the delay has passed.
    """
    by_host: dict[int, list[ToStart]] = {}
    for one in sorted(waiting, key=lambda one: (-one.priority, one.hostname)):
        by_host.setdefault(one.host_id, []).append(one)
    found: list[ToStart] = []
    for host_id, machines in by_host.items():
        so_far = progress.get(host_id, Progress())
        if not so_far.open and (so_far.next_at is None or so_far.next_at <= now):
            found += _first_of(machines)
    return tuple(found)


def _first_of(machines: list[ToStart]) -> list[ToStart]:
    first: list[ToStart] = []
    for one in machines[:MOST_AT_ONCE]:
        if one.priority != machines[0].priority:
            break
        first.append(one)
        if one.delay_s:
            break
    return first
