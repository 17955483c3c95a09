"""What the region gets from a rack over a link, on simulated hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import define, evolve, field

from common.discovery import VolumeRef
from common.errors import DeadlineExceeded, InvalidRequest, NameTaken, NotFound, StaleAttempt, Unsupported
from common.rpc.commands import (
    HOST_ADOPT,
    HOST_COMPOSE,
    HOST_DECOMPOSE,
    HOST_DISCOVER,
    HOST_DISOWN,
    HOST_EVENT,
    HOST_FIND,
    HOST_FORGET,
    HOST_IDENTIFY,
    HOST_POWER,
    HOST_REACH,
    HOST_REMOVE_VOLUMES,
    HOST_WATCH,
    ComposeCall,
    DecomposeCall,
    DiscoveryPart,
    Fence,
    GuestCall,
    HostCall,
    HostEvent,
    HostIdCall,
    MarkCall,
    PowerCall,
    RemoveVolumesCall,
)
from common.rpc.connection import Link, Role, Side
from common.values import DiskSpec, DriverType, GuestEvent, GuestSpec, HostAccess, Mark, PowerAction, PowerState
from common.wire import from_plain
from rackd.commands import GUESTS_PER_PART, HostCommands
from rackd.drivers.registry import Drivers
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.drivers.simulated.guests import add_volume
from rackd.drivers.simulated.store import Store
from rackd.executor import Executor
from rackd.fences import Fences
from rackd.lanes import Track
from rackd.watching import Watching
from tests.holding import hold
from tests.link_pair import link_pair
from tests.waiting import eventually, settle

INSTALLATION = UUID(int=7)
DEADLINE_S = 20.0


@define
class Rack:
    """A rack, and the region's ends of its links."""

    executor: Executor
    commands: HostCommands
    ends: list[Link] = field(factory=list)
    events: list[HostEvent] = field(factory=list)

    def in_line(self) -> int:
        """How many calls at host 1 run or wait for their turn."""
        lane = self.executor._lanes.get(1)
        return sum(line.wanted for line in lane.lines(Track.ORDERED)) if lane else 0

    async def link(self) -> Link:
        def heard(_: Link, name: str, body: Any) -> None:
            assert name == HOST_EVENT
            self.events.append(from_plain(body, HostEvent))

        rack, region = await link_pair(
            rack=Side(role=Role.RACK, name="r1", handlers=self.commands.handlers()),
            region=Side(role=Role.REGION, name="region", on_event=heard),
        )
        self.ends += [rack, region]
        return region


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    drivers = Drivers(
        {DriverType.SIMULATED: SimulatedHosts(tmp_path)}, absent={DriverType.LXD: "it is not written yet"}
    )
    executor = Executor(drivers.open, linger_s=0.1)
    made = Rack(
        executor,
        HostCommands(executor=executor, drivers=drivers, fences=Fences(), watching=Watching(executor)),
    )

    async def finish() -> None:
        for end in made.ends:
            end.close("the test is over")
            await end.closed()
        await executor.stop(grace_s=0.1)

    yield made
    settle(finish())


def access(parameters: str = "", host_id: int = 1) -> HostAccess:
    return HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=f"simulated:host{host_id}?{parameters}",
        installation_id=INSTALLATION,
    )


def spec(name: str) -> GuestSpec:
    return GuestSpec(
        name=name,
        mark=Mark(installation_id=INSTALLATION, machine_id=uuid4()),
        architecture="amd64",
        cores=1,
        memory_mib=512,
        disks=(DiskSpec(volume=f"{name}-0", pool_id="default", size_bytes=1000, serial="s0"),),
    )


def fence(of: GuestSpec, attempt: int = 1, operation_id: int = 1) -> Fence:
    return Fence(machine_id=str(of.mark.machine_id), operation_id=operation_id, attempt=attempt)


async def compose(link: Link, made: GuestSpec, *, parameters: str = "", attempt: int = 1) -> Any:
    call = ComposeCall(access=access(parameters), spec=made, fence=fence(made, attempt))
    return await link.call(HOST_COMPOSE, call, deadline_s=DEADLINE_S)


async def discover(link: Link, parameters: str) -> list[DiscoveryPart]:
    call = HostCall(access=access(parameters))
    return [part async for part in link.stream(HOST_DISCOVER, call, deadline_s=DEADLINE_S)]


async def test_reaching_a_host_tells_its_version(rack: Rack) -> None:
    link = await rack.link()
    reached = await link.call(HOST_REACH, HostCall(access=access()), deadline_s=DEADLINE_S)
    assert reached.hypervisor_version == "1.0"


async def test_a_discovery_comes_in_parts_with_facts_first_and_calls_last(rack: Rack) -> None:
    parts = await discover(await rack.link(), "guests=60")
    assert [len(part.guests) for part in parts] == [GUESTS_PER_PART, GUESTS_PER_PART, 10]
    assert [part.facts is not None for part in parts] == [True, False, False]
    assert [part.last for part in parts] == [False, False, True]
    assert [part.calls for part in parts] == [0, 0, 3]
    assert len({guest.guest_id for part in parts for guest in part.guests}) == 60


@pytest.mark.parametrize(("guests", "parts"), [(0, 1), (1, 1), (25, 1), (26, 2), (50, 2)])
async def test_every_discovery_ends_in_one_last_part(rack: Rack, guests: int, parts: int) -> None:
    found = await discover(await rack.link(), f"guests={guests}")
    assert len(found) == parts
    assert [part.last for part in found].count(True) == 1
    assert found[-1].last


async def test_a_guest_is_adopted_and_let_go_again(rack: Rack) -> None:
    link = await rack.link()
    (part,) = await discover(link, "guests=1")
    (found,) = part.guests
    mark = Mark(installation_id=INSTALLATION, machine_id=uuid4())

    def call(attempt: int) -> MarkCall:
        fence = Fence(machine_id=str(mark.machine_id), operation_id=1, attempt=attempt)
        return MarkCall(
            access=access("guests=1"), guest_id=found.guest_id, guest_name=found.name, mark=mark, fence=fence
        )

    adopted = await link.call(HOST_ADOPT, call(2), deadline_s=DEADLINE_S)
    assert adopted == evolve(found, mark=mark)
    with pytest.raises(StaleAttempt):
        await link.call(HOST_DISOWN, call(1), deadline_s=DEADLINE_S)
    await link.call(HOST_DISOWN, call(2), deadline_s=DEADLINE_S)
    (part,) = await discover(link, "guests=1")
    assert part.guests == (found,)


async def test_a_machine_lives_from_compose_to_decompose(rack: Rack) -> None:
    link, made = await rack.link(), spec("vm")
    guest = await compose(link, made)
    assert guest.mark == made.mark
    switched = await link.call(
        HOST_POWER,
        PowerCall(access=access(), guest=made.ref, action=PowerAction.ON, grace_s=1, fence=fence(made)),
        deadline_s=DEADLINE_S,
    )
    assert switched.power is PowerState.ON
    found = await link.call(HOST_FIND, GuestCall(access=access(), guest=made.ref), deadline_s=DEADLINE_S)
    assert found.guest == evolve(guest, power=PowerState.ON)
    gone = DecomposeCall(access=access(), guest=made.ref, fence=fence(made), volumes=(("default", "vm-0"),))
    await link.call(HOST_DECOMPOSE, gone, deadline_s=DEADLINE_S)
    found = await link.call(HOST_FIND, GuestCall(access=access(), guest=made.ref), deadline_s=DEADLINE_S)
    assert found.guest is None


async def test_volumes_that_no_guest_has_are_told_with_a_discovery_and_removed(rack: Rack, tmp_path: Path) -> None:
    link, made = await rack.link(), spec("vm")
    await compose(link, made)
    left = evolve(made.mark, machine_id=uuid4())
    names = [f"left-{number:02}" for number in range(40)]  # more than fit into a part
    store = Store(tmp_path / "host1.sqlite")
    with store.writing() as db:
        for name in names:
            add_volume(db, pool="default", name=name, size_bytes=1, mark=left)
    store.close()
    parts = await discover(link, "")
    assert [one.name for part in parts for one in part.unused_volumes] == names
    assert [part.volumes_told for part in parts] == [(), ("default",)]
    call = RemoveVolumesCall(
        access=access(), mark=left, volumes=tuple(VolumeRef(pool_id="default", name=name) for name in names),
        fence=Fence(machine_id=str(left.machine_id), operation_id=1, attempt=1),
    )  # fmt: skip
    await link.call(HOST_REMOVE_VOLUMES, call, deadline_s=DEADLINE_S)
    (part,) = await discover(link, "")
    assert (part.unused_volumes, [guest.name for guest in part.guests]) == ((), ["vm"])


async def test_errors_of_a_driver_reach_the_region_as_they_are(rack: Rack) -> None:
    link, made = await rack.link(), spec("foreign-0001")
    with pytest.raises(NameTaken, match="foreign-0001"):
        await compose(link, made, parameters="guests=1")
    power = PowerCall(access=access(), guest=made.ref, action=PowerAction.ON, grace_s=1, fence=fence(made))
    with pytest.raises(NotFound):
        await link.call(HOST_POWER, power, deadline_s=DEADLINE_S)
    with pytest.raises(InvalidRequest, match="unknown parameter 'colour'"):
        await link.call(HOST_REACH, HostCall(access=access("colour=red")), deadline_s=DEADLINE_S)


async def test_a_host_type_that_the_rack_lacks_is_unsupported_and_says_why(rack: Rack) -> None:
    link = await rack.link()
    with pytest.raises(Unsupported, match=r"type 'lxd': it is not written yet\."):
        await link.call(HOST_REACH, HostCall(access=evolve(access(), driver=DriverType.LXD)), deadline_s=DEADLINE_S)
    with pytest.raises(Unsupported, match="has no driver for it"):
        await link.call(HOST_REACH, HostCall(access=evolve(access(), driver=DriverType.LIBVIRT)), deadline_s=DEADLINE_S)


async def test_a_simulated_host_presents_nothing_to_pin(rack: Rack) -> None:
    link = await rack.link()
    with pytest.raises(Unsupported, match="nothing to pin"):
        await link.call(HOST_IDENTIFY, HostCall(access=access()), deadline_s=DEADLINE_S)


async def test_an_attempt_older_than_the_newest_seen_does_nothing(rack: Rack) -> None:
    link, made = await rack.link(), spec("vm")
    gone = DecomposeCall(access=access(), guest=made.ref, fence=fence(made, attempt=2))
    await link.call(HOST_DECOMPOSE, gone, deadline_s=DEADLINE_S)
    with pytest.raises(StaleAttempt):
        await compose(link, made, attempt=1)
    assert (await discover(link, ""))[0].guests == ()


async def test_an_attempt_that_became_old_while_it_waited_for_its_turn_does_nothing(rack: Rack, tmp_path: Path) -> None:
    link, made = await rack.link(), spec("vm")
    gone = DecomposeCall(access=access(), guest=made.ref, fence=fence(made, attempt=2))
    with hold(tmp_path, "host1"):
        before = asyncio.ensure_future(discover(link, ""))
        late = asyncio.ensure_future(compose(link, made, attempt=1))
        newer = asyncio.ensure_future(link.call(HOST_DECOMPOSE, gone, deadline_s=DEADLINE_S))
        await eventually(lambda: rack.in_line() == 3)
    with pytest.raises(StaleAttempt):
        await late
    await asyncio.gather(before, newer)
    assert (await discover(link, ""))[0].guests == ()


async def test_a_slow_host_is_given_up_at_the_callers_deadline_and_others_answer_meanwhile(
    rack: Rack, tmp_path: Path
) -> None:
    link = await rack.link()
    with hold(tmp_path, "host1"):
        stuck = asyncio.ensure_future(link.call(HOST_REACH, HostCall(access=access()), deadline_s=1.0))
        other = HostCall(access=access(host_id=2))
        reached = await link.call(HOST_REACH, other, deadline_s=DEADLINE_S)
        assert reached.hypervisor_version == "1.0"
        with pytest.raises(DeadlineExceeded):
            await stuck
        await eventually(lambda: rack.executor.given_up(1) == 1)


async def test_events_follow_on_every_link_that_asked_and_on_no_other(rack: Rack) -> None:
    asking, silent = await rack.link(), await rack.link()
    await asking.call(HOST_WATCH, HostCall(access=access()), deadline_s=DEADLINE_S)
    await asking.call(HOST_WATCH, HostCall(access=access()), deadline_s=DEADLINE_S)
    await compose(silent, spec("vm"))
    await eventually(lambda: rack.events)
    assert [(one.host_id, one.change.event, one.change.guest_name) for one in rack.events] == [
        (1, GuestEvent.APPEARED, "vm")
    ]


async def test_a_watch_outlives_one_of_its_links_and_ends_with_the_last(rack: Rack) -> None:
    first, second, other = await rack.link(), await rack.link(), await rack.link()
    for link in (first, second):
        await link.call(HOST_WATCH, HostCall(access=access()), deadline_s=DEADLINE_S)
    first.close("gone")
    await first.closed()
    await compose(other, spec("one"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["one"])
    second.close("gone")
    await second.closed()
    await other.call(HOST_WATCH, HostCall(access=access()), deadline_s=DEADLINE_S)
    await compose(other, spec("two"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["one", "two"])


async def test_a_changed_access_starts_the_watch_anew(rack: Rack) -> None:
    link = await rack.link()
    for parameters in ("", "cores=8"):
        await link.call(HOST_WATCH, HostCall(access=access(parameters)), deadline_s=DEADLINE_S)
    await compose(link, spec("vm"))
    await eventually(lambda: rack.events)
    assert len(rack.events) == 1


async def test_a_watch_that_cannot_begin_says_so_and_can_be_asked_again(rack: Rack) -> None:
    link = await rack.link()
    with pytest.raises(DeadlineExceeded):
        await link.call(HOST_WATCH, HostCall(access=access("delay_ms=5000")), deadline_s=0.2)
    await link.call(HOST_WATCH, HostCall(access=access()), deadline_s=DEADLINE_S)
    await compose(link, spec("vm"))
    await eventually(lambda: len(rack.events) == 1)


async def test_a_forgotten_host_sends_no_more_events(rack: Rack) -> None:
    link = await rack.link()
    await link.call(HOST_WATCH, HostCall(access=access()), deadline_s=DEADLINE_S)
    await link.call(HOST_WATCH, HostCall(access=access(host_id=2)), deadline_s=DEADLINE_S)
    await link.call(HOST_FORGET, HostIdCall(host_id=1), deadline_s=DEADLINE_S)
    await compose(link, spec("unheard"))
    other = spec("heard")
    call = ComposeCall(access=access(host_id=2), spec=other, fence=fence(other))
    await link.call(HOST_COMPOSE, call, deadline_s=DEADLINE_S)
    await eventually(lambda: rack.events)
    assert {one.change.guest_name for one in rack.events} == {"heard"}
