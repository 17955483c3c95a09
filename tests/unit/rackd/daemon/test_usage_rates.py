from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.hosts.usage import Usage
from rackd.drivers.usage_counters import GuestCounters, HostCounters
from rackd.usage.rates import guest_usage, host_usage, rate

NS = 1_000_000_000


def guest(cpu_s: float | None = 0.0, *, cores: int | None = 2, **counters: Any) -> GuestCounters:
    return GuestCounters(name="web", cores=cores, cpu_ns=None if cpu_s is None else int(cpu_s * NS), **counters)


def test_a_rate_is_the_growth_per_second() -> None:
    found = guest_usage(guest(10, read_bytes=100, sent_bytes=5), guest(15, read_bytes=600, sent_bytes=5), 10.0)
    assert (found.cpu_cores, found.read_rate, found.sent_rate) == (0.5, 50.0, 0.0)
    assert found.written_rate is None


def test_the_first_reading_has_only_the_memory() -> None:
    found = guest_usage(None, guest(10, memory_bytes=200, memory_used_bytes=50, read_bytes=1), 0.0)
    assert found == Usage(memory_bytes=200, memory_used_bytes=50)


def test_a_guest_that_started_again_has_no_rate_once() -> None:
    before, restarted, later = guest(500, read_bytes=900), guest(1, read_bytes=10), guest(11, read_bytes=20)
    assert guest_usage(before, restarted, 10.0) == Usage()
    assert guest_usage(restarted, later, 10.0).cpu_cores == 1.0


def test_a_guest_uses_at_most_all_of_its_cores() -> None:
    assert guest_usage(guest(0), guest(25), 10.0).cpu_cores == 2.0
    assert guest_usage(guest(0, cores=None), guest(25, cores=None), 10.0).cpu_cores == 2.5


@given(
    before=st.none() | st.integers(0, 2**63), after=st.none() | st.integers(0, 2**63),
    elapsed_s=st.floats(-10, 1e6, allow_nan=False),
)  # fmt: skip
def test_a_rate_is_never_negative(before: int | None, after: int | None, elapsed_s: float) -> None:
    found = rate(before, after, elapsed_s)
    assert found is None or found >= 0


def test_a_host_reports_its_own_cpu_and_memory() -> None:
    before = HostCounters(cores=8, cpu_ns=10 * NS)
    after = HostCounters(cores=8, cpu_ns=40 * NS, memory_bytes=100, memory_used_bytes=60)
    found, summed = host_usage(before, after, 10.0, [Usage(cpu_cores=1.0, memory_used_bytes=10, read_rate=5.0)])
    assert (found.cpu_cores, found.memory_used_bytes, found.read_rate) == (3.0, 60, 5.0)
    assert "cpu_cores" not in summed
    assert "read_rate" in summed


def test_without_numbers_of_its_own_a_host_is_the_sum_of_its_guests() -> None:
    guests = [Usage(cpu_cores=1.5, memory_used_bytes=10), Usage(cpu_cores=None, memory_used_bytes=20)]
    found, summed = host_usage(None, HostCounters(), 10.0, guests)
    assert (found.cpu_cores, found.memory_used_bytes, found.sent_rate) == (1.5, 30, None)
    assert {"cpu_cores", "memory_used_bytes", "sent_rate"} <= set(summed)


@pytest.mark.parametrize("elapsed_s", [0.0, -1.0])
def test_without_time_between_them_there_is_no_rate(elapsed_s: float) -> None:
    assert rate(1, 2, elapsed_s) is None
