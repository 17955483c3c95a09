"""The size of a guest after a power action, and what a simulated host does with one."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from common.errors import HostUnreachable, OutOfCapacity, StaleAttempt, Unsupported, WrongState
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import GuestSize, Resized
from common.rpc.commands.command import Command
from common.rpc.commands.hardware_commands import HOST_RESIZE, ResizeCall
from common.rpc.commands.host_commands import HOST_COMPOSE, ComposeCall, Fence, PowerCall, PowerReply
from common.rpc.handlers import Handler
from common.values import DriverType, Guest, GuestRef, HostAccess, PowerAction, PowerState
from rackd.commands import HostCommands, switched
from rackd.drivers.contract import Driver
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.resizing import check_resizable
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.event_watch import EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from tests.unit.support.simulated_hosts import INSTALLATION, OpenHost, simulated_hosts, spec

R = TypeVar("R")

LARGE = GuestSize(cores=3, memory_mib=2048)
ACCESS = HostAccess(host_id=1, driver=DriverType.SIMULATED, address="simulated:host", installation_id=INSTALLATION)
GUEST = Guest(name="web", guest_id="1", power=PowerState.ON, cores=2, memory_mib=1024)


@pytest.fixture
def open_host(tmp_path: Path) -> Iterator[OpenHost]:
    with simulated_hosts(tmp_path) as opened:
        yield opened


def call(of: GuestSpec, action: PowerAction, size: GuestSize | None = LARGE) -> PowerCall:
    return PowerCall(
        access=ACCESS,
        guest=of.ref,
        action=action,
        grace_s=0.1,
        fence=Fence(machine_id=str(of.marker.machine_id), operation_id=1, attempt=1),
        size=size,
    )


def composed(driver: Driver) -> GuestSpec:
    vm = spec("vm")
    driver.compose(vm)
    return vm


def test_a_power_reply_has_the_size_that_was_applied(open_host: OpenHost) -> None:
    driver = open_host("simulated:host")
    vm = composed(driver)
    assert switched(driver, call(vm, PowerAction.ON, None)) == PowerReply(power=PowerState.ON)
    kept = GuestSize(cores=2, memory_mib=1024)
    assert switched(driver, call(vm, PowerAction.ON)) == PowerReply(power=PowerState.ON, size=kept)
    assert switched(driver, call(vm, PowerAction.CYCLE)) == PowerReply(power=PowerState.ON, size=LARGE)


def test_a_size_that_the_host_refuses_is_not_in_the_reply(open_host: OpenHost) -> None:
    driver = open_host("simulated:host?cores=4")
    vm = composed(driver)
    with capture_logs() as lines:
        reply = switched(driver, call(vm, PowerAction.ON, evolve(LARGE, cores=5)))
    assert "has 4 cores" in reply.size_refused
    kept = GuestSize(cores=2, memory_mib=1024)
    assert evolve(reply, size_refused="") == PowerReply(power=PowerState.ON, size=kept)
    assert switched(driver, call(vm, PowerAction.ON, evolve(LARGE, cores=5))).size_refused == ""  # it runs already
    assert [(one["guest"], "has 4 cores" in one["reason"]) for one in lines if one["event"] == "size_not_changed"] == [
        ("vm", True)
    ]


def test_a_power_action_succeeds_although_the_size_is_unknown(
    open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = open_host("simulated:host")
    vm = composed(driver)

    def lost(_: GuestRef) -> Guest:
        raise HostUnreachable("The connection was lost.")

    monkeypatch.setattr(driver, "find", lost)
    assert switched(driver, call(vm, PowerAction.ON)) == PowerReply(power=PowerState.ON)


def test_a_running_simulated_guest_gets_cores_but_no_memory(open_host: OpenHost) -> None:
    driver = open_host("simulated:host")
    vm = composed(driver)
    driver.power(vm.ref, PowerAction.ON, grace_s=0.1)
    assert driver.resize(vm.ref, LARGE).size == GuestSize(cores=3, memory_mib=1024)
    with pytest.raises(OutOfCapacity, match="vm cannot have 5 cores: simulated/host has 4 cores"):
        driver.resize(vm.ref, evolve(LARGE, cores=5))


async def sent(handlers: Mapping[Command[Any, Any], Handler], command: Command[Any, R], request: object) -> R:
    """Returns the reply of the rack's handler. These use no link."""
    reply: R = await cast(Awaitable[R], handlers[command](None, request))
    return reply


async def test_a_resize_needs_the_newest_fencing_token(tmp_path: Path) -> None:
    drivers = DriverRegistry({DriverType.SIMULATED: SimulatedDriverFactory(tmp_path)}, absent={})
    executor = Executor(drivers.open)
    fenced = FencedCalls(executor, FencingTokens())
    commands = HostCommands(
        executor=executor, drivers=drivers, fenced=fenced, event_watcher=EventWatcher(executor)
    ).handlers()
    vm = spec("vm")
    first = Fence(machine_id=str(vm.marker.machine_id), operation_id=1, attempt=1)
    try:
        await sent(commands, HOST_COMPOSE, ComposeCall(access=ACCESS, spec=vm, fence=first))
        resize = ResizeCall(access=ACCESS, guest=vm.ref, size=LARGE, fence=evolve(first, attempt=2))
        assert await sent(commands, HOST_RESIZE, resize) == Resized(size=LARGE, power=PowerState.OFF)
        with pytest.raises(StaleAttempt):
            await sent(commands, HOST_RESIZE, evolve(resize, fence=first))
    finally:
        await executor.stop(grace_s=0.1)


def test_own_huge_pages_count_once_when_a_guest_grows(open_host: OpenHost) -> None:
    driver = open_host("simulated:host?hugepages_mib=1536")
    vm = evolve(spec("vm"), huge_page_size_kib=2048)
    driver.compose(vm)
    assert driver.resize(vm.ref, GuestSize(cores=2, memory_mib=1536)).size.memory_mib == 1536
    with pytest.raises(OutOfCapacity, match="769 huge pages of 2048 KiB requested, 768 of 768 are left"):
        driver.resize(vm.ref, GuestSize(cores=2, memory_mib=1538))


@pytest.mark.parametrize("size", [LARGE, evolve(LARGE, cores=2), evolve(LARGE, memory_mib=1024)])
def test_running_guests_bound_to_numa_nodes_are_not_resized(size: GuestSize) -> None:
    with pytest.raises(WrongState, match="web has memory of chosen NUMA nodes: its size can be changed only while"):
        check_resizable(GUEST, size, on_numa_nodes=True)
    check_resizable(evolve(GUEST, power=PowerState.OFF), size, on_numa_nodes=True)
    check_resizable(GUEST, size, on_numa_nodes=False)
    check_resizable(GUEST, GuestSize(cores=2, memory_mib=1024), on_numa_nodes=True)


def test_no_cores_are_chosen_for_a_guest_with_pinned_ones() -> None:
    for power in (PowerState.ON, PowerState.OFF):
        pinned = evolve(GUEST, pinned_core_ids=(4, 6), power=power)
        with pytest.raises(Unsupported, match=r"has 2 cores, pinned to 2 cores of the host \(4, 6\)"):
            check_resizable(pinned, LARGE, on_numa_nodes=False)
