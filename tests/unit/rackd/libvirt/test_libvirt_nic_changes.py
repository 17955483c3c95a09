"""NIC changes that libvirt or a guest refuses, that an administrator has half made, or that are interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve, frozen

from common.errors import Busy, DriverFailed, HostUnreachable, InvalidRequest, NotFound, OutOfCapacity, WrongState
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import NicKind, OwnershipMarker, PowerAction, PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain, Network
from rackd.drivers.libvirt.definitions.metadata import (
    function_ports_in,
    marker_in,
    recorded_marker,
    reservations_in,
    set_function_port,
)
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests import live_devices, nic_changes, sriov
from rackd.drivers.libvirt.xml import attribute, parse
from tests.contract.support.guest_samples import address, nic, small_guest
from tests.contract.support.libvirt_node import opened

NO_SLOT = DriverFailed("Cannot attach a device: internal error: No more available PCI slots")
LIVE, PERSISTENT = 0, 2
FIRST = nic(0, NicKind.NETWORK, "default", boot=True)
NEW = nic(1, NicKind.NETWORK, "default", address=address("192.168.122.20"))
FUNCTION = nic(3, NicKind.SRIOV, "eth3", vid=100)
RESERVED = (NEW.mac_address, "192.168.122.20")


@frozen
class Host:
    client: Client
    driver: LibvirtDriver
    spec: GuestSpec

    @property
    def domain(self) -> Any:
        return self.client.connection.lookupByName(self.spec.name)

    def switch(self, action: PowerAction) -> None:
        self.driver.power(self.spec.ref, action, grace_s=0.1)

    def tree(self, flags: int) -> ET.Element:
        return parse(self.domain.XMLDesc(flags), "a guest")

    def whole(self) -> tuple[str, str, list[tuple[str, str]]]:
        live, defined = (ET.canonicalize(self.domain.XMLDesc(flags), strip_text=True) for flags in (LIVE, PERSISTENT))
        return live, defined, self.hosts()

    def macs(self, flags: int = PERSISTENT) -> list[str]:
        return [attribute(one, "mac", "address") for one in self.tree(flags).iterfind("devices/interface")]

    def hosts(self) -> list[tuple[str, str]]:
        """The DHCP host entries of the network."""
        tree = parse(self.client.connection.networkLookupByName("default").XMLDesc(), "a network")
        return [(host.get("mac", ""), host.get("ip", "")) for host in tree.iterfind("ip/dhcp/host")]

    def recorded(self) -> list[tuple[str, str]]:
        """The reservations that the running guest and its definition record."""
        live, defined = (
            [(one.mac_address, one.address) for one in reservations_in(self.tree(flags))]
            for flags in (LIVE, PERSISTENT)
        )
        assert live == defined
        return live

    def attach(self, nic: NicSpec) -> PowerState:
        return self.driver.attach_nic(self.spec.ref, nic)

    def detach(self, nic: NicSpec) -> PowerState:
        return self.driver.detach_nic(self.spec.ref, nic.mac_address)

    def define_with(self, mac_address: str) -> None:
        tree = self.tree(PERSISTENT)
        for devices in tree.iterfind("devices"):
            other = ET.SubElement(devices, "interface", type="network")
            ET.SubElement(other, "mac", address=mac_address)
            ET.SubElement(other, "source", network="default")
        self.client.connection.defineXML(ET.tostring(tree, encoding="unicode"))

    def define_without(self, mac_address: str) -> None:
        """Changes the definition as an administrator can; a running guest does not notice."""
        tree = self.tree(PERSISTENT)
        for devices in tree.iterfind("devices"):
            for one in devices.findall("interface"):
                if attribute(one, "mac", "address") == mac_address:
                    devices.remove(one)
        self.client.connection.defineXML(ET.tostring(tree, encoding="unicode"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A guest with one NIC that is off."""
    marker = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    with opened(tmp_path) as client:
        pool_id = client.connection.storagePoolLookupByName("main").UUIDString()
        spec = small_guest("vm", marker, (pool_id,), nics=(FIRST,))
        driver = LibvirtDriver(lambda: client, marker.installation_id)
        driver.compose(spec)
        yield Host(client, driver, spec)


def answers(monkeypatch: pytest.MonkeyPatch, method: str, answer: Callable[..., None]) -> None:
    """The test driver has no calls that change devices of a running domain."""
    monkeypatch.setattr(Domain, method, answer)


def refuse(error: Exception) -> Callable[..., None]:
    def answer(*_: object, **__: object) -> None:
        raise error

    return answer


def accept(*_: object, **__: object) -> None: ...


def test_a_refused_nic_leaves_nothing_behind(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.switch(PowerAction.ON)
    before = host.whole()
    answers(monkeypatch, "attach_live", refuse(NO_SLOT))
    with pytest.raises(WrongState, match=r"No more available PCI slots\. It can be attached while vm is off"):
        host.attach(NEW)
    assert host.whole() == before


def test_a_running_guest_has_the_reservation_before_the_nic(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its system asks for an address as soon as it sees the NIC."""
    seen: list[object] = []

    def attach_live(_: Domain, device: str, *, persistent: bool) -> None:
        seen.append((host.hosts(), host.recorded(), NEW.mac_address in device, "<boot" in device, persistent))

    host.switch(PowerAction.ON)
    answers(monkeypatch, "attach_live", attach_live)
    assert host.attach(evolve(NEW, boot=True)) is PowerState.ON
    assert seen == [([RESERVED], [RESERVED], True, False, True)]


def test_a_lost_connection_leaves_what_the_next_try_uses(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.switch(PowerAction.ON)
    answers(monkeypatch, "attach_live", refuse(HostUnreachable("the connection was lost")))
    with pytest.raises(HostUnreachable):
        host.attach(NEW)
    assert (host.hosts(), host.recorded()) == ([RESERVED], [RESERVED])
    host.switch(PowerAction.FORCE_OFF)
    host.attach(NEW)
    assert (host.hosts(), host.recorded()) == ([RESERVED], [RESERVED])
    assert host.macs() == [FIRST.mac_address, NEW.mac_address]


@pytest.mark.parametrize("end", ["detach", "decompose"])
def test_an_interrupted_attempt_is_cleaned_up(host: Host, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    host.switch(PowerAction.ON)
    answers(monkeypatch, "attach_live", refuse(HostUnreachable("the connection was lost")))
    with pytest.raises(HostUnreachable):
        host.attach(NEW)
    if end == "detach":
        assert host.detach(NEW) is PowerState.ON
        assert host.recorded() == []
    else:
        host.driver.decompose(host.spec.ref)
    assert host.hosts() == []


def test_a_reservation_that_was_taken_meanwhile_is_no_residue(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.whole()

    def taken(*_: object, **__: object) -> None:
        raise WrongState("The network reserves it for another NIC.")

    monkeypatch.setattr(Network, "add_host", taken)
    with pytest.raises(WrongState):
        host.attach(NEW)
    assert host.whole() == before


def test_half_a_change_of_an_administrator_is_completed(host: Host) -> None:
    host.attach(NEW)
    host.switch(PowerAction.ON)
    host.define_without(NEW.mac_address)
    assert NEW.mac_address in host.macs(LIVE)
    assert host.attach(NEW) is PowerState.ON
    assert host.macs() == host.macs(LIVE) == [FIRST.mac_address, NEW.mac_address]
    assert host.recorded() == [RESERVED]


def test_a_running_guest_gets_the_nic_that_its_definition_has(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def attach_live(_: Domain, __: str, *, persistent: bool) -> None:
        asked.append(persistent)

    host.switch(PowerAction.ON)
    host.define_with(NEW.mac_address)
    answers(monkeypatch, "attach_live", attach_live)
    host.attach(NEW)
    assert asked == [False]


def test_a_refusal_takes_nothing_from_the_definition(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.switch(PowerAction.ON)
    host.define_with(NEW.mac_address)
    before = host.whole()
    answers(monkeypatch, "attach_live", refuse(NO_SLOT))
    with pytest.raises(WrongState):
        host.attach(NEW)
    assert host.whole() == before


def test_a_refusal_ends_no_older_reservation(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition has the NIC, which an administrator took from the running guest."""
    host.switch(PowerAction.ON)
    answers(monkeypatch, "attach_live", accept)
    host.attach(NEW)
    host.define_with(NEW.mac_address)
    answers(monkeypatch, "attach_live", refuse(NO_SLOT))
    with pytest.raises(WrongState):
        host.attach(NEW)
    assert host.hosts() == host.recorded() == [RESERVED]


def test_a_guest_that_keeps_a_nic_is_not_changed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.attach(NEW)
    host.switch(PowerAction.ON)
    before = host.whole()
    monkeypatch.setattr(live_devices, "UNPLUG_S", 0.0)
    for answer, reason in (
        (accept, r"within 0 s\. Try again once the guest's system is up"),
        (refuse(DriverFailed("already in the process of unplug")), "within 0 s"),
        (refuse(DriverFailed("the bus does not support hot-unplugging")), "hot-unplugging"),
    ):
        answers(monkeypatch, "detach_live", answer)
        with pytest.raises(WrongState, match=reason):
            host.detach(NEW)
        assert host.whole() == before


def test_a_guest_that_stops_meanwhile_loses_the_nic(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.attach(NEW)
    host.switch(PowerAction.ON)
    answers(monkeypatch, "detach_live", lambda domain, _: domain.destroy())
    assert host.detach(NEW) is PowerState.OFF
    assert (host.macs(), host.hosts(), host.recorded()) == ([FIRST.mac_address], [], [])


def test_a_driver_that_closes_does_not_wait_for_a_guest(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.attach(NEW)
    host.switch(PowerAction.ON)
    answers(monkeypatch, "detach_live", accept)
    closing = threading.Event()
    closing.set()
    with pytest.raises(HostUnreachable, match="closed the connection while vm"):
        nic_changes.detach(host.client, host.spec.ref, NEW.mac_address, closing=closing)
    assert NEW.mac_address in host.macs()


def test_a_reservation_of_an_administrator_stays(host: Host) -> None:
    host.attach(evolve(NEW, address=None))
    entry = ET.tostring(ET.Element("host", mac=NEW.mac_address, ip=RESERVED[1]), encoding="unicode")
    host.client.connection.networkLookupByName("default").update(3, 4, -1, entry, 2)  # adds it to the definition
    before = host.hosts()
    host.detach(NEW)
    assert host.hosts() == before


def test_other_reservations_and_the_boot_order_stay(host: Host) -> None:
    other = evolve(NEW, name="eth2", mac_address="52:54:00:00:00:77", address=address("192.168.122.30"))
    host.attach(other)
    order = [attribute(one, "boot", "order") for one in host.tree(PERSISTENT).iterfind("devices/*")]
    host.attach(NEW)
    host.detach(NEW)
    assert host.recorded() == host.hosts() == [(other.mac_address, "192.168.122.30")]
    assert [attribute(one, "boot", "order") for one in host.tree(PERSISTENT).iterfind("devices/*")] == order
    assert marker_in(host.tree(PERSISTENT)) == host.spec.marker


def test_virtual_functions_go_to_one_nic_each_and_come_back(host: Host) -> None:
    second, third = (evolve(FUNCTION, name=f"eth{n}", mac_address=f"52:54:00:00:00:1{n}") for n in (4, 5))
    host.attach(FUNCTION)
    host.attach(second)
    addresses = {one.get("function") for one in host.tree(PERSISTENT).iterfind("devices/interface/source/address")}
    assert len(addresses) == 2
    assert function_ports_in(host.tree(PERSISTENT)) == {FUNCTION.mac_address: "eth3", second.mac_address: "eth3"}
    before = host.whole()
    with pytest.raises(OutOfCapacity, match="eth3 has no free virtual function"):
        host.attach(third)
    assert host.whole() == before
    host.detach(FUNCTION)
    assert function_ports_in(host.tree(PERSISTENT)) == {second.mac_address: "eth3"}
    host.attach(third)


def test_a_function_that_another_guest_got_is_given_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.whole()

    def taken(*_: object) -> None:
        raise Busy("Another guest received the virtual function at the same time.")

    monkeypatch.setattr(sriov, "check_still_free", taken)
    with pytest.raises(Busy):
        host.attach(FUNCTION)
    assert host.whole() == before


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (evolve(NEW, mac_address="52:54"), InvalidRequest),
        (evolve(NEW, address=address("192.168.122.300")), InvalidRequest),
        (evolve(NEW, kind=NicKind.BRIDGE, source="br9"), NotFound),
        (evolve(FUNCTION, source="eth9"), NotFound),
    ],
)
def test_a_nic_that_cannot_be_described_changes_nothing(host: Host, wrong: NicSpec, error: type[Exception]) -> None:
    before = host.whole()
    with pytest.raises(error):
        host.attach(wrong)
    assert host.whole() == before


def test_a_guest_whose_memory_is_saved_keeps_its_nics(host: Host) -> None:
    """It would start with those that it had, also with an address that another guest has by then."""
    host.switch(PowerAction.ON)
    host.domain.managedSave()
    before = host.whole()
    for change, one in ((host.attach, NEW), (host.detach, FIRST)):
        with pytest.raises(WrongState, match="virsh managedsave-remove"):
            change(one)
    assert (host.whole(), host.detach(NEW)) == (before, PowerState.OFF)
    host.domain.managedSaveRemove()
    host.attach(NEW)
    host.detach(FIRST)
    assert host.macs() == [NEW.mac_address]


def test_a_record_needs_a_marker() -> None:
    foreign = ET.fromstring("<domain/>")  # noqa: S314  of the test
    set_function_port(foreign, FUNCTION.mac_address, "eth3")
    assert (function_ports_in(foreign), recorded_marker(foreign)) == ({}, None)
