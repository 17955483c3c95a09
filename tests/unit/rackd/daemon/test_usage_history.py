from __future__ import annotations

from collections.abc import Iterable

import pytest
from attrs import evolve

from common.hosts.usage import SAMPLES, GuestUsage
from rackd.drivers.usage_counters import GuestCounters, HostCounters
from rackd.usage import history
from rackd.usage.history import Histories, HostHistory, Reading

NS = 1_000_000_000
START_S = 1_700_000_000.0


def reading(number: int, guests: Iterable[str] = ("web",)) -> Reading:
    """Each guest uses half a core; the readings are ten seconds apart."""
    counters = HostCounters(
        guests=tuple(
            GuestCounters(name=name, project="p", cpu_ns=number * 5 * NS, memory_used_bytes=number) for name in guests
        )
    )
    return Reading(counters=counters, project="p", at_s=START_S + number * 10, clock_s=number * 10)


def filled(count: int) -> Histories:
    histories = Histories()
    for number in range(count):
        histories.add(1, reading(number))
    return histories


def host_of(histories: Histories) -> HostHistory:
    found = histories.get(1)
    assert found is not None
    return found


def test_the_history_of_a_guest_is_oldest_first() -> None:
    found = host_of(filled(3)).read("web")
    assert found.cpu_cores == (None, 0.5, 0.5)
    assert found.memory_used_bytes == (0, 1, 2)
    assert found.ages_s == (20.0, 10.0, 0.0)
    assert found.at is not None
    assert found.at.timestamp() == START_S + 20


def test_a_full_ring_has_the_newest_samples() -> None:
    found = host_of(filled(SAMPLES + 5)).read("web")
    assert len(found.cpu_cores) == SAMPLES
    assert (found.memory_used_bytes[0], found.memory_used_bytes[-1]) == (5, SAMPLES + 4)


def test_a_guest_that_is_off_leaves_a_gap() -> None:
    histories = filled(2)
    histories.add(1, reading(2, ()))
    histories.add(1, reading(3))
    assert host_of(histories).read("web").memory_used_bytes == (0, 1, None, 3)
    assert [one.name for one in newest_guests(histories)] == ["web"]


def newest_guests(histories: Histories) -> tuple[GuestUsage, ...]:
    newest = host_of(histories).newest
    assert newest is not None
    return newest.guests


def test_a_guest_that_is_gone_for_an_hour_is_forgotten() -> None:
    histories = filled(2)
    for number in range(2, SAMPLES + 1):
        histories.add(1, reading(number, ()))
    assert host_of(histories).series == 2
    histories.add(1, reading(SAMPLES + 1, ()))
    assert host_of(histories).series == 1
    assert host_of(histories).read("web").cpu_cores == ()


def test_the_host_itself_has_a_history() -> None:
    assert host_of(filled(2)).read(None).cpu_cores == (None, 0.5)


def test_guests_beyond_the_limit_have_their_newest_sample_only() -> None:
    histories = Histories(max_series=2)
    for number in range(2):
        histories.add(1, reading(number, ("a", "b", "c")))
    assert histories.series == 2  # the host, and one guest
    assert [one.usage.cpu_cores for one in newest_guests(histories)] == [0.5, 0.5, 0.5]
    assert host_of(histories).read("c").cpu_cores == ()


def test_a_host_with_endless_guests_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_GUESTS", 3)
    histories = Histories()
    histories.add(1, reading(0, [f"guest-{number}" for number in range(10)]))
    assert len(newest_guests(histories)) == 3


def test_old_hosts_are_forgotten() -> None:
    histories = filled(3)
    histories.forget(before_s=START_S + 20)
    assert histories.get(1) is not None
    histories.forget(before_s=START_S + 21)
    assert histories.get(1) is None


def test_memory_is_bounded_by_the_series() -> None:
    assert history.SERIES_BYTES * history.MAX_SERIES < 48 * 1024**2


def test_guests_of_other_projects_count_for_the_host_only() -> None:
    histories = Histories()
    for number in range(2):
        found = reading(number)
        other = evolve(found.counters.guests[0], project="q")
        histories.add(1, evolve(found, counters=evolve(found.counters, guests=(*found.counters.guests, other))))
    assert [one.usage.cpu_cores for one in newest_guests(histories)] == [0.5]
    assert host_of(histories).read(None).cpu_cores == (None, 1.0)
