"""Changes of NICs through the rack's commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from common.errors import NotFound, StaleAttempt
from common.guests.guest_spec import GuestSpec, NicSpec
from common.rpc.commands.hardware_commands import HOST_ATTACH_NIC, HOST_DETACH_NIC, AttachNicCall, DetachNicCall
from common.rpc.commands.host_commands import HOST_COMPOSE, HOST_POWER, ComposeCall, PowerCall, PowerReply
from common.values import NicKind, PowerAction, PowerState
from rackd.drivers.contract import Driver
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from tests.unit.support.simulated_hosts import spec
from tests.unit.support.simulated_rack import ACCESS, Send, fence, rack

NIC = NicSpec(name="eth1", mac_address="52:54:00:00:00:99", kind=NicKind.NETWORK, source="default")


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    """The host to which the commands go, too."""
    return SimulatedDriverFactory(tmp_path).open(ACCESS)


def attach_call(vm: GuestSpec, attempt: int = 1, nic: NicSpec = NIC) -> AttachNicCall:
    return AttachNicCall(access=ACCESS, guest=vm.ref, nic=nic, fence=fence(vm, attempt))


def detach_call(vm: GuestSpec, attempt: int = 1) -> DetachNicCall:
    return DetachNicCall(access=ACCESS, guest=vm.ref, mac_address=NIC.mac_address, fence=fence(vm, attempt))


def has_nic(driver: Driver, vm: GuestSpec) -> bool:
    found = driver.find(vm.ref)
    assert found is not None
    return NIC.mac_address in {nic.mac_address for nic in found.nics}


async def composed(send: Send) -> GuestSpec:
    vm = spec("vm")
    await send(HOST_COMPOSE, ComposeCall(access=ACCESS, spec=vm, fence=fence(vm)))
    return vm


async def test_a_nic_is_attached_with_the_newest_fencing_token(tmp_path: Path, driver: Driver) -> None:
    async with rack(tmp_path) as send:
        vm = await composed(send)
        assert await send(HOST_DETACH_NIC, detach_call(vm, 2)) == PowerReply(power=PowerState.OFF)
        with pytest.raises(StaleAttempt):
            await send(HOST_ATTACH_NIC, attach_call(vm))
        assert not has_nic(driver, vm)
        assert await send(HOST_ATTACH_NIC, attach_call(vm, 3)) == PowerReply(power=PowerState.OFF)
        assert has_nic(driver, vm)


async def test_a_nic_is_detached_with_the_newest_fencing_token(tmp_path: Path, driver: Driver) -> None:
    async with rack(tmp_path) as send:
        vm = await composed(send)
        await send(HOST_ATTACH_NIC, attach_call(vm, 2))
        with pytest.raises(StaleAttempt):
            await send(HOST_DETACH_NIC, detach_call(vm))
        assert has_nic(driver, vm)
        assert await send(HOST_DETACH_NIC, detach_call(vm, 3)) == PowerReply(power=PowerState.OFF)
        assert not has_nic(driver, vm)


async def test_a_reply_has_the_power_state_of_the_guest(tmp_path: Path) -> None:
    async with rack(tmp_path) as send:
        vm = await composed(send)
        on = PowerCall(access=ACCESS, guest=vm.ref, action=PowerAction.ON, grace_s=0.1, fence=fence(vm))
        await send(HOST_POWER, on)
        assert await send(HOST_ATTACH_NIC, attach_call(vm)) == PowerReply(power=PowerState.ON)
        assert await send(HOST_DETACH_NIC, detach_call(vm)) == PowerReply(power=PowerState.ON)


async def test_what_a_host_refuses_reaches_the_region(tmp_path: Path, driver: Driver) -> None:
    async with rack(tmp_path) as send:
        vm = await composed(send)
        with pytest.raises(NotFound, match="no-such-net"):
            await send(HOST_ATTACH_NIC, attach_call(vm, nic=evolve(NIC, source="no-such-net")))
        assert not has_nic(driver, vm)
