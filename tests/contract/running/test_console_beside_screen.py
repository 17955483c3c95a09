"""Contract: the console and the screen of one guest are open together; the driver of Incus says that they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from attrs import evolve

from common.errors import Busy, HostUnreachable, NotTrusted
from common.values import GuestRef, PowerAction
from rackd.drivers.contract import ConsoleStream
from rackd.drivers.lxd.connection.capabilities import capabilities_of
from rackd.drivers.lxd.connection.client import Scope, path
from rackd.drivers.lxd.connection.console_stream import LxdConsole
from rackd.drivers.lxd.guests.consoles.console import open_operation
from rackd.drivers.lxd.guests.instances import Instances
from tests.contract.support.driver_fixtures import FIXTURES, Capability, CapableFixture, requires, spec_for
from tests.contract.support.lxd_fixtures import RealLxdFixture
from tests.contract.support.lxd_prepared_server import client_of


def running(host: CapableFixture, name: str) -> GuestRef:
    spec = spec_for(host, name)
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    return spec.ref


@requires(Capability.SCREEN)
@pytest.mark.parametrize("screen_first", [True, False])
def test_console_and_screen_are_open_together_except_on_incus(host: CapableFixture, screen_first: bool) -> None:
    guest = running(host, "both")
    opening: list[Callable[[GuestRef], ConsoleStream]] = [host.driver.open_screen, host.driver.open_console]
    only_one = host.driver.discover().facts.product == "Incus"
    first, second = opening if screen_first else reversed(opening)
    one = first(guest)
    try:
        with pytest.raises(Busy) if only_one else nullcontext():
            second(guest).close()
    finally:
        one.close()
    second(guest).close()
    first(guest).close()


@pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in {"lxd", "incus-6", "incus-7"}], indirect=True)
@pytest.mark.parametrize("kind", [{"type": "vga"}, {"type": "console", "width": 80, "height": 24}])
@pytest.mark.parametrize("secret", ["data_secret", "control_secret"])
def test_a_console_that_cannot_be_connected_is_taken_back(
    host: CapableFixture, kind: dict[str, object], secret: str
) -> None:
    """Incus takes it for open otherwise, until it is restarted. Incus 6.0 and LXD 5.0 end if there are only data."""
    assert isinstance(host, RealLxdFixture)
    guest = running(host, "refused")
    client = client_of(host.access)
    instances = Instances(client=client, scope=Scope(project="default"), capabilities=capabilities_of(client.server()))
    try:
        operation = open_operation(instances, guest.name, kind)
        with pytest.raises((HostUnreachable, NotTrusted)):
            LxdConsole.connect(client, evolve(operation, **{secret: "0" * 64}), ends_itself=False)
    finally:
        client.close()
    host.driver.open_console(guest).close()
    host.driver.open_screen(guest).close()


@pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in {"incus-6", "incus-7"}], indirect=True)
@pytest.mark.parametrize("opening", ["open_console", "open_screen"])
def test_a_console_that_a_killed_rack_left_is_named_with_what_ends_it(host: CapableFixture, opening: str) -> None:
    """Incus 7 takes back an offer that nobody connects to after some seconds, Incus 6.0 never."""
    assert isinstance(host, RealLxdFixture)
    guest = running(host, "left")
    client = client_of(host.access)
    instances = Instances(client=client, scope=Scope(project="default"), capabilities=capabilities_of(client.server()))
    try:
        left = open_operation(instances, guest.name, {"type": "console", "width": 80, "height": 24})
        with pytest.raises(Busy, match=f"incus operation delete {left.id}"):
            getattr(host.driver, opening)(guest)
        client.delete(path("operations", left.id))  # what the command does
    finally:
        client.close()
    getattr(host.driver, opening)(guest).close()
