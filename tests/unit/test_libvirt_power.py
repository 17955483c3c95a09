"""Starting a domain whose screen's port was taken by somebody else between libvirt's look and QEMU's."""

from __future__ import annotations

import threading
from typing import cast

import pytest
from attrs import define

from common.errors import DriverFailed
from common.values import PowerAction, PowerState
from rackd.drivers.libvirt.handles import Domain
from rackd.drivers.libvirt.power import START_TRIES, switch

TAKEN = (
    "qemu unexpectedly closed the monitor: -vnc 127.0.0.1:0: Failed to find an available port: Address already in use"
)
RUNNING, SHUT_OFF = 1, 5


@define
class Unlucky:
    """A domain whose first starts fail with these words; the calls that a start needs, and no more."""

    failures: list[str]
    name: str = "unlucky"
    starts: int = 0
    running: bool = False

    def state(self) -> int:
        return RUNNING if self.running else SHUT_OFF

    def start(self) -> None:
        self.starts += 1
        if self.failures:
            raise DriverFailed(self.failures.pop(0))
        self.running = True


def start(domain: Unlucky) -> PowerState:
    return switch(cast("Domain", domain), PowerAction.ON, grace_s=0.0, closing=threading.Event())


def test_a_port_that_was_taken_meanwhile_is_left_to_whoever_has_it() -> None:
    domain = Unlucky([TAKEN] * (START_TRIES - 1))
    assert start(domain) is PowerState.ON


def test_a_port_that_is_taken_again_and_again_is_told() -> None:
    domain = Unlucky([TAKEN] * START_TRIES)
    with pytest.raises(DriverFailed, match="already in use"):
        start(domain)
    assert domain.starts == START_TRIES


def test_another_failure_is_not_tried_again() -> None:
    domain = Unlucky(["No such file or directory"])
    with pytest.raises(DriverFailed, match="No such file"):
        start(domain)
    assert domain.starts == 1
