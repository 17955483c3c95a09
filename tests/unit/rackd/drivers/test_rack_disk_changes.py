"""Changes of disks through the rack's commands, and the sizes of disks after a power action."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from common.disks.volume_names import volume_name
from common.errors import HostUnreachable, StaleAttempt
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize, GrownDisk, GuestSize
from common.rpc.commands.hardware_commands import (
    HOST_ATTACH_DISK,
    HOST_DETACH_DISK,
    HOST_GROW_DISK,
    AttachDiskCall,
    DetachDiskCall,
    GrowDiskCall,
)
from common.rpc.commands.host_commands import HOST_COMPOSE, HOST_POWER, ComposeCall, PowerCall, PowerReply
from common.units import BYTES_PER_GB
from common.values import Guest, GuestDisk, GuestRef, PowerAction, PowerState
from rackd.commands import switched
from rackd.drivers.contract import Driver
from rackd.drivers.disk_sizes import named_sizes
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from tests.unit.support.simulated_hosts import spec
from tests.unit.support.simulated_rack import ACCESS, fence, rack


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    """The host to which the commands go, too."""
    return SimulatedDriverFactory(tmp_path).open(ACCESS)


def disk_of(vm: GuestSpec, index: int = 1) -> DiskSpec:
    return DiskSpec(
        volume=volume_name(vm.marker, index), pool_id="default", size_bytes=BYTES_PER_GB, serial=f"s{index}"
    )


def size(disk: DiskSpec, times: int = 2) -> DiskSize:
    return DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=times * BYTES_PER_GB)


def volumes_of(driver: Driver, vm: GuestSpec) -> set[str | None]:
    found = driver.find(vm.ref)
    assert found is not None
    return {disk.volume for disk in found.disks}


def power_call(vm: GuestSpec, action: PowerAction, *sizes: DiskSize, **fields: Any) -> PowerCall:
    return PowerCall(
        access=ACCESS, guest=vm.ref, action=action, grace_s=0.1, fence=fence(vm), disk_sizes=sizes, **fields
    )


async def test_disks_come_and_go_with_the_newest_fencing_token(tmp_path: Path, driver: Driver) -> None:
    async with rack(tmp_path) as send:
        vm = spec("vm")
        disk = disk_of(vm)
        await send(HOST_COMPOSE, ComposeCall(access=ACCESS, spec=vm, fence=fence(vm)))
        attach = AttachDiskCall(access=ACCESS, guest=vm.ref, disk=disk, index=1, create=True, fence=fence(vm, 2))
        assert await send(HOST_ATTACH_DISK, attach) == PowerReply(power=PowerState.OFF)
        assert volumes_of(driver, vm) == {vm.disks[0].volume, disk.volume}
        detach = DetachDiskCall(
            access=ACCESS, guest=vm.ref, pool_id=disk.pool_id, volume=disk.volume, fence=fence(vm, 3)
        )
        with pytest.raises(StaleAttempt):
            await send(HOST_DETACH_DISK, evolve(detach, fence=fence(vm)))
        assert await send(HOST_DETACH_DISK, detach) == PowerReply(power=PowerState.OFF)
        with pytest.raises(StaleAttempt):
            await send(HOST_ATTACH_DISK, attach)
        assert volumes_of(driver, vm) == {vm.disks[0].volume}


async def test_a_disk_grows_with_the_newest_fencing_token(tmp_path: Path, driver: Driver) -> None:
    async with rack(tmp_path) as send:
        vm = spec("vm")
        await send(HOST_COMPOSE, ComposeCall(access=ACCESS, spec=vm, fence=fence(vm)))
        grow = GrowDiskCall(access=ACCESS, guest=vm.ref, size=size(vm.disks[0]), fence=fence(vm, 2))
        assert await send(HOST_GROW_DISK, grow) == GrownDisk(size_bytes=2 * BYTES_PER_GB, power=PowerState.OFF)
        with pytest.raises(StaleAttempt):
            await send(HOST_GROW_DISK, evolve(grow, size=size(vm.disks[0], 3), fence=fence(vm)))
        found = driver.find(vm.ref)
        assert found is not None
        assert [disk.size_bytes for disk in found.disks] == [2 * BYTES_PER_GB]


async def test_an_attached_disk_is_created_only_if_the_call_says_so(tmp_path: Path, driver: Driver) -> None:
    async with rack(tmp_path) as send:
        vm = spec("vm")
        await send(HOST_COMPOSE, ComposeCall(access=ACCESS, spec=vm, fence=fence(vm)))
        attach = AttachDiskCall(access=ACCESS, guest=vm.ref, disk=disk_of(vm), index=1, create=False, fence=fence(vm))
        with pytest.raises(Exception, match="has no volume"):
            await send(HOST_ATTACH_DISK, attach)
        assert volumes_of(driver, vm) == {vm.disks[0].volume}


async def test_a_power_call_grows_disks_before_the_start(tmp_path: Path) -> None:
    async with rack(tmp_path) as send:
        vm = spec("vm", disks=2)
        await send(HOST_COMPOSE, ComposeCall(access=ACCESS, spec=vm, fence=fence(vm)))
        wanted = size(vm.disks[1])
        on = PowerReply(power=PowerState.ON, disk_sizes=(wanted,))
        assert await send(HOST_POWER, power_call(vm, PowerAction.ON, wanted)) == on
        kept = PowerReply(power=PowerState.ON, disk_sizes=(wanted,))
        assert await send(HOST_POWER, power_call(vm, PowerAction.ON, size(vm.disks[1], 3))) == kept


def test_a_power_reply_has_only_what_its_call_asks_for(driver: Driver) -> None:
    vm = spec("vm", disks=2)
    driver.compose(vm)
    both = GuestSize(cores=2, memory_mib=1024)
    assert switched(driver, power_call(vm, PowerAction.ON)) == PowerReply(power=PowerState.ON)
    reply = switched(driver, power_call(vm, PowerAction.CYCLE, size(vm.disks[0]), size=both))
    assert reply == PowerReply(power=PowerState.ON, size=both, disk_sizes=(size(vm.disks[0]),))
    reply = switched(driver, power_call(vm, PowerAction.CYCLE, size(vm.disks[1])))
    assert reply == PowerReply(power=PowerState.ON, disk_sizes=(size(vm.disks[1]),))


def test_a_power_reply_has_the_size_that_a_refused_disk_keeps(driver: Driver) -> None:
    vm = spec("vm", disks=2)
    driver.compose(vm)
    with capture_logs() as lines:
        reply = switched(driver, power_call(vm, PowerAction.ON, size(vm.disks[1], 10**6), size(disk_of(vm, 7))))
    reasons = [one["reason"] for one in lines if one["event"] == "size_not_changed"]
    kept = (size(vm.disks[1], 1),)
    assert reply == PowerReply(power=PowerState.ON, disk_sizes=kept, disks_refused=tuple(reasons))
    assert ["left" in reasons[0], "no disk" in reasons[1]] == [True, True]


def test_a_power_action_succeeds_although_the_sizes_are_unknown(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = spec("vm")
    driver.compose(vm)

    def lost(_: GuestRef) -> Guest:
        raise HostUnreachable("The connection was lost.")

    monkeypatch.setattr(driver, "find", lost)
    assert switched(driver, power_call(vm, PowerAction.ON, size(vm.disks[0]))) == PowerReply(power=PowerState.ON)


def test_sizes_are_those_of_the_named_disks_as_far_as_known() -> None:
    known = GuestDisk(device="vda", size_bytes=5, pool_id="main", volume="a")
    unnamed = GuestDisk(device="root", size_bytes=7, pool_id="main", volume=None)
    lost = GuestDisk(device="vdb", size_bytes=9, pool_id="main", volume="b", missing=True)
    unknown = GuestDisk(device="vdc", size_bytes=0, pool_id="main", volume="c")
    guest = Guest(
        name="vm", guest_id="1", power=PowerState.ON, cores=1, memory_mib=1, disks=(known, unnamed, lost, unknown)
    )
    wanted = [DiskSize(pool_id="main", volume=name, size_bytes=1) for name in ("root", "a", "b", "c", "d", "vda")]
    elsewhere = DiskSize(pool_id="other", volume="a", size_bytes=1)
    assert named_sizes(guest, [*wanted, elsewhere]) == (
        DiskSize(pool_id="main", volume="root", size_bytes=7),
        DiskSize(pool_id="main", volume="a", size_bytes=5),
    )
