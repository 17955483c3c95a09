"""Which disks of a running machine move, and what is said about the others."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import WrongState
from common.values import DriverType, PowerState
from regiond.machines.hardware.disks.model import check_movable, move_plan
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from tests.unit.support.machine_samples import MACHINE

DISKS = tuple(
    DiskView(
        id=number, index=number, volume=f"v{number}", storage_pool_name="local", storage_pool_key="local",
        size_bytes=10**9, serial="", tags=(),
    )
    for number in range(2)
)  # fmt: skip


def machine(driver: DriverType, power: PowerState) -> MachineView:
    return evolve(MACHINE, hostname="vm", driver=driver.value, power_state=power.value, disks=DISKS)


@pytest.mark.parametrize("driver", DriverType)
def test_each_disk_of_a_machine_that_is_off_moves(driver: DriverType) -> None:
    for disk in DISKS:
        check_movable(machine(driver, PowerState.OFF), disk)


@pytest.mark.parametrize(
    ("driver", "index", "reason"),
    [
        (DriverType.LXD, 0, "LXD moves no disk of a running VM. Shut it down first"),
        (DriverType.LXD, 1, "LXD moves no disk of a running VM. Shut it down first"),
        (DriverType.LIBVIRT, 0, "Its serial log and cloud-init data, which are in use, go with it. Shut it down first"),
    ],
)
def test_what_moves_only_off_says_why(driver: DriverType, index: int, reason: str) -> None:
    with pytest.raises(WrongState, match=rf"of vm moves only while the machine is off; it is on\. {reason}"):
        check_movable(machine(driver, PowerState.ON), DISKS[index])


def test_other_disks_of_libvirt_move_while_the_machine_runs() -> None:
    running = machine(DriverType.LIBVIRT, PowerState.ON)
    check_movable(running, DISKS[1])
    assert any("keeps running" in one for one in move_plan(running, DISKS[1], "fast").effects)
    with pytest.raises(WrongState, match="it is unknown"):
        check_movable(machine(DriverType.LIBVIRT, PowerState.UNKNOWN), DISKS[1])
