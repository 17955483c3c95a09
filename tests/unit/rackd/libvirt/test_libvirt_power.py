"""Power actions of libvirt: VNC ports that other processes take, and a flag that cannot be set."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import define

from common.errors import DriverFailed, InnkeeperError, OutOfCapacity
from common.values import Autostart, OwnershipMarker, PowerAction, PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests.power import START_TRIES, switch
from tests.contract.support.guest_samples import small_guest
from tests.contract.support.libvirt_node import opened
from tests.doubles.signatures import in_place_of

TAKEN = (
    "qemu unexpectedly closed the monitor: -vnc 127.0.0.1:0: Failed to find an available port: Address already in use"
)
RUNNING, SHUT_OFF = 1, 5


@define
class FailingDomain:
    """A domain whose first starts fail with these messages. It has only the calls that a start needs."""

    failures: list[str]
    name: str = "vm"
    starts: int = 0
    running: bool = False
    saved: bool = False

    def has_saved_memory(self) -> bool:
        return self.saved

    def state(self) -> int:
        return RUNNING if self.running else SHUT_OFF

    def start(self) -> None:
        self.starts += 1
        if self.failures:
            raise DriverFailed(self.failures.pop(0))
        self.running = True


def start(domain: FailingDomain) -> PowerState:
    return switch(in_place_of(Domain, domain), PowerAction.ON, grace_s=0.0, closing=threading.Event())


def test_start_retries_when_the_vnc_port_is_taken() -> None:
    domain = FailingDomain([TAKEN] * (START_TRIES - 1))
    assert start(domain) is PowerState.ON


@pytest.mark.parametrize(
    ("failures", "starts"),
    [([TAKEN] * START_TRIES, START_TRIES), (["No such file or directory"], 1)],
    ids=["repeated port conflicts", "another failure"],
)
def test_start_raises_the_last_failure(failures: list[str], starts: int) -> None:
    domain = FailingDomain(list(failures))
    with pytest.raises(DriverFailed, match=failures[-1]):
        start(domain)
    assert domain.starts == starts


def test_a_start_from_saved_memory_that_fails_says_how_to_start_without() -> None:
    domain = FailingDomain(["failed to read cookie"], saved=True)
    with pytest.raises(DriverFailed, match=r"failed to read cookie.*virsh managedsave-remove vm"):
        start(domain)


class WithoutAutostart(Client):
    """A host that cannot set the flag of a domain."""

    error: InnkeeperError

    def domain(self, uuid: str) -> Domain | None:
        found = super().domain(uuid)
        return None if found is None else Unflagged(self, self.connection.lookupByUUIDString(uuid))


class Unflagged(Domain):
    def __init__(self, client: WithoutAutostart, handle: object) -> None:
        super().__init__(client, handle)
        self._error = client.error

    def set_autostart(self, *, on: bool) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error", [DriverFailed("cannot create the autostart directory"), OutOfCapacity("no space left on device")]
)
def test_a_guest_runs_although_its_flag_cannot_be_set(tmp_path: Path, error: InnkeeperError) -> None:
    marker = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    with opened(tmp_path) as client:
        pool_id = client.connection.storagePoolLookupByName("main").UUIDString()
        spec = small_guest("vm", marker, (pool_id,))
        LibvirtDriver(lambda: client, marker.installation_id).compose(spec)
        failing = WithoutAutostart(client.connection)
        failing.error = error
        driver = LibvirtDriver(lambda: failing, marker.installation_id)
        for action, power in ((PowerAction.ON, PowerState.ON), (PowerAction.FORCE_OFF, PowerState.OFF)):
            assert driver.power(spec.ref, action, grace_s=0.0, autostart=Autostart.LAST_STATE) is power
        with pytest.raises(type(error)):
            driver.set_autostart(spec.ref, Autostart.ALWAYS)
