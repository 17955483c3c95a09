"""The domain cache reads each domain once, and again after changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from uuid import UUID

import pytest
from attrs import define, field, frozen

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound
from rackd.drivers.libvirt.connection.client import BulkDomain
from rackd.drivers.libvirt.inventory.domain_cache import READ_LIMIT_S, REREAD_DOMAINS, DomainCache

MANY = REREAD_DOMAINS * 3
ON, OFF = 1, 5


@define
class Host:
    """A connection that records reads. `broken` maps a domain's number to the error that its read raises."""

    sends_events: bool = True
    pins: dict[int, int] = field(factory=dict)
    broken: dict[int, InnkeeperError] = field(factory=dict)
    read: list[int] = field(factory=list)
    notify: Callable[[str], None] = field(default=lambda _uuid: None)
    while_read: Callable[[], None] = field(default=lambda: None)
    now: float = 0.0
    slowness_s: float = 0.0

    def on_change(self, listener: Callable[[str], None]) -> bool:
        self.notify = listener
        return self.sends_events

    def changes(self, number: int) -> None:
        self.notify(uuid_of(number))

    def clock(self) -> float:
        return self.now

    def domains(self, numbers: Iterable[int], state: int = ON, memory_kib: int = 1024) -> list[BulkDomain]:
        stats = {"state.state": state, "vcpu.current": 1, "balloon.maximum": memory_kib}
        return [
            BulkDomain(name=f"vm{one}", uuid=uuid_of(one), stats=stats, handle=Handle(self, one)) for one in numbers
        ]


@frozen
class Handle:
    host: Host
    number: int

    def xml(self) -> str:
        self.host.read.append(self.number)
        self.host.now += self.host.slowness_s
        if self.number in self.host.broken:
            raise self.host.broken[self.number]
        pin = self.host.pins.get(self.number, 0)
        self.host.while_read()
        return f"<domain><vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='{pin}'/></cputune></domain>"


def uuid_of(number: int) -> str:
    return str(UUID(int=number))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def cache(host: Host) -> DomainCache:
    return DomainCache(host, clock=host.clock)


def pin(cache: DomainCache, domains: list[BulkDomain], number: int) -> int:
    return cache.refresh(domains).configs[uuid_of(number)].pinned_core_ids[0]


def reads(host: Host, refresh: Callable[[], object]) -> int:
    before = len(host.read)
    refresh()
    return len(host.read) - before


def test_later_runs_reread_a_fixed_number_of_domains(host: Host, cache: DomainCache) -> None:
    some, more = host.domains(range(MANY)), host.domains(range(MANY * 2))
    runs = [some, some, some, more, more, more]
    assert [reads(host, partial(cache.refresh, domains)) for domains in runs] == [
        MANY, REREAD_DOMAINS, REREAD_DOMAINS, MANY + REREAD_DOMAINS, REREAD_DOMAINS, REREAD_DOMAINS,
    ]  # fmt: skip


def test_changed_domains_are_reread_in_the_next_run(host: Host, cache: DomainCache) -> None:
    domains = host.domains(range(MANY))
    cache.refresh(domains)
    host.pins[MANY - 1] = 3
    assert pin(cache, domains, MANY - 1) == 0, "no event, and not its turn"
    host.changes(MANY - 1)
    assert pin(cache, domains, MANY - 1) == 3


def test_changes_during_a_read_count_for_the_next_run(host: Host, cache: DomainCache) -> None:
    domains = host.domains(range(MANY))

    def pinned_meanwhile() -> None:
        if host.read[-1] == MANY - 1:
            host.pins[MANY - 1] = 7
            host.changes(MANY - 1)
            host.while_read = lambda: None

    host.while_read = pinned_meanwhile
    assert pin(cache, domains, MANY - 1) == 0
    assert pin(cache, domains, MANY - 1) == 7


def test_domains_that_are_off_are_reread_in_turn(host: Host, cache: DomainCache) -> None:
    domains = [*host.domains(range(MANY)), *host.domains([MANY], state=OFF)]
    cache.refresh(domains)
    host.pins[MANY] = 2
    assert pin(cache, domains, MANY) == 2, "running domains come later"
    all_off = host.domains(range(MANY), state=OFF)
    cache.refresh(all_off)
    host.pins = dict.fromkeys(range(MANY), 4)
    for _ in range(MANY // REREAD_DOMAINS):
        found = cache.refresh(all_off).configs
    assert {one.pinned_core_ids for one in found.values()} == {(4,)}


def test_without_events_running_domains_are_reread_too() -> None:
    host = Host(sends_events=False)
    cache = DomainCache(host, clock=host.clock)
    domains = [*host.domains(range(MANY)), *host.domains(range(MANY, MANY * 2), state=OFF)]
    cache.refresh(domains)
    host.pins[0] = 5
    assert pin(cache, domains, 0) == 5


def test_domains_with_changed_statistics_are_reread() -> None:
    host = Host(sends_events=False)
    cache = DomainCache(host, clock=host.clock)
    cache.refresh(host.domains(range(MANY)))
    host.pins[MANY - 1] = 6
    changed = [*host.domains(range(MANY - 1)), *host.domains([MANY - 1], memory_kib=2048)]
    assert pin(cache, changed, MANY - 1) == 6
    host.pins[MANY - 1] = 1
    off = [*host.domains(range(MANY - 1)), *host.domains([MANY - 1], memory_kib=2048, state=OFF)]
    assert pin(cache, off, MANY - 1) == 1


def test_domains_deleted_during_a_run_are_reported(host: Host, cache: DomainCache) -> None:
    host.broken[1] = NotFound("it was deleted")
    found = cache.refresh(host.domains(range(3)))
    assert found.deleted == {uuid_of(1)}
    assert not found.problems
    assert set(found.configs) == {uuid_of(0), uuid_of(2)}


def test_unreadable_domains_are_problems_and_retried(host: Host, cache: DomainCache) -> None:
    domains = host.domains(range(3))
    host.broken[1] = DriverFailed("broken")
    found = cache.refresh(domains)
    assert [(one.subject, "broken" in one.message) for one in found.problems] == [("vm1", True)]
    assert set(found.configs) == {uuid_of(0), uuid_of(2)}
    assert not found.deleted
    host.broken.clear()
    assert not cache.refresh(domains).problems


def test_a_lost_connection_ends_the_run(host: Host, cache: DomainCache) -> None:
    host.broken[1] = HostUnreachable("lost")
    with pytest.raises(HostUnreachable):
        cache.refresh(host.domains(range(3)))


def test_domains_not_read_in_time_are_read_in_the_next_run(host: Host, cache: DomainCache) -> None:
    domains = host.domains(range(10))
    host.slowness_s = READ_LIMIT_S / 4
    first = cache.refresh(domains)
    assert (len(first.configs), [one.message[:10] for one in first.problems]) == (5, ["5 of 10 gu"])
    second = cache.refresh(domains)
    assert len(second.configs) == 10
    assert not second.problems


def test_unlisted_domains_leave_the_cache(host: Host, cache: DomainCache) -> None:
    cache.refresh(host.domains(range(3)))
    assert set(cache.refresh(host.domains([1])).configs) == {uuid_of(1)}
    assert len(cache.refresh(host.domains(range(3))).configs) == 3
