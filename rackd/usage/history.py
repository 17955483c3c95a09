"""Keeps the samples of one hour of hosts and guests, in a bounded amount of memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from attrs import define, field, frozen

from common.hosts.usage import HISTORY_FIELDS, SAMPLES, GuestUsage, HostUsage, Usage, UsageHistory
from rackd.drivers.usage_counters import GuestCounters, HostCounters
from rackd.usage.rates import guest_usage, host_usage

_FIELDS = len(HISTORY_FIELDS)
SERIES_BYTES = SAMPLES * _FIELDS * 4  # 8.6 kB
MAX_SERIES = 5_000  # 43 MB. Guests beyond it have their newest sample only
MAX_GUESTS = 10_000  # of a host; an hypervisor that reports more is not believed

Key = tuple[str, str]  # project and name of a guest
_HOST = None  # the key of the host's own series; a guest's is its name
_NOTHING = array("f", [math.nan] * _FIELDS)
_EMPTY = array("f", [math.nan]) * (SAMPLES * _FIELDS)


@frozen(kw_only=True)
class Reading:
    """The counters of a host, and when they were read: `at_s` since 1970, `clock_s` on a clock that is never set.

    Guests of other projects than `project` count for the sum of the host only; empty: there are no projects.
    """

    counters: HostCounters
    project: str = ""
    at_s: float
    clock_s: float


@define
class _Series:
    """A ring of samples. `seen` is the number of the newest sample that has values."""

    values: array[float] = field(factory=lambda: _EMPTY[:])
    seen: int = 0

    def put(self, number: int, usage: Usage | None) -> None:
        start = number % SAMPLES * _FIELDS
        self.values[start : start + _FIELDS] = _NOTHING if usage is None else _packed(usage)
        if usage is not None:
            self.seen = number


@define(eq=False)
class HostHistory:
    """The samples of one host."""

    host_id: int
    reading: Reading | None = None
    newest: HostUsage | None = None
    _times: array[float] = field(factory=lambda: array("d", [0.0]) * SAMPLES)
    _count: int = 0
    _series: dict[str | None, _Series] = field(factory=dict)

    @property
    def series(self) -> int:
        """The number of guests, and the host, that have a series here."""
        return len(self._series)

    def add(self, reading: Reading, *, room: int) -> None:
        """Adds a sample. At most `room` guests get a new series."""
        before, elapsed_s = self.reading, 0.0
        if before is not None:
            elapsed_s = reading.clock_s - before.clock_s
        earlier: Mapping[Key, GuestCounters] = {} if before is None else _by_key(before.counters)
        counters = _by_key(reading.counters)
        found = {key: guest_usage(earlier.get(key), one, elapsed_s) for key, one in counters.items()}
        own, summed = host_usage(
            None if before is None else before.counters, reading.counters, elapsed_s, found.values()
        )
        others = bool(reading.project)
        own_keys = [key for key in found if not others or key[0] in {"", reading.project}]
        guests = {key[1]: found[key] for key in own_keys}
        samples: dict[str | None, Usage] = {_HOST: own}
        samples.update(guests)
        self._record(samples, reading.at_s, room)
        self.reading = reading
        self.newest = HostUsage(
            host_id=self.host_id, at=datetime.fromtimestamp(reading.at_s, UTC), usage=own, summed=summed,
            guests=tuple(_sampled(counters[key], found[key]) for key in own_keys),
        )  # fmt: skip

    def read(self, guest: str | None) -> UsageHistory:
        """Returns the samples of a guest, or of the host (None); none of a guest that has no series."""
        series = self._series.get(guest)
        if series is None or not self._count:
            return UsageHistory()
        numbers = range(max(0, self._count - SAMPLES), self._count)
        newest_s = self._times[(self._count - 1) % SAMPLES]
        columns = {
            name: tuple(_known(series.values[number % SAMPLES * _FIELDS + index]) for number in numbers)
            for index, name in enumerate(HISTORY_FIELDS)
        }
        return UsageHistory(
            at=datetime.fromtimestamp(newest_s, UTC),
            ages_s=tuple(round(newest_s - self._times[number % SAMPLES], 1) for number in numbers),
            **columns,
        )

    def _record(self, found: Mapping[str | None, Usage], at_s: float, room: int) -> None:
        number = self._count
        self._times[number % SAMPLES] = at_s
        self._count += 1
        for key in found:
            if key not in self._series and (room > 0 or key is _HOST):
                self._series[key] = _Series()
                room -= 1
        for key, series in tuple(self._series.items()):
            series.put(number, found.get(key))
            if number - series.seen >= SAMPLES:
                del self._series[key]


def _sampled(counters: GuestCounters, usage: Usage) -> GuestUsage:
    return GuestUsage(
        name=counters.name, usage=usage, memory_is_reported=counters.memory_is_reported,
        space_share=counters.space_share,
    )  # fmt: skip


class Histories:
    """The histories of all hosts of a rack. Use it in the event loop's thread."""

    def __init__(self, *, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self._hosts: dict[int, HostHistory] = {}

    def __iter__(self) -> Iterator[HostHistory]:
        return iter(self._hosts.values())

    @property
    def series(self) -> int:
        return sum(one.series for one in self._hosts.values())

    def add(self, host_id: int, reading: Reading) -> None:
        host = self._hosts.setdefault(host_id, HostHistory(host_id))
        host.add(reading, room=self._max_series - self.series)

    def get(self, host_id: int) -> HostHistory | None:
        return self._hosts.get(host_id)

    def forget(self, *, before_s: float) -> None:
        """Drops hosts whose newest sample is older, in seconds since 1970."""
        self._hosts = {
            host_id: one for host_id, one in self._hosts.items() if one.reading is None or one.reading.at_s >= before_s
        }


def _by_key(counters: HostCounters) -> dict[Key, GuestCounters]:
    return {(one.project, one.name): one for one in counters.guests[:MAX_GUESTS]}


def _packed(usage: Usage) -> array[float]:
    values = (getattr(usage, name) for name in HISTORY_FIELDS)
    return array("f", [math.nan if one is None else one for one in values])


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
