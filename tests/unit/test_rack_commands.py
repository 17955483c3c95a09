"""Responses of a rack over a link, on simulated hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from attrs import define, evolve, field
from structlog.testing import capture_logs

from common.discovery import VolumeRef
from common.errors import (
    DeadlineExceeded,
    InnkeeperError,
    InvalidRequest,
    NameTaken,
    NotFound,
    StaleAttempt,
    Unsupported,
)
from common.guest_spec import GuestSpec
from common.rpc.command import Command
from common.rpc.connection import Link, Role, Side
from common.rpc.host_commands import (
    HOST_ADOPT,
    HOST_COMPOSE,
    HOST_DECOMPOSE,
    HOST_DISCONNECT,
    HOST_DISCOVER,
    HOST_DISOWN,
    HOST_EVENT,
    HOST_FENCE,
    HOST_FIND,
    HOST_IDENTIFY,
    HOST_POWER,
    HOST_REACH,
    HOST_REMOVE_VOLUMES,
    HOST_UNWATCHED,
    HOST_WATCH,
    NOTHING_BEGAN,
    ComposeCall,
    DecomposeCall,
    DisconnectCall,
    DiscoveryPart,
    Fence,
    FenceCall,
    GuestCall,
    HostCall,
    HostEvent,
    HostUnwatched,
    MarkerCall,
    PowerCall,
    RemoveVolumesCall,
)
from common.serialization import from_dict
from common.values import DriverType, GuestEvent, HostAccess, OwnershipMarker, PowerAction, PowerState
from rackd.commands import GUESTS_PER_PART, HostCommands
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.drivers.simulated.guests import add_volume
from rackd.drivers.simulated.store import Store
from rackd.event_watch import EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from rackd.host_queue import CallClass
from tests.deployment.simulated_host import SimulatedHost
from tests.link_pair import link_pair
from tests.unit.simulated_hosts import INSTALLATION, spec
from tests.waiting import eventually, settle

DEADLINE_S = 60.0
Q = TypeVar("Q")
R = TypeVar("R")


@define
class Rack:
    """A rack, and the region's ends of its links."""

    executor: Executor
    commands: HostCommands
    ends: list[Link] = field(factory=list)
    events: list[HostEvent] = field(factory=list)
    unwatched: list[int] = field(factory=list)

    def queued_calls(self) -> int:
        """The number of running and queued calls of host 1."""
        return self.executor.queued_calls(1, CallClass.ORDERED)

    async def link(self) -> Link:
        def received(_: Link, name: str, body: Any) -> None:
            if name == HOST_UNWATCHED:
                self.unwatched.append(from_dict(body, HostUnwatched).host_id)
                return
            assert name == HOST_EVENT
            self.events.append(from_dict(body, HostEvent))

        rack, region = await link_pair(
            rack=Side(role=Role.RACK, name="r1", handlers=self.commands.handlers()),
            region=Side(role=Role.REGION, name="region", on_event=received),
        )
        self.ends += [rack, region]
        return region


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    drivers = DriverRegistry(
        {DriverType.SIMULATED: SimulatedDriverFactory(tmp_path)}, absent={DriverType.LXD: "it is not written yet"}
    )
    executor = Executor(drivers.open, cancel_grace_s=0.1)
    created = Rack(
        executor,
        HostCommands(
            executor=executor,
            drivers=drivers,
            fenced=FencedCalls(executor, FencingTokens()),
            event_watcher=EventWatcher(executor),
        ),
    )

    async def finish() -> None:
        for end in created.ends:
            end.close("the test is over")
            await end.closed()
        await executor.stop(grace_s=0.1)

    yield created
    settle(finish())


@pytest.fixture
def link(rack: Rack) -> Link:
    """The region's end of a link to the rack."""
    return settle(rack.link())


def access(parameters: str = "", host_id: int = 1) -> HostAccess:
    return HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=f"simulated:host{host_id}?{parameters}",
        installation_id=INSTALLATION,
    )


def fence(of: GuestSpec, attempt: int = 1, operation_id: int = 1) -> Fence:
    return Fence(machine_id=str(of.marker.machine_id), operation_id=operation_id, attempt=attempt)


async def send(link: Link, command: Command[Q, R], request: Q) -> R:
    return await link.call(command, request, deadline_s=DEADLINE_S)


def host_call(parameters: str = "", host_id: int = 1) -> HostCall:
    return HostCall(access=access(parameters, host_id))


async def compose(link: Link, vm: GuestSpec, *, parameters: str = "", host_id: int = 1, attempt: int = 1) -> Any:
    call = ComposeCall(access=access(parameters, host_id), spec=vm, fence=fence(vm, attempt))
    return await send(link, HOST_COMPOSE, call)


async def discover(link: Link, parameters: str) -> list[DiscoveryPart]:
    call = host_call(parameters)
    return [part async for part in link.stream(HOST_DISCOVER, call, deadline_s=DEADLINE_S)]


async def test_reach_returns_the_version(link: Link) -> None:
    reached = await send(link, HOST_REACH, host_call())
    assert reached.hypervisor_version == "1.0"


async def test_a_compose_that_fails_to_reach_the_host_starts_nothing(link: Link) -> None:
    vm = spec("checked")
    call = ComposeCall(access=access(), spec=vm, fence=fence(vm), check_reach=True)
    assert (await send(link, HOST_COMPOSE, call)).name == "checked"
    for check_reach in (True, False):
        call = ComposeCall(access=access("fault_rate=1"), spec=vm, fence=fence(vm, 2), check_reach=check_reach)
        with pytest.raises(InnkeeperError) as failed:
            await send(link, HOST_COMPOSE, call)
        assert (NOTHING_BEGAN in failed.value.details) is check_reach


async def test_discoveries_are_streamed_facts_first(link: Link) -> None:
    parts = await discover(link, "guests=60")
    assert [len(part.guests) for part in parts] == [GUESTS_PER_PART, GUESTS_PER_PART, 10]
    assert [part.facts is not None for part in parts] == [True, False, False]
    assert [part.last for part in parts] == [False, False, True]
    assert [part.calls for part in parts] == [0, 0, 3]
    assert len({guest.guest_id for part in parts for guest in part.guests}) == 60


@pytest.mark.parametrize(("guests", "parts"), [(0, 1), (1, 1), (25, 1), (26, 2), (50, 2)])
async def test_every_discovery_has_one_last_part(link: Link, guests: int, parts: int) -> None:
    found = await discover(link, f"guests={guests}")
    assert len(found) == parts
    assert [part.last for part in found].count(True) == 1
    assert found[-1].last


async def test_a_guest_is_adopted_and_disowned(link: Link) -> None:
    (part,) = await discover(link, "guests=1")
    (found,) = part.guests
    marker = OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4())

    def call(attempt: int) -> MarkerCall:
        fence = Fence(machine_id=str(marker.machine_id), operation_id=1, attempt=attempt)
        return MarkerCall(
            access=access("guests=1"), guest_id=found.guest_id, guest_name=found.name, marker=marker, fence=fence
        )

    adopted = await send(link, HOST_ADOPT, call(2))
    assert adopted == evolve(found, marker=marker)
    with pytest.raises(StaleAttempt):
        await send(link, HOST_DISOWN, call(1))
    await send(link, HOST_DISOWN, call(2))
    (part,) = await discover(link, "guests=1")
    assert part.guests == (found,)


async def test_a_machine_is_composed_and_decomposed(link: Link) -> None:
    vm = spec("vm")
    guest = await compose(link, vm)
    assert guest.marker == vm.marker
    switched = await send(
        link, HOST_POWER, PowerCall(access=access(), guest=vm.ref, action=PowerAction.ON, grace_s=1, fence=fence(vm))
    )
    assert switched.power is PowerState.ON
    found = await send(link, HOST_FIND, GuestCall(access=access(), guest=vm.ref))
    assert found.guest == evolve(guest, power=PowerState.ON)
    decompose = DecomposeCall(access=access(), guest=vm.ref, fence=fence(vm), volumes=(("default", "vm-0"),))
    await send(link, HOST_DECOMPOSE, decompose)
    found = await send(link, HOST_FIND, GuestCall(access=access(), guest=vm.ref))
    assert found.guest is None


async def test_orphaned_volumes_are_discovered_and_removed(link: Link, tmp_path: Path) -> None:
    vm = spec("vm")
    await compose(link, vm)
    left = evolve(vm.marker, machine_id=uuid4())
    names = [f"left-{number:02}" for number in range(40)]  # more than fit into a part
    store = Store(tmp_path / "host1.sqlite")
    with store.writing() as db:
        for name in names:
            add_volume(db, pool="default", name=name, size_bytes=1, marker=left)
    store.close()
    parts = await discover(link, "")
    assert [one.name for part in parts for one in part.orphaned_volumes] == names
    assert [part.inspected_pools for part in parts] == [(), ("default",)]
    call = RemoveVolumesCall(
        access=access(), marker=left, volumes=tuple(VolumeRef(pool_id="default", name=name) for name in names),
        fence=Fence(machine_id=str(left.machine_id), operation_id=1, attempt=1),
    )  # fmt: skip
    await send(link, HOST_REMOVE_VOLUMES, call)
    (part,) = await discover(link, "")
    assert (part.orphaned_volumes, [guest.name for guest in part.guests]) == ((), ["vm"])


async def test_driver_errors_reach_the_region_unchanged(link: Link) -> None:
    vm = spec("foreign-0001")
    with capture_logs() as lines, pytest.raises(NameTaken, match="foreign-0001"):
        await compose(link, vm, parameters="guests=1")
    assert [one["code"] for one in lines if one["event"] == "host_call_ended"] == ["name_taken"]
    power = PowerCall(access=access(), guest=vm.ref, action=PowerAction.ON, grace_s=1, fence=fence(vm))
    with pytest.raises(NotFound):
        await send(link, HOST_POWER, power)
    with pytest.raises(InvalidRequest, match="unknown parameter 'colour'"):
        await send(link, HOST_REACH, host_call("colour=red"))


async def test_unknown_host_types_are_rejected_with_the_reason(link: Link) -> None:
    with pytest.raises(Unsupported, match=r"type 'lxd': it is not written yet\."):
        await link.call(HOST_REACH, HostCall(access=evolve(access(), driver=DriverType.LXD)), deadline_s=DEADLINE_S)
    with pytest.raises(Unsupported, match="no driver is installed"):
        await link.call(HOST_REACH, HostCall(access=evolve(access(), driver=DriverType.LIBVIRT)), deadline_s=DEADLINE_S)


async def test_simulated_hosts_present_nothing_to_pin(link: Link) -> None:
    with pytest.raises(Unsupported, match="no key or certificate that Innkeeper could pin"):
        await send(link, HOST_IDENTIFY, host_call())


async def test_stale_attempts_are_rejected(link: Link) -> None:
    vm = spec("vm")
    decompose = DecomposeCall(access=access(), guest=vm.ref, fence=fence(vm, attempt=2))
    await send(link, HOST_DECOMPOSE, decompose)
    with pytest.raises(StaleAttempt):
        await compose(link, vm, attempt=1)
    assert (await discover(link, ""))[0].guests == ()


async def test_attempts_that_become_stale_in_the_queue_do_nothing(rack: Rack, link: Link, tmp_path: Path) -> None:
    vm = spec("vm")
    decompose = DecomposeCall(access=access(), guest=vm.ref, fence=fence(vm, attempt=2))
    with SimulatedHost(folder=tmp_path, name="host1").hold():
        before = asyncio.ensure_future(discover(link, ""))
        stale = asyncio.ensure_future(compose(link, vm, attempt=1))
        newer = asyncio.ensure_future(send(link, HOST_DECOMPOSE, decompose))
        await eventually(lambda: rack.queued_calls() == 3)
    with pytest.raises(StaleAttempt):
        await stale
    await asyncio.gather(before, newer)
    assert (await discover(link, ""))[0].guests == ()


async def test_a_fence_is_answered_when_older_calls_have_ended(rack: Rack, link: Link, tmp_path: Path) -> None:
    vm = spec("vm")
    with SimulatedHost(folder=tmp_path, name="host1").hold():
        call = ComposeCall(access=access(), spec=vm, fence=fence(vm, attempt=1))
        older = asyncio.ensure_future(link.call(HOST_COMPOSE, call, deadline_s=0.3))
        await eventually(lambda: rack.executor.abandoned_calls(1) == 1)
        fenced = asyncio.ensure_future(send(link, HOST_FENCE, FenceCall(fence=fence(vm, attempt=2))))
        other = FenceCall(fence=fence(spec("other")))
        await send(link, HOST_FENCE, other)  # answered at once: nothing acts on that machine
        with pytest.raises(StaleAttempt):
            await send(link, HOST_COMPOSE, call)
        assert not fenced.done()
        with pytest.raises(DeadlineExceeded):
            await older
    await fenced
    with pytest.raises(StaleAttempt):
        await send(link, HOST_FENCE, FenceCall(fence=fence(vm, attempt=1)))


async def test_slow_hosts_are_abandoned_at_the_deadline(rack: Rack, link: Link, tmp_path: Path) -> None:
    with SimulatedHost(folder=tmp_path, name="host1").hold():
        stuck = asyncio.ensure_future(link.call(HOST_REACH, host_call(), deadline_s=1.0))
        other = host_call(host_id=2)
        reached = await send(link, HOST_REACH, other)
        assert reached.hypervisor_version == "1.0"
        with pytest.raises(DeadlineExceeded):
            await stuck
        await eventually(lambda: rack.executor.abandoned_calls(1) == 1)


async def test_events_go_to_watching_links_only(rack: Rack) -> None:
    watching, other = await rack.link(), await rack.link()
    await send(watching, HOST_WATCH, host_call())
    await send(watching, HOST_WATCH, host_call())
    await compose(other, spec("vm"))
    await eventually(lambda: rack.events)
    assert [(one.host_id, one.change.event, one.change.guest_name) for one in rack.events] == [
        (1, GuestEvent.APPEARED, "vm")
    ]


async def test_a_watch_ends_with_its_last_link(rack: Rack) -> None:
    first, second, other = await rack.link(), await rack.link(), await rack.link()
    for link in (first, second):
        await send(link, HOST_WATCH, host_call())
    first.close("the test closes it")
    await first.closed()
    await compose(other, spec("one"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["one"])
    second.close("the test closes it")
    await second.closed()
    await send(other, HOST_WATCH, host_call())
    await compose(other, spec("two"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["one", "two"])


async def test_a_changed_access_restarts_the_watch(rack: Rack, link: Link) -> None:
    for parameters in ("", "cores=8"):
        await send(link, HOST_WATCH, host_call(parameters))
    await compose(link, spec("vm"))
    await eventually(lambda: rack.events)
    assert len(rack.events) == 1


async def test_a_failed_watch_can_be_retried(rack: Rack, link: Link) -> None:
    with pytest.raises(DeadlineExceeded):
        await link.call(HOST_WATCH, host_call("delay_ms=5000"), deadline_s=0.2)
    await send(link, HOST_WATCH, host_call())
    await compose(link, spec("vm"))
    await eventually(lambda: len(rack.events) == 1)


async def test_disconnected_hosts_send_no_events(rack: Rack, link: Link) -> None:
    await send(link, HOST_WATCH, host_call())
    await send(link, HOST_WATCH, host_call(host_id=2))
    await send(link, HOST_DISCONNECT, DisconnectCall(host_id=1))
    await compose(link, spec("not-received"))
    await compose(link, spec("received"), host_id=2)
    await eventually(lambda: rack.events)
    assert {one.change.guest_name for one in rack.events} == {"received"}


async def test_every_region_learns_that_its_watch_has_ended(rack: Rack, link: Link) -> None:
    """One of them disconnects the host; the watches of the others end with it."""
    other = await rack.link()
    for each in (link, other):
        await send(each, HOST_WATCH, host_call())
    await send(link, HOST_WATCH, host_call(host_id=2))
    await send(link, HOST_DISCONNECT, DisconnectCall(host_id=1))
    await eventually(lambda: rack.unwatched == [1, 1])
    await send(other, HOST_WATCH, host_call())
    await compose(link, spec("vm"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["vm"])


async def test_a_watch_that_is_disconnected_while_it_begins_fails(rack: Rack, link: Link, tmp_path: Path) -> None:
    with SimulatedHost(folder=tmp_path, name="host1").hold("watch"):
        watching = asyncio.ensure_future(send(link, HOST_WATCH, host_call()))
        await eventually(lambda: rack.executor.queued_calls(1, CallClass.WATCH) == 1)
        await send(link, HOST_DISCONNECT, DisconnectCall(host_id=1))
    with pytest.raises(InnkeeperError):
        await watching
    await send(link, HOST_WATCH, host_call())
    await compose(link, spec("vm"))
    await eventually(lambda: len(rack.events) == 1)
