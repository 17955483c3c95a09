"""What racks forget and gain when zones change: of hosts, of racks, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from regiond.racks.reach.service import RackReach
from regiond.racks.reach.zone_changes import ServedZones, ZoneChange, ZoneChanges, newly_served
from regiond.racks.reach.zone_store import UnservedHost
from regiond.racks.reach_model import Zones
from tests.doubles.signatures import in_place_of

A, B = UUID(int=1), UUID(int=2)
X, Y = 10, 20
AT = datetime(2026, 11, 20, tzinfo=UTC)


class Racks:
    """The racks A of zone x and B of zone y, whose zones a test changes; A has credentials of `unserved`."""

    def __init__(self) -> None:
        self.zones: dict[UUID, Zones] = {A: frozenset({X}), B: frozenset({Y})}
        self.unserved: list[UnservedHost] = []
        self.asked: list[tuple[UUID, int]] = []
        self.silent: set[UUID] = set()
        self.times_read = 0
        self._changes = ZoneChanges(in_place_of(RackReach, self), self.disconnect)

    async def apply(self, hosts: Mapping[int, int], watched: Mapping[int, UUID] | None = None) -> ZoneChange:
        async def read() -> Mapping[int, int]:
            self.times_read += 1
            return hosts

        return await self._changes.apply(read, watched or {})

    async def zones_of_racks(self) -> Mapping[UUID, Zones]:
        return dict(self.zones)

    async def unserved_hosts(self) -> Iterable[UnservedHost]:
        return tuple(self.unserved)

    async def record_forgotten(self, unserved: UnservedHost) -> None:
        self.unserved.remove(unserved)

    async def disconnect(self, rack_id: UUID, host_id: int) -> bool:
        self.asked.append((rack_id, host_id))
        return rack_id not in self.silent


async def test_a_rack_gains_a_host_that_moves_to_its_zone() -> None:
    racks = Racks()
    await racks.apply({1: X, 2: Y})
    assert (await racks.apply({1: Y, 2: Y, 3: Y})).served == {B: frozenset({1})}
    assert (await racks.apply({1: Y, 2: Y, 3: Y})).served == {}


async def test_a_rack_of_all_zones_gains_what_it_did_not_serve() -> None:
    racks = Racks()
    await racks.apply({1: X, 2: Y})
    racks.zones[A] = None
    assert (await racks.apply({1: X, 2: Y})).served == {A: frozenset({2})}


async def test_hosts_are_not_read_while_each_rack_serves_all_zones() -> None:
    racks = Racks()
    racks.zones = {A: None, B: None}
    for _ in range(2):
        assert (await racks.apply({1: X, 2: Y}, {1: A})).forgotten == frozenset()
    assert racks.times_read == 0
    racks.zones[A] = frozenset({Y})
    assert (await racks.apply({1: X, 2: Y}, {1: A})).forgotten == {(A, 1)}
    racks.zones[A] = None
    assert (await racks.apply({1: X, 2: Y})).served == {A: frozenset({1})}


async def test_a_rack_that_disconnects_gains_nothing() -> None:
    racks = Racks()
    await racks.apply({1: X, 2: Y})
    del racks.zones[A]
    assert (await racks.apply({1: X, 2: Y})).served == {}


async def test_a_watched_host_without_credentials_is_forgotten_too() -> None:
    racks = Racks()
    change = await racks.apply({1: Y, 2: Y}, {1: A, 2: B})
    assert change.forgotten == {(A, 1)}
    assert racks.asked == [(A, 1)]


async def test_a_rack_that_does_not_confirm_is_asked_once_in_each_round() -> None:
    racks = Racks()
    of_a = [UnservedHost(rack_id=A, host_id=host_id, seen_at=AT) for host_id in (1, 2)]
    of_b = evolve(of_a[0], rack_id=B, host_id=3)
    racks.unserved = [*of_a, of_b]
    racks.silent = {A}
    assert (await racks.apply({1: Y, 2: Y, 3: X})).forgotten == {(B, 3)}
    assert (racks.unserved, sorted(racks.asked)) == (of_a, [(A, 1), (B, 3)])
    racks.silent = set()
    assert (await racks.apply({1: Y, 2: Y, 3: X})).forgotten == {(A, 1), (A, 2)}
    assert racks.unserved == []


_zones = st.one_of(st.none(), st.frozensets(st.integers(1, 3)))
_served = st.builds(
    ServedZones,
    hosts=st.dictionaries(st.integers(1, 6), st.integers(1, 3)),
    racks=st.dictionaries(st.sampled_from([A, B, UUID(int=3)]), _zones),
)


@given(_served, _served)
def test_a_rack_gains_exactly_the_hosts_it_did_not_serve(before: ServedZones, now: ServedZones) -> None:
    gained = newly_served(before, now)
    for rack_id in {*before.racks, *now.racks}:
        expected = {
            host_id
            for host_id in before.hosts.keys() & now.hosts.keys()
            if rack_id in before.racks and now.serves(rack_id, host_id) and not before.serves(rack_id, host_id)
        }
        assert gained.get(rack_id, frozenset()) == expected
