"""Computes usage from two readings of counters. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from attrs import evolve

from common.hosts.usage import Usage
from rackd.drivers.usage_counters import GuestCounters, HostCounters

_NS = 1e9
_HOST_SUMS = ("cpu_cores", "memory_used_bytes")  # of the guests, if the hypervisor does not report the host's own
_SUMS = ("read_rate", "written_rate", "received_rate", "sent_rate")  # no hypervisor reports the host's own

N = TypeVar("N", int, float)


def rate(before: int | None, after: int | None, elapsed_s: float) -> float | None:
    """Returns the growth per second. None if that is unknown: a counter that fell has begun anew, with its guest."""
    if before is None or after is None or elapsed_s <= 0 or after < before:
        return None
    return (after - before) / elapsed_s


def guest_usage(before: GuestCounters | None, after: GuestCounters, elapsed_s: float) -> Usage:
    """Returns the usage between two readings; without an earlier one only the memory is known."""
    first = before or GuestCounters(name=after.name)
    return Usage(
        cpu_cores=_cpu_cores(first.cpu_ns, after.cpu_ns, elapsed_s, after.cores),
        memory_used_bytes=after.memory_used_bytes,
        memory_bytes=after.memory_bytes,
        read_rate=rate(first.read_bytes, after.read_bytes, elapsed_s),
        written_rate=rate(first.written_bytes, after.written_bytes, elapsed_s),
        received_rate=rate(first.received_bytes, after.received_bytes, elapsed_s),
        sent_rate=rate(first.sent_bytes, after.sent_bytes, elapsed_s),
    )


def host_usage(
    before: HostCounters | None, after: HostCounters, elapsed_s: float, guests: Iterable[Usage]
) -> tuple[Usage, tuple[str, ...]]:
    """Returns the usage of the host, and the names of those of its values that are sums of its `guests`."""
    own = Usage(
        cpu_cores=_cpu_cores(None if before is None else before.cpu_ns, after.cpu_ns, elapsed_s, after.cores),
        memory_used_bytes=after.memory_used_bytes,
        memory_bytes=after.memory_bytes,
    )
    reported = {"cpu_cores": after.cpu_ns, "memory_used_bytes": after.memory_used_bytes}
    summed = (*(name for name in _HOST_SUMS if reported[name] is None), *_SUMS)
    found = tuple(guests)
    return evolve(own, **{name: _sum(getattr(one, name) for one in found) for name in summed}), summed


def _cpu_cores(before: int | None, after: int | None, elapsed_s: float, cores: int | None) -> float | None:
    """At most all cores: two readings are not exactly as far apart as the counters that they return."""
    found = rate(before, after, elapsed_s)
    if found is None:
        return None
    return found / _NS if cores is None else min(found / _NS, float(cores))


def _sum(values: Iterable[N | None]) -> N | None:
    """The sum of what is known; None if nothing is, 0 without values."""
    found = list(values)
    known = [one for one in found if one is not None]
    return sum(known) if known or not found else None
