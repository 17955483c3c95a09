"""LXD's states and leases become the addresses of guests; a hung agent does not hold up the run."""

from __future__ import annotations

from typing import Any

import pytest

from common.values import Guest, GuestRef
from rackd.drivers.lxd.inventory import addresses
from rackd.drivers.lxd.inventory.addresses import addresses_in
from tests.doubles.lxd_answers import AnsweringLxd, answering_lxd, documented
from tests.unit.rackd.lxd.test_lxd_guests import MARKER, MARKER_CONFIG, instance

MAC = "00:16:3e:00:00:01"
DEVICES = {
    "root": {"type": "disk", "path": "/", "pool": "main", "size": "8GiB"},
    "eth0": {"type": "nic", "network": "lan", "hwaddr": MAC},
    "eth1": {"type": "nic", "nictype": "bridged", "parent": "br0", "hwaddr": "00:16:3e:00:00:02"},
}
STATE = {
    "network": {
        "lo": {"hwaddr": "", "addresses": [{"family": "inet", "address": "127.0.0.1", "scope": "local"}]},
        "enp5s0": {"hwaddr": MAC.upper(), "addresses": [{"family": "inet", "address": "10.1.0.9", "scope": "global"}]},
        "br-guest": {"hwaddr": MAC, "addresses": [{"family": "inet6", "address": "fd00::9", "scope": "global"}]},
        "docker0": {"hwaddr": "02:42:00:00:00:01", "addresses": [{"family": "inet", "address": "172.17.0.1"}]},
    }
}
LISTING = "/1.0/instances?recursion=2&project=default"


def running(**fields: Any) -> dict[str, Any]:
    return instance(location="m1", status_code=103, config=MARKER_CONFIG, devices=DEVICES, **fields)


def prepare(lxd: AnsweringLxd, *, state: Any = STATE) -> None:
    lxd.answers = documented()
    lxd.answers["instances"] = [running(state=state)]
    lxd.answers["instances/vm1/state"] = state
    lxd.answers["networks/lan/leases"] = [
        {"hwaddr": MAC, "address": "10.1.0.7", "type": "dynamic"},
        {"hwaddr": MAC, "address": "10.1.0.8", "type": "static"},
        {"hwaddr": "", "address": "10.1.0.1", "type": "gateway"},
    ]


def of_nics(guest: Guest | None) -> list[tuple[str, ...] | None]:
    assert guest is not None
    return [nic.addresses for nic in guest.nics]


def test_the_state_has_the_addresses_of_each_nic() -> None:
    found = addresses_in(STATE)
    assert found[MAC] == ("10.1.0.9", "fd00::9")
    assert addresses_in(None) == addresses_in({"network": None}) == {}


def test_a_running_guest_is_read_with_its_addresses() -> None:
    with answering_lxd() as lxd:
        prepare(lxd)
        driver = lxd.driver()
        assert of_nics(driver.discover().guests[0]) == [("10.1.0.9", "fd00::9"), None]
        assert of_nics(driver.find(GuestRef(name="vm1", marker=MARKER))) == [("10.1.0.9", "fd00::9"), None]
        driver.close()


def test_a_guest_that_is_off_costs_no_request_for_addresses() -> None:
    with answering_lxd() as lxd:
        prepare(lxd)
        driver = lxd.driver()
        driver.discover()
        while_running = driver.discover().calls
        lxd.answers["instances"] = [running() | {"status_code": 102}]
        found = driver.discover()
        assert of_nics(found.guests[0]) == [None, None]
        assert found.calls == while_running - 1
        driver.close()


def test_the_leases_of_networks_replace_states_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "LISTING_S", 0.2)
    monkeypatch.setattr(addresses, "STATE_S", 0.2)
    with answering_lxd() as lxd:
        prepare(lxd)
        lxd.silent = {LISTING, "/1.0/instances/vm1/state?project=default"}
        driver = lxd.driver()
        assert of_nics(driver.discover().guests[0]) == [("10.1.0.7",), None]
        assert of_nics(driver.find(GuestRef(name="vm1", marker=MARKER))) == [("10.1.0.7",), None]
        driver.close()


@pytest.mark.parametrize(
    ("extensions", "asked"),
    [((), "recursion=2&"), (("instances_state_selective_recursion",), "recursion=2%3Bfields%3Dstate.network&")],
)
def test_only_the_network_is_asked_for_where_the_server_can_leave_out_the_rest(
    extensions: tuple[str, ...], asked: str
) -> None:
    """LXD 6.7 and newer; the use of disks is what takes a listing of many instances its time."""
    with answering_lxd() as lxd:
        prepare(lxd)
        lxd.answers[""] = {**lxd.answers[""], "api_extensions": [*lxd.answers[""]["api_extensions"], *extensions]}
        driver = lxd.driver()
        assert of_nics(driver.discover().guests[0]) == [("10.1.0.9", "fd00::9"), None]
        driver.close()
        assert [one for one in lxd.asked if "recursion=2" in one] == [f"/1.0/instances?{asked}project=default"]
