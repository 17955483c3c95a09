"""Definitions of guests are read once, and again when they may have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from uuid import UUID

import pytest
from attrs import define, field, frozen

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound
from rackd.drivers.libvirt.client import BulkDomain
from rackd.drivers.libvirt.definitions import AGAIN, READING_S, Definitions

MANY = AGAIN * 3
ON, OFF = 1, 5


@define
class Host:
    """A connection that counts readings. `broken`: what reading these guests raises, by their numbers."""

    hears: bool = True
    pins: dict[int, int] = field(factory=dict)
    broken: dict[int, InnkeeperError] = field(factory=dict)
    read: list[int] = field(factory=list)
    tell: Callable[[str], None] = field(default=lambda _uuid: None)
    while_read: Callable[[], None] = field(default=lambda: None)
    now: float = 0.0
    slowness_s: float = 0.0

    def on_change(self, listener: Callable[[str], None]) -> bool:
        self.tell = listener
        return self.hears

    def changes(self, number: int) -> None:
        self.tell(uuid_of(number))

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
def definitions(host: Host) -> Definitions:
    return Definitions(host, clock=host.clock)


def pin(definitions: Definitions, domains: list[BulkDomain], number: int) -> int:
    return definitions.of(domains).definitions[uuid_of(number)].pinned_core_ids[0]


def reads(host: Host, look: Callable[[], object]) -> int:
    before = len(host.read)
    look()
    return len(host.read) - before


def test_the_first_look_reads_each_once_and_later_ones_as_many_however_many_guests_there_are(
    host: Host, definitions: Definitions
) -> None:
    some, more = host.domains(range(MANY)), host.domains(range(MANY * 2))
    looks = [some, some, some, more, more, more]
    assert [reads(host, partial(definitions.of, domains)) for domains in looks] == [
        MANY, AGAIN, AGAIN, MANY + AGAIN, AGAIN, AGAIN,
    ]  # fmt: skip


def test_a_guest_of_which_a_change_was_told_is_read_at_the_next_look(host: Host, definitions: Definitions) -> None:
    domains = host.domains(range(MANY))
    definitions.of(domains)
    host.pins[MANY - 1] = 3
    assert pin(definitions, domains, MANY - 1) == 0, "nobody told, and it is not its turn"
    host.changes(MANY - 1)
    assert pin(definitions, domains, MANY - 1) == 3


def test_a_change_that_is_told_while_a_guest_is_read_counts_for_the_next_look(
    host: Host, definitions: Definitions
) -> None:
    domains = host.domains(range(MANY))

    def pinned_meanwhile() -> None:
        if host.read[-1] == MANY - 1:
            host.pins[MANY - 1] = 7
            host.changes(MANY - 1)
            host.while_read = lambda: None

    host.while_read = pinned_meanwhile
    assert pin(definitions, domains, MANY - 1) == 0
    assert pin(definitions, domains, MANY - 1) == 7


def test_a_guest_that_is_off_is_read_again_when_its_turn_comes_since_nothing_is_told_of_it(
    host: Host, definitions: Definitions
) -> None:
    domains = [*host.domains(range(MANY)), *host.domains([MANY], state=OFF)]
    definitions.of(domains)
    host.pins[MANY] = 2
    assert pin(definitions, domains, MANY) == 2, "those that run do not come before it"
    all_off = host.domains(range(MANY), state=OFF)
    definitions.of(all_off)
    host.pins = dict.fromkeys(range(MANY), 4)
    for _ in range(MANY // AGAIN):
        told = definitions.of(all_off).definitions
    assert {one.pinned_core_ids for one in told.values()} == {(4,)}


def test_where_nothing_is_told_of_changes_those_that_run_have_their_turn_as_well() -> None:
    host = Host(hears=False)
    definitions = Definitions(host, clock=host.clock)
    domains = [*host.domains(range(MANY)), *host.domains(range(MANY, MANY * 2), state=OFF)]
    definitions.of(domains)
    host.pins[0] = 5
    assert pin(definitions, domains, 0) == 5


def test_what_the_statistics_show_as_changed_is_read_again_whatever_was_told() -> None:
    host = Host(hears=False)
    definitions = Definitions(host, clock=host.clock)
    definitions.of(host.domains(range(MANY)))
    host.pins[MANY - 1] = 6
    changed = [*host.domains(range(MANY - 1)), *host.domains([MANY - 1], memory_kib=2048)]
    assert pin(definitions, changed, MANY - 1) == 6
    host.pins[MANY - 1] = 1
    off = [*host.domains(range(MANY - 1)), *host.domains([MANY - 1], memory_kib=2048, state=OFF)]
    assert pin(definitions, off, MANY - 1) == 1


def test_a_guest_that_goes_while_guests_are_read_is_gone_and_the_others_stand(
    host: Host, definitions: Definitions
) -> None:
    host.broken[1] = NotFound("it is gone")
    told = definitions.of(host.domains(range(3)))
    assert told.gone == {uuid_of(1)}
    assert not told.problems
    assert set(told.definitions) == {uuid_of(0), uuid_of(2)}


def test_a_definition_that_cannot_be_read_is_a_problem_and_is_tried_again(host: Host, definitions: Definitions) -> None:
    domains = host.domains(range(3))
    host.broken[1] = DriverFailed("broken")
    told = definitions.of(domains)
    assert [(one.subject, "broken" in one.message) for one in told.problems] == [("vm1", True)]
    assert set(told.definitions) == {uuid_of(0), uuid_of(2)}
    assert not told.gone
    host.broken.clear()
    assert not definitions.of(domains).problems


def test_a_lost_connection_ends_the_look(host: Host, definitions: Definitions) -> None:
    host.broken[1] = HostUnreachable("lost")
    with pytest.raises(HostUnreachable):
        definitions.of(host.domains(range(3)))


def test_what_cannot_be_read_in_time_is_left_to_the_next_look(host: Host, definitions: Definitions) -> None:
    domains = host.domains(range(10))
    host.slowness_s = READING_S / 4
    first = definitions.of(domains)
    assert (len(first.definitions), [one.message[:10] for one in first.problems]) == (5, ["Of 10 gues"])
    second = definitions.of(domains)
    assert len(second.definitions) == 10
    assert not second.problems


def test_a_guest_that_is_listed_no_more_is_forgotten(host: Host, definitions: Definitions) -> None:
    definitions.of(host.domains(range(3)))
    assert set(definitions.of(host.domains([1])).definitions) == {uuid_of(1)}
    assert len(definitions.of(host.domains(range(3))).definitions) == 3
