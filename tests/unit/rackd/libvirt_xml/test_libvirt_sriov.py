"""SR-IOV virtual functions, on libvirt's test driver with a device that has two of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from attrs import evolve

from common.errors import Busy, NotFound, OutOfCapacity
from common.guests.guest_spec import GuestSpec, NicAddress, NicSpec
from common.values import GuestNic, NicKind
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.definitions.nic_xml import VirtualFunction
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests import sriov
from tests.contract.support.guest_samples import new_marker, small_guest
from tests.contract.support.libvirt_node import NODE, PORT, opened

INSTALLATION = UUID(int=7)
POOL_NETWORK = "<network><name>shared</name><forward mode='hostdev' managed='yes'><pf dev='eth3'/></forward></network>"
BOTH = {"0000:3b:02.0", "0000:3b:02.1"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    taps = PORT.replace("net_eth3_3c", "net_vnet0_3c").replace("eth3", "vnet0")
    of_function = PORT.replace("eth3", "eth3v0").replace("pci_0000_3b_00_0", "pci_0000_3b_02_0")
    with opened(tmp_path, NODE.replace("</node>", f"{taps}{of_function}</node>")) as client:
        yield client


@pytest.fixture
def driver(client: Client) -> Iterator[LibvirtDriver]:
    driver = LibvirtDriver(lambda: client, INSTALLATION)
    yield driver
    driver.close()


def spec_of(client: Client, *macs: str) -> GuestSpec:
    marker = new_marker(INSTALLATION)
    pool_id = client.connection.storagePoolLookupByName("main").UUIDString()
    nics = tuple(
        NicSpec(name=f"eth{number}", mac_address=mac, kind=NicKind.SRIOV, source="eth3", vid=12)
        for number, mac in enumerate(macs)
    )
    return small_guest(f"m{marker.machine_id.hex[:8]}", marker, (pool_id,), nics=nics)


FIRST, SECOND, THIRD = (f"52:54:00:00:00:0{number}" for number in (1, 2, 3))


def test_functions_are_unique_until_none_is_left(client: Client, driver: LibvirtDriver) -> None:
    one, two, three = (spec_of(client, mac) for mac in (FIRST, SECOND, THIRD))
    guest = driver.compose(one)
    assert guest.nics == (GuestNic(mac_address=FIRST, kind=NicKind.SRIOV, source="eth3"),)
    driver.compose(two)
    with pytest.raises(OutOfCapacity, match="eth3 has no free virtual function"):
        driver.compose(three)
    assert driver.find(three.ref) is None
    driver.decompose(one.ref)
    assert driver.compose(three).nics[0].source == "eth3"


def test_two_nics_of_one_guest_have_two_functions(client: Client) -> None:
    chosen = sriov.choose(client, (spec := spec_of(client, FIRST, SECOND)).ref, spec.nics)
    assert {function.pci_address for function in chosen.values()} == BOTH


def test_a_missing_port_is_named(client: Client) -> None:
    spec = spec_of(client, FIRST)
    with pytest.raises(NotFound, match="eth9"):
        sriov.choose(client, spec.ref, [evolve(spec.nics[0], source="eth9")])


def test_a_function_assigned_concurrently_is_busy(client: Client, driver: LibvirtDriver) -> None:
    one, two = spec_of(client, FIRST), spec_of(client, SECOND)
    driver.compose(one)
    taken = BOTH - {function.pci_address for function in sriov.choose(client, two.ref, two.nics).values()}
    sriov.check_still_free(client, two.ref, sriov.choose(client, two.ref, two.nics))
    with pytest.raises(Busy, match=min(taken)):
        sriov.check_still_free(client, two.ref, {SECOND: VirtualFunction(pci_address=min(taken))})


def test_sriov_networks_assign_functions_themselves(client: Client) -> None:
    client.connection.networkDefineXML(POOL_NETWORK).create()
    spec = spec_of(client, FIRST)
    assert sriov.choose(client, spec.ref, spec.nics) == {FIRST: VirtualFunction(network="shared")}


def test_inventory_skips_interfaces_of_guests(driver: LibvirtDriver) -> None:
    found = driver.discover()
    assert [[port.name for port in device.ports] for device in found.facts.network_devices] == [["eth3"]]
    ports = {one.name: one.virtual_functions for one in found.facts.networks if one.type == "physical"}
    assert ports == {"eth3": 2}
    assert driver.discover().calls < found.calls  # devices that are no ports are read once


def test_the_test_driver_reserves_and_releases_addresses(client: Client, driver: LibvirtDriver) -> None:
    address = NicAddress(address="192.168.122.77", prefix_length=24)
    nic = NicSpec(name="eth0", mac_address=FIRST, kind=NicKind.NETWORK, source="default", address=address)
    spec = evolve(spec_of(client), nics=(nic,))
    network = client.network("default")
    assert network is not None
    driver.compose(spec)
    assert "192.168.122.77" in network.xml()
    driver.decompose(spec.ref)
    assert "192.168.122.77" not in network.xml()
