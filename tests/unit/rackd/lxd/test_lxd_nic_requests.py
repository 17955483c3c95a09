"""The requests with which the LXD driver changes NICs, and what it makes of LXD's refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve

from common.errors import DriverFailed, InnkeeperError, NotFound, Unsupported, WrongState
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import NicKind, PowerState
from rackd.drivers.lxd.connection.failures import PreconditionFailed, Unfinished
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.nic_devices import device_with
from tests.doubles.lxd_answers import AnsweringLxd, answering_lxd, documented
from tests.unit.rackd.lxd.test_lxd_disk_requests import GUEST, asked
from tests.unit.rackd.lxd.test_lxd_guests import instance

NEW = NicSpec(name="eth2", mac_address="52:54:00:00:00:09", kind=NicKind.BRIDGE, source="br0")
ADDRESSED = evolve(
    NEW, kind=NicKind.NETWORK, source="tenant", address=NicAddress(address="10.9.0.20", prefix_length=24)
)
HAS = "00:16:3e:00:00:01"  # the documented instance has it as eth0
Asked = tuple[str, list[str]]  # a path, and the cluster members that the request names
FIND: Asked = ("instances", [])
NETWORKS: Asked = ("networks", ["m1"])
CHANGE: Asked = ("instances/vm1", [])


@pytest.fixture
def lxd() -> Iterator[AnsweringLxd]:
    with answering_lxd() as served:
        served.answers = documented()
        yield served


def running(lxd: AnsweringLxd, **devices: dict[str, str] | None) -> None:
    """The guest runs. When it is read by its name, it has these devices too, and lacks those that are None."""
    lxd.answers["instances"][0]["status_code"] = 103
    read = lxd.answers["instances/vm1"]
    both = {name: device for name, device in {**read["devices"], **devices}.items() if device is not None}
    lxd.answers["instances/vm1"] = {**read, "status_code": 103, "devices": both, "expanded_devices": both}


def raised(lxd: AnsweringLxd, change: Callable[[LxdDriver], object]) -> InnkeeperError:
    driver = lxd.driver()
    try:
        with pytest.raises(InnkeeperError) as error:
            change(driver)
    finally:
        driver.close()
    return error.value


def attached(lxd: AnsweringLxd, nic: NicSpec = NEW) -> list[Asked]:
    return asked(lxd, lambda driver: driver.attach_nic(GUEST, nic))


def test_a_nic_is_attached_with_four_requests(lxd: AnsweringLxd) -> None:
    assert attached(lxd) == [FIND, NETWORKS, CHANGE, CHANGE]


def test_a_nic_with_an_address_takes_one_request_more(lxd: AnsweringLxd) -> None:
    lxd.answers["networks/tenant/leases"] = []
    assert attached(lxd, ADDRESSED) == [FIND, NETWORKS, ("networks/tenant/leases", []), CHANGE, CHANGE]


def test_an_attached_nic_takes_one_request(lxd: AnsweringLxd) -> None:
    assert attached(lxd, evolve(NEW, mac_address=HAS.upper())) == [FIND]


def test_a_nic_is_detached_with_three_requests(lxd: AnsweringLxd) -> None:
    assert asked(lxd, lambda driver: driver.detach_nic(GUEST, HAS)) == [FIND, CHANGE, CHANGE]
    assert asked(lxd, lambda driver: driver.detach_nic(GUEST, NEW.mac_address)) == [FIND]


@pytest.mark.parametrize(
    ("nic", "error", "text"),
    [
        (evolve(NEW, source="br9"), NotFound, "no interface 'br9'"),
        (evolve(NEW, kind=NicKind.NETWORK, source="br0"), NotFound, "no network 'br0'"),
        (evolve(NEW, name="eth1"), WrongState, "already has a device eth1"),
        (evolve(NEW, name="disk1"), WrongState, "already has a device disk1"),
        (evolve(NEW, kind=NicKind.NETWORK, source="lan"), WrongState, r"two NICs \(eth0 and eth2\)"),
        (evolve(NEW, kind=NicKind.BRIDGE, source="lan"), WrongState, r"two NICs \(eth0 and eth2\)"),
        (evolve(NEW, kind=NicKind.USER, source=""), Unsupported, "kind 'user'"),
    ],
)
def test_a_nic_that_cannot_work_is_not_asked_for(
    lxd: AnsweringLxd, nic: NicSpec, error: type[InnkeeperError], text: str
) -> None:
    def attach(driver: LxdDriver) -> None:
        with pytest.raises(error, match=text):
            driver.attach_nic(GUEST, nic)

    assert asked(lxd, attach) == [FIND, NETWORKS]


def test_a_name_that_a_nic_has_in_its_guest_is_taken(lxd: AnsweringLxd) -> None:
    lxd.answers["instances"][0]["expanded_devices"]["lan"] = {"type": "nic", "nictype": "macvlan", "name": "eth2"}
    error = raised(lxd, lambda driver: driver.attach_nic(GUEST, NEW))
    assert "already has a device eth2" in str(error)


def test_networks_without_dns_have_several_nics_of_a_guest(lxd: AnsweringLxd) -> None:
    (lan,) = [one for one in lxd.answers["networks"] if one["name"] == "lan"]
    changed = {**lan, "config": {**lan["config"], "dns.mode": "none"}}
    lxd.answers["networks"] = [*(one for one in lxd.answers["networks"] if one != lan), changed]
    assert attached(lxd, evolve(NEW, kind=NicKind.NETWORK, source="lan")) == [FIND, NETWORKS, CHANGE, CHANGE]


def test_a_lease_of_another_instance_is_not_given_away(lxd: AnsweringLxd) -> None:
    taken = {"hostname": "vm2", "address": "10.9.0.20", "hwaddr": "00:16:3e:00:00:07", "type": "static"}
    lxd.answers["networks/tenant/leases"] = [taken]
    error = raised(lxd, lambda driver: driver.attach_nic(GUEST, ADDRESSED))
    assert (type(error), "reserves it for vm2" in str(error)) == (WrongState, True)


@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_a_refused_nic_is_possible_while_off(lxd: AnsweringLxd, power: PowerState) -> None:
    if power is PowerState.ON:
        running(lxd)
    lxd.refused["PATCH", "instances/vm1"] = (500, "Failed starting device: No free slot")
    error = raised(lxd, lambda driver: driver.attach_nic(GUEST, NEW))
    assert "No free slot" in str(error)
    expected = (DriverFailed, False) if power is PowerState.OFF else (WrongState, True)
    assert (type(error), "can be attached while vm1 is off" in str(error)) == expected


@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_a_nic_that_is_kept_can_be_detached_while_off(lxd: AnsweringLxd, power: PowerState) -> None:
    if power is PowerState.ON:
        running(lxd)
    lxd.refused["PUT", "instances/vm1"] = (500, "Failed detaching NIC after 10s")
    error = raised(lxd, lambda driver: driver.detach_nic(GUEST, HAS))
    assert "after 10s" in str(error)
    expected = (DriverFailed, False) if power is PowerState.OFF else (WrongState, True)
    assert (type(error), "can be detached while vm1 is off" in str(error)) == expected


@pytest.mark.parametrize("change", ["attach", "detach"])
def test_a_change_holds_although_lxd_says_something_else(lxd: AnsweringLxd, change: str) -> None:
    """It changes a running instance, and then may be unable to report that to an agent in the guest."""
    agentless = (500, "LXD VM agent isn't currently running")
    lxd.refused = {("PATCH", "instances/vm1"): agentless, ("PUT", "instances/vm1"): agentless}
    driver = lxd.driver()
    if change == "attach":
        running(lxd, eth2={"type": "nic", "nictype": "bridged", "parent": "br0", "hwaddr": NEW.mac_address})
        assert driver.attach_nic(GUEST, NEW) is PowerState.ON
    else:
        with_nic = lxd.answers["instances/vm1"]
        running(lxd, eth0=None)
        lxd.answers["instances/vm1"] = {**lxd.answers["instances/vm1"], "devices": with_nic["devices"]}
        assert driver.detach_nic(GUEST, HAS) is PowerState.ON
    driver.close()


def test_a_change_by_another_client_is_no_refusal_of_the_guest(lxd: AnsweringLxd) -> None:
    lxd.refused["PUT", "instances/vm1"] = (412, "ETag doesn't match")
    running(lxd)
    assert isinstance(raised(lxd, lambda driver: driver.detach_nic(GUEST, HAS)), PreconditionFailed)


@pytest.mark.parametrize("kind", [PreconditionFailed, Unfinished])
def test_what_no_running_guest_has_refused_is_not_answered_so(
    lxd: AnsweringLxd, monkeypatch: pytest.MonkeyPatch, kind: type[DriverFailed]
) -> None:
    def fail(_: Instances, name: str, **__: object) -> None:
        raise kind(f"not yet: {name}")

    monkeypatch.setattr(Instances, "change", fail)
    running(lxd)
    assert type(raised(lxd, lambda driver: driver.attach_nic(GUEST, NEW))) is kind


def test_a_nic_of_a_profile_is_not_detached(lxd: AnsweringLxd) -> None:
    own = {name: one for name, one in lxd.answers["instances/vm1"]["devices"].items() if name != "eth0"}
    lxd.answers["instances/vm1"] = {**lxd.answers["instances/vm1"], "devices": own}

    def detach(driver: LxdDriver) -> None:
        with pytest.raises(WrongState, match="from one of its profiles, as eth0"):
            driver.detach_nic(GUEST, HAS)

    assert asked(lxd, detach) == [FIND, CHANGE]  # it was only read


def test_nics_are_found_by_the_address_that_they_have() -> None:
    devices = {
        "disk1": {"type": "disk", "pool": "main", "source": "data", "hwaddr": HAS},
        "eth0": {"type": "nic", "network": "lan", "hwaddr": HAS},
        "eth1": {"type": "nic", "network": "lan"},
        "eth2": {"type": "nic", "network": "lan"},
    }
    found: dict[str, Any] = instance(devices=devices, config={"volatile.eth1.hwaddr": "00:16:3E:00:00:02"})
    for mac, device in {HAS: "eth0", HAS.upper(): "eth0", "00:16:3e:00:00:02": "eth1", "": None, "x": None}.items():
        assert (mac, device_with(found, mac)) == (mac, device)
