"""What a rack replies to a start in another order, and how a region and a rack of other releases understand it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from common.boot import BootDevice, BootOnce, begins_with, completed, known_devices, order_text, parsed
from common.rpc.commands.host_commands import Fence, PowerCall, PowerReply
from common.values import DriverType, HostAccess, PowerAction, PowerState
from rackd.commands import switched
from tests.unit.support.simulated_hosts import INSTALLATION, OpenHost, simulated_hosts, spec

DISK, NETWORK = BootDevice.DISK, BootDevice.NETWORK
ACCESS = HostAccess(host_id=1, driver=DriverType.SIMULATED, address="simulated:host", installation_id=INSTALLATION)
VM = spec("vm")
CALL = PowerCall(
    access=ACCESS,
    guest=VM.ref,
    action=PowerAction.ON,
    grace_s=0.1,
    fence=Fence(machine_id=str(VM.marker.machine_id), operation_id=1, attempt=1),
    boot_once=BootOnce(order=(DISK,), key="7"),
)


@pytest.fixture
def open_host(tmp_path: Path) -> Iterator[OpenHost]:
    with simulated_hosts(tmp_path) as opened:
        yield opened


def test_the_reply_names_the_order_with_which_the_guest_was_started(open_host: OpenHost) -> None:
    driver = open_host("simulated:host")
    driver.compose(VM)
    for _ in range(2):  # the second finds it running
        assert switched(driver, CALL) == PowerReply(power=PowerState.ON, booted_once="7")
    assert switched(driver, evolve(CALL, boot_once=None)) == PowerReply(power=PowerState.ON)


def test_an_order_that_the_guest_cannot_have_is_logged_and_not_in_the_reply(open_host: OpenHost) -> None:
    driver = open_host("simulated:host")
    vm = evolve(VM, nics=())
    driver.compose(vm)
    with capture_logs() as lines:
        reply = switched(driver, evolve(CALL, boot_once=BootOnce(order=(NETWORK,), key="7")))
    reason = "vm has no NIC that can boot, so it cannot boot from network."
    assert reply == PowerReply(power=PowerState.ON, boot_refused=reason)
    assert [one["reason"] for one in lines if one["event"] == "boot_order_not_changed"] == [reason]


def test_orders_as_texts() -> None:
    assert parsed("network,disk,disk,teapot") == known_devices(["network", "disk"]) == (NETWORK, DISK)
    assert parsed("") == ()
    assert completed((DISK,), (NETWORK, DISK)) == (DISK, NETWORK)
    assert begins_with((DISK, NETWORK), (DISK,))
    assert not begins_with((DISK,), (DISK, NETWORK))
    assert order_text((NETWORK, DISK)) == "network, then disk"
