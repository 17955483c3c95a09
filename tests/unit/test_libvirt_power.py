"""Starting a domain whose VNC port another process takes before QEMU opens it."""

from __future__ import annotations

import threading

import pytest
from attrs import define

from common.errors import DriverFailed
from common.values import PowerAction, PowerState
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.guests.power import START_TRIES, switch
from tests.signatures import in_place_of

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
