"""Responses of a rack over a link, on simulated hosts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from common.errors import (
    DeadlineExceeded,
    InnkeeperError,
    InvalidRequest,
    NameTaken,
    NotFound,
    StaleAttempt,
    Unsupported,
)
from common.hosts.discovery import VolumeRef
from common.rpc.commands.host_commands import (
    HOST_ADOPT,
    HOST_COMPOSE,
    HOST_DECOMPOSE,
    HOST_DISOWN,
    HOST_FENCE,
    HOST_FIND,
    HOST_IDENTIFY,
    HOST_POWER,
    HOST_REACH,
    HOST_REMOVE_VOLUMES,
    HOST_SET_GENERATION,
    NOTHING_BEGAN,
    ComposeCall,
    DecomposeCall,
    Fence,
    FenceCall,
    GuestCall,
    HostCall,
    MarkerCall,
    PowerCall,
    RemoveVolumesCall,
    SetGenerationCall,
)
from common.rpc.link import Link
from common.values import DriverType, OwnershipMarker, PowerAction, PowerState
from rackd.commands import GUESTS_PER_PART
from rackd.drivers.simulated.guests import add_volume
from rackd.drivers.simulated.store import Store
from tests.deployment.simulated_host import SimulatedHost
from tests.support.waiting import eventually
from tests.unit.support.linked_rack import (
    DEADLINE_S,
    Rack,
    access,
    compose,
    discover,
    fence,
    host_call,
    link,
    rack,
    send,
)
from tests.unit.support.simulated_hosts import INSTALLATION, spec

__all__ = ["link", "rack"]


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
    assert adopted == evolve(found, marker=marker, generation=0)
    with pytest.raises(StaleAttempt):
        await send(link, HOST_DISOWN, call(1))
    await send(link, HOST_DISOWN, call(2))
    (part,) = await discover(link, "guests=1")
    assert part.guests == (found,)


async def test_a_generation_is_written_by_the_newest_attempt_only(link: Link) -> None:
    vm = spec("vm")
    guest = await compose(link, vm)

    def call(generation: int, attempt: int) -> SetGenerationCall:
        return SetGenerationCall(access=access(), guest=vm.ref, generation=generation, fence=fence(vm, attempt))

    await send(link, HOST_SET_GENERATION, call(1, 2))
    with pytest.raises(StaleAttempt):
        await send(link, HOST_SET_GENERATION, call(2, 1))
    (part,) = await discover(link, "")
    assert part.guests == (evolve(guest, generation=1),)
    lost = evolve(call(1, 2), guest=spec("lost").ref)
    with pytest.raises(NotFound, match="lost"):
        await send(link, HOST_SET_GENERATION, lost)


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
