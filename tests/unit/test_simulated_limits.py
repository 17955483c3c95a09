"""What simulated hosts show of their networks and ports, and what they refuse as a real host would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.errors import NotFound, OutOfCapacity
from common.values import (
    DiskSpec,
    DriverType,
    GuestNic,
    GuestSpec,
    HostAccess,
    HostNetwork,
    Mark,
    NicAddress,
    NicKind,
    NicSpec,
)
from rackd.drivers.contract import Driver
from rackd.drivers.simulated import holdings
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.drivers.simulated.store import Store

INSTALLATION = UUID("0a1b2c3d-0000-4000-8000-000000000002")
TWO_NODES = "cores=16&memory_mib=65536&numa_nodes=2&hugepages_mib=8192"
NETWORKS = "networks=dmz:10.1.0.0/24:100,lan:10.2.0.0/24"
Open = Callable[[str], Driver]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Open]:
    hosts = SimulatedHosts(tmp_path)
    with ExitStack() as opened:

        def open_host(parameters: str) -> Driver:
            address = f"simulated:a?{parameters}"
            access = HostAccess(host_id=1, driver=DriverType.SIMULATED, address=address, installation_id=INSTALLATION)
            driver = hosts.open(access)
            opened.callback(driver.close)
            return driver

        yield open_host


def spec(name: str, *nics: NicSpec, memory_mib: int = 1024) -> GuestSpec:
    return GuestSpec(
        name=name,
        mark=Mark(installation_id=INSTALLATION, machine_id=uuid4()),
        architecture="amd64",
        cores=2,
        memory_mib=memory_mib,
        disks=(DiskSpec(volume=f"{name}-0", pool_id="default", size_bytes=1, serial="s0"),),
        nics=nics,
    )


def nic(kind: NicKind, source: str, number: int = 0) -> NicSpec:
    return NicSpec(name=f"eth{number}", mac_address=f"52:54:00:00:00:0{number}", kind=kind, source=source)


def test_a_network_has_the_host_in_it_and_hands_out_its_upper_half(host: Open) -> None:
    networks = host("networks=dmz:10.1.0.0/24:100,six:fd00:1::/64,tiny:10.9.0.0/30").discover().facts.networks
    assert [(one.name, one.addresses, one.gateway, one.dhcp_ranges) for one in networks] == [
        ("dmz", ("10.1.0.1/24",), "10.1.0.1", ("10.1.0.128-10.1.0.254",)),
        ("six", ("fd00:1::1/64",), "fd00:1::1", ("fd00:1:0:0:8000::-fd00:1::ffff:ffff:ffff:ffff",)),
        ("tiny", (), None, ()),
    ]


def test_ports_are_plugged_into_the_networks_in_turn(host: Open) -> None:
    facts = host(f"{NETWORKS}&virtual_functions=3x8").discover().facts
    ports = [one for one in facts.networks if one.kind is NicKind.MACVLAN]
    assert [(one.name, one.type, one.vid, one.cidrs, one.virtual_functions) for one in ports] == [
        ("sim0", "physical", 100, ("10.1.0.0/24",), 8),
        ("sim1", "physical", 0, ("10.2.0.0/24",), 8),
        ("sim2", "physical", 100, ("10.1.0.0/24",), 8),
    ]
    assert {(one.addresses, one.gateway, one.dhcp, one.speed_mbps) for one in ports} == {((), None, False, 25000)}
    assert [one.mac_address for one in ports] == [card.ports[0].mac_address for card in facts.network_cards]


def test_ports_of_a_host_without_named_networks_are_plugged_in_nowhere(host: Open) -> None:
    (port,) = host("virtual_functions=1x2").discover().facts.networks[1:]
    assert port == HostNetwork(
        kind=NicKind.MACVLAN, name="sim0", type="physical", mac_address=port.mac_address, speed_mbps=25000,
        virtual_functions=2,
    )  # fmt: skip


def test_a_guest_shows_its_cores_pages_and_cards(host: Open, tmp_path: Path) -> None:
    told = NicAddress(address="10.1.0.20", prefix_length=24, gateway="10.1.0.1", dns_servers=("10.1.0.2",))
    cards = (
        evolve(nic(NicKind.NETWORK, "dmz", 0), boot=True, address=told),
        nic(NicKind.BRIDGE, "lan", 1),
        evolve(nic(NicKind.MACVLAN, "sim0", 2), macvlan_mode="vepa"),
        evolve(nic(NicKind.SRIOV, "sim1", 3), vid=100, configured=False),
        nic(NicKind.USER, "", 4),
    )
    wanted = evolve(spec("all", *cards), pinned_core_ids=(9, 8), huge_page_size_kib=2048, numa_node_ids=(1,))
    driver = host(f"{TWO_NODES}&{NETWORKS}&virtual_functions=2x8")
    made = driver.compose(wanted)
    assert (made.pinned_core_ids, made.huge_pages_backed) == ((9, 8), True)
    assert made.nics == tuple(
        GuestNic(mac_address=card.mac_address, kind=card.kind, source=card.source) for card in cards
    )
    assert driver.discover().guests == (made,)
    store = Store(tmp_path / "a.sqlite")
    with store.reading() as db:
        assert holdings.nic_settings(db, wanted.ref) == cards
    store.close()


@pytest.mark.parametrize(
    ("card", "because"),
    [
        (nic(NicKind.NETWORK, "wan"), "simulated/a has no network 'wan'; it has dmz, lan."),
        (nic(NicKind.BRIDGE, "virbr0"), "simulated/a has no bridge 'virbr0'; it has dmz, lan."),
        (nic(NicKind.MACVLAN, "sim2"), "simulated/a has no port 'sim2'; it has sim0, sim1."),
        (nic(NicKind.SRIOV, ""), "simulated/a has no port with virtual functions ''; it has sim0, sim1."),
    ],
)
def test_a_card_on_what_is_not_there_is_refused(host: Open, card: NicSpec, because: str) -> None:
    driver = host(f"{NETWORKS}&virtual_functions=2x8")
    with pytest.raises(NotFound) as refused:
        driver.compose(spec("lost", card))
    assert refused.value.message == because
    assert driver.discover().guests == ()


def test_a_core_or_node_that_is_not_there_is_refused(host: Open) -> None:
    driver = host(TWO_NODES)
    with pytest.raises(NotFound, match="has no core 16, 17; its cores are 0 to 15"):
        driver.compose(evolve(spec("pinned"), pinned_core_ids=(16, 3, 17)))
    with pytest.raises(NotFound, match="has no NUMA node '2'; it has 0, 1"):
        driver.compose(evolve(spec("pinned"), numa_node_ids=(2,)))


def test_huge_pages_run_out_on_each_node_and_on_the_host(host: Open) -> None:
    driver = host(f"{TWO_NODES}&pinned_guests=0-1:1024:huge")
    backed = evolve(spec("first", memory_mib=3072), huge_page_size_kib=2048, numa_node_ids=(0,))
    first = driver.compose(backed)
    assert driver.compose(backed) == first
    with pytest.raises(OutOfCapacity, match="1 huge pages of 2048 KiB asked on NUMA node 0, 0 of 2048 left"):
        driver.compose(evolve(spec("second", memory_mib=2), huge_page_size_kib=2048, numa_node_ids=(0,)))
    driver.compose(evolve(spec("third", memory_mib=4094), huge_page_size_kib=2048))
    with pytest.raises(OutOfCapacity, match="2 huge pages of 2048 KiB asked, 1 of 4096 left"):
        driver.compose(evolve(spec("fourth", memory_mib=4), huge_page_size_kib=2048))
    driver.decompose(backed.ref)
    driver.compose(evolve(spec("second", memory_mib=2), huge_page_size_kib=2048, numa_node_ids=(0,)))


def test_huge_pages_of_another_size_are_refused(host: Open) -> None:
    for parameters, because in ((TWO_NODES, "it has 8192 MiB in pages of 2048 KiB"), ("cores=4", "asked, it has none")):
        with pytest.raises(OutOfCapacity, match=because):
            host(parameters).compose(evolve(spec("backed"), huge_page_size_kib=1048576))


def test_virtual_functions_run_out_port_by_port_and_leave_no_volume(host: Open) -> None:
    driver = host("virtual_functions=2x3")
    pair = nic(NicKind.SRIOV, "sim0", 0), nic(NicKind.SRIOV, "sim0", 1)
    driver.compose(spec("two", *pair))
    refused = spec("two-more", *pair)
    with pytest.raises(OutOfCapacity, match="sim0 of simulated/a: 2 virtual functions asked, 1 of 3 left"):
        driver.compose(refused)
    driver.compose(evolve(refused, nics=(pair[0], nic(NicKind.SRIOV, "sim1", 1))))
    assert len(driver.discover().guests) == 2


def test_what_the_address_no_longer_names_has_vanished(host: Open) -> None:
    before = host(f"pools=default:9,fast:9&{NETWORKS}")
    kept = spec("kept", nic(NicKind.NETWORK, "dmz"))
    made = before.compose(kept)
    after = host("pools=fast:9&networks=lan:10.2.0.0/24")
    with pytest.raises(NotFound, match="has no storage pool 'default'; it has fast"):
        after.compose(spec("late"))
    elsewhere = evolve(kept.disks[0], volume="other", pool_id="fast")
    with pytest.raises(NotFound, match="has no network 'dmz'; it has lan"):
        after.compose(evolve(spec("late", nic(NicKind.NETWORK, "dmz")), disks=(elsewhere,)))
    assert after.discover().guests == (made,)
    assert after.compose(kept) == made
