"""Virtual functions on libvirt's own test driver, whose server has a card with two of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.errors import Busy, NotFound, OutOfCapacity
from common.marks import volume_name
from common.values import DiskSpec, GuestNic, GuestSpec, Mark, NicAddress, NicKind, NicSpec
from rackd.drivers.libvirt import functions
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.nics import Function
from tests.contract.libvirt_node import NODE, PORT, opened

INSTALLATION = UUID(int=7)
POOL_NETWORK = "<network><name>shared</name><forward mode='hostdev' managed='yes'><pf dev='eth3'/></forward></network>"
BOTH = {"0000:3b:02.0", "0000:3b:02.1"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    taps = PORT.replace("net_eth3_3c", "net_vnet0_3c").replace("eth3", "vnet0")
    of_function = PORT.replace("eth3", "eth3v0").replace("pci_0000_3b_00_0", "pci_0000_3b_02_0")
    with opened(tmp_path, NODE.replace("</node>", f"{taps}{of_function}</node>")) as made:
        yield made


@pytest.fixture
def driver(client: Client) -> Iterator[LibvirtDriver]:
    made = LibvirtDriver(lambda: client, INSTALLATION)
    yield made
    made.close()


def spec_of(client: Client, *macs: str) -> GuestSpec:
    mark = Mark(installation_id=INSTALLATION, machine_id=uuid4())
    pool_id = client._connection.storagePoolLookupByName("main").UUIDString()
    disk = DiskSpec(volume=volume_name(mark, 0), pool_id=pool_id, size_bytes=2**20, serial="first")
    cards = tuple(
        NicSpec(name=f"eth{number}", mac_address=mac, kind=NicKind.SRIOV, source="eth3", vid=12)
        for number, mac in enumerate(macs)
    )
    name = f"m{mark.machine_id.hex[:8]}"
    return GuestSpec(name=name, mark=mark, architecture="amd64", cores=1, memory_mib=128, disks=(disk,), nics=cards)


FIRST, SECOND, THIRD = (f"52:54:00:00:00:0{number}" for number in (1, 2, 3))


def test_cards_of_guests_have_functions_of_their_own_until_there_are_no_more(
    client: Client, driver: LibvirtDriver
) -> None:
    one, two, three = (spec_of(client, mac) for mac in (FIRST, SECOND, THIRD))
    guest = driver.compose(one)
    assert guest.nics == (GuestNic(mac_address=FIRST, kind=NicKind.SRIOV, source="eth3"),)
    driver.compose(two)
    with pytest.raises(OutOfCapacity, match="eth3 has no virtual function left"):
        driver.compose(three)
    assert driver.find(three.ref) is None
    driver.decompose(one.ref)
    assert driver.compose(three).nics[0].source == "eth3"


def test_two_cards_of_one_guest_have_two_functions(client: Client) -> None:
    chosen = functions.choose(client, spec_of(client, FIRST, SECOND))
    assert {function.pci_address for function in chosen.values()} == BOTH


def test_a_port_that_is_not_there_is_named(client: Client) -> None:
    spec = spec_of(client, FIRST)
    with pytest.raises(NotFound, match="eth9"):
        functions.choose(client, evolve(spec, nics=(evolve(spec.nics[0], source="eth9"),)))


def test_a_function_that_another_guest_was_given_meanwhile_is_refused(client: Client, driver: LibvirtDriver) -> None:
    one, two = spec_of(client, FIRST), spec_of(client, SECOND)
    driver.compose(one)
    taken = BOTH - {function.pci_address for function in functions.choose(client, two).values()}
    functions.check_still_free(client, two, functions.choose(client, two))
    with pytest.raises(Busy, match=min(taken)):
        functions.check_still_free(client, two, {SECOND: Function(pci_address=min(taken))})


def test_where_a_network_hands_out_the_functions_it_is_left_to_it(client: Client) -> None:
    client._connection.networkDefineXML(POOL_NETWORK).create()
    spec = spec_of(client, FIRST)
    assert functions.choose(client, spec) == {FIRST: Function(network="shared")}


def test_cards_and_ports_are_found_and_those_of_guests_are_passed_over(driver: LibvirtDriver) -> None:
    found = driver.discover()
    assert [[port.name for port in card.ports] for card in found.facts.network_cards] == [["eth3"]]
    ports = {one.name: one.virtual_functions for one in found.facts.networks if one.type == "physical"}
    assert ports == {"eth3": 2}
    assert driver.discover().calls < found.calls  # what is no port is not asked again


def test_an_address_is_reserved_and_given_back_on_libvirts_own_driver(client: Client, driver: LibvirtDriver) -> None:
    address = NicAddress(address="192.168.122.77", prefix_length=24)
    nic = NicSpec(name="eth0", mac_address=FIRST, kind=NicKind.NETWORK, source="default", address=address)
    spec = evolve(spec_of(client), nics=(nic,))
    network = client.network("default")
    assert network is not None
    driver.compose(spec)
    assert "192.168.122.77" in network.xml()
    driver.decompose(spec.ref)
    assert "192.168.122.77" not in network.xml()
