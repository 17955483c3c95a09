"""Networks, ports and limits of simulated hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from common.errors import NotFound, OutOfCapacity
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import GuestNic, HostNetwork, NicKind
from rackd.drivers.simulated import guest_resources
from rackd.drivers.simulated.store import Store
from tests.unit.support.simulated_hosts import OpenHost, simulated_hosts, spec

TWO_NODES = "cores=16&memory_mib=65536&numa_nodes=2&hugepages_mib=8192"
NETWORKS = "networks=dmz:10.1.0.0/24:100,lan:10.2.0.0/24"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OpenHost]:
    with simulated_hosts(tmp_path) as open_host:
        yield lambda parameters: open_host(f"simulated:a?{parameters}")


def nic(kind: NicKind, source: str, number: int = 0) -> NicSpec:
    return NicSpec(name=f"eth{number}", mac_address=f"52:54:00:00:00:0{number}", kind=kind, source=source)


def test_networks_have_a_gateway_and_a_dhcp_range(host: OpenHost) -> None:
    networks = host("networks=dmz:10.1.0.0/24:100,six:fd00:1::/64,tiny:10.9.0.0/30").discover().facts.networks
    assert [(one.name, one.addresses, one.gateway, one.dhcp_ranges) for one in networks] == [
        ("dmz", ("10.1.0.1/24",), "10.1.0.1", ("10.1.0.128-10.1.0.254",)),
        ("six", ("fd00:1::1/64",), "fd00:1::1", ("fd00:1:0:0:8000::-fd00:1::ffff:ffff:ffff:ffff",)),
        ("tiny", (), None, ()),
    ]


def test_ports_are_connected_to_networks_in_turn(host: OpenHost) -> None:
    facts = host(f"{NETWORKS}&virtual_functions=3x8").discover().facts
    ports = [one for one in facts.networks if one.kind is NicKind.MACVLAN]
    assert [(one.name, one.type, one.vid, one.cidrs, one.virtual_functions) for one in ports] == [
        ("sim0", "physical", 100, ("10.1.0.0/24",), 8),
        ("sim1", "physical", 0, ("10.2.0.0/24",), 8),
        ("sim2", "physical", 100, ("10.1.0.0/24",), 8),
    ]
    assert {(one.addresses, one.gateway, one.dhcp, one.speed_mbps) for one in ports} == {((), None, False, 25000)}
    assert [one.mac_address for one in ports] == [device.ports[0].mac_address for device in facts.network_devices]


def test_ports_without_named_networks_are_unconnected(host: OpenHost) -> None:
    (port,) = host("virtual_functions=1x2").discover().facts.networks[1:]
    assert port == HostNetwork(
        kind=NicKind.MACVLAN, name="sim0", type="physical", mac_address=port.mac_address, speed_mbps=25000,
        virtual_functions=2,
    )  # fmt: skip


def test_guests_report_cores_pages_and_nics(host: OpenHost, tmp_path: Path) -> None:
    address = NicAddress(address="10.1.0.20", prefix_length=24, gateway="10.1.0.1", dns_servers=("10.1.0.2",))
    nics = (
        evolve(nic(NicKind.NETWORK, "dmz", 0), boot=True, address=address),
        nic(NicKind.BRIDGE, "lan", 1),
        evolve(nic(NicKind.MACVLAN, "sim0", 2), macvlan_mode="vepa"),
        evolve(nic(NicKind.SRIOV, "sim1", 3), vid=100, configured=False),
        nic(NicKind.USER, "", 4),
    )
    requested = evolve(spec("all", *nics), pinned_core_ids=(9, 8), huge_page_size_kib=2048, numa_node_ids=(1,))
    driver = host(f"{TWO_NODES}&{NETWORKS}&virtual_functions=2x8")
    composed = driver.compose(requested)
    assert (composed.pinned_core_ids, composed.huge_pages_backed) == ((9, 8), True)
    assert composed.nics == tuple(
        GuestNic(mac_address=one.mac_address, kind=one.kind, source=one.source) for one in nics
    )
    assert driver.discover().guests == (composed,)
    store = Store(tmp_path / "a.sqlite")
    with store.reading() as db:
        assert guest_resources.nic_settings(db, requested.ref) == nics
    store.close()


@pytest.mark.parametrize(
    ("wrong_nic", "reason"),
    [
        (nic(NicKind.NETWORK, "wan"), "simulated/a has no network 'wan'; it has dmz, lan."),
        (nic(NicKind.BRIDGE, "virbr0"), "simulated/a has no bridge 'virbr0'; it has dmz, lan."),
        (nic(NicKind.MACVLAN, "sim2"), "simulated/a has no port 'sim2'; it has sim0, sim1."),
        (nic(NicKind.SRIOV, ""), "simulated/a has no port with virtual functions ''; it has sim0, sim1."),
    ],
)
def test_missing_nic_sources_are_rejected(host: OpenHost, wrong_nic: NicSpec, reason: str) -> None:
    driver = host(f"{NETWORKS}&virtual_functions=2x8")
    with pytest.raises(NotFound) as rejected:
        driver.compose(spec("rejected", wrong_nic))
    assert rejected.value.message == reason
    assert driver.discover().guests == ()


def test_missing_cores_and_nodes_are_rejected(host: OpenHost) -> None:
    driver = host(TWO_NODES)
    with pytest.raises(NotFound, match="has no core 16, 17; its cores are 0 to 15"):
        driver.compose(evolve(spec("pinned"), pinned_core_ids=(16, 3, 17)))
    with pytest.raises(NotFound, match="has no NUMA node '2'; it has 0, 1"):
        driver.compose(evolve(spec("pinned"), numa_node_ids=(2,)))


def test_huge_pages_are_limited_per_node_and_host(host: OpenHost) -> None:
    driver = host(f"{TWO_NODES}&pinned_guests=0-1:1024:huge")
    backed = evolve(spec("first", memory_mib=3072), huge_page_size_kib=2048, numa_node_ids=(0,))
    first = driver.compose(backed)
    assert driver.compose(backed) == first
    with pytest.raises(OutOfCapacity, match="1 huge page of 2048 KiB requested on NUMA node 0, 0 of 2048 are left"):
        driver.compose(evolve(spec("second", memory_mib=2), huge_page_size_kib=2048, numa_node_ids=(0,)))
    driver.compose(evolve(spec("third", memory_mib=4094), huge_page_size_kib=2048))
    with pytest.raises(OutOfCapacity, match="2 huge pages of 2048 KiB requested, 1 of 4096 are left"):
        driver.compose(evolve(spec("fourth", memory_mib=4), huge_page_size_kib=2048))
    driver.decompose(backed.ref)
    driver.compose(evolve(spec("second", memory_mib=2), huge_page_size_kib=2048, numa_node_ids=(0,)))


def test_other_huge_page_sizes_are_rejected(host: OpenHost) -> None:
    for parameters, reason in ((TWO_NODES, "has 8192 MiB in pages of 2048 KiB"), ("cores=4", "has no huge pages")):
        with pytest.raises(OutOfCapacity, match=reason):
            host(parameters).compose(evolve(spec("backed"), huge_page_size_kib=1048576))


def test_virtual_functions_are_limited_per_port(host: OpenHost) -> None:
    driver = host("virtual_functions=2x3")
    pair = nic(NicKind.SRIOV, "sim0", 0), nic(NicKind.SRIOV, "sim0", 1)
    driver.compose(spec("two", *pair))
    second = spec("second", *pair)
    with pytest.raises(OutOfCapacity, match="sim0 has 1 of 3 virtual functions left; 2 are needed"):
        driver.compose(second)
    driver.compose(evolve(second, nics=(pair[0], nic(NicKind.SRIOV, "sim1", 1))))
    assert len(driver.discover().guests) == 2


def test_removed_parameters_remove_the_resource(host: OpenHost) -> None:
    before = host(f"pools=default:9,fast:9&{NETWORKS}")
    existing = spec("existing", nic(NicKind.NETWORK, "dmz"))
    composed = before.compose(existing)
    after = host("pools=fast:9&networks=lan:10.2.0.0/24")
    with pytest.raises(NotFound, match="has no storage pool 'default'; it has fast"):
        after.compose(spec("new"))
    elsewhere = evolve(existing.disks[0], volume="other", pool_id="fast")
    with pytest.raises(NotFound, match="has no network 'dmz'; it has lan"):
        after.compose(evolve(spec("new", nic(NicKind.NETWORK, "dmz")), disks=(elsewhere,)))
    assert after.discover().guests == (composed,)
    assert after.compose(existing) == composed
