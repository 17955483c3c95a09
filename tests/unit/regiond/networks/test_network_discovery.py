"""Rules of network discovery: the result depends neither on the order of hosts nor on repeated runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkDevice, NetworkPort
from common.values import HostFacts, HostNetwork, NicKind
from regiond.networks.discovery.diff import compare
from regiond.networks.discovery.interface_facts import InterfaceKey, interfaces_of
from regiond.networks.discovery.l2_segments import VlanKey
from regiond.networks.discovery.model import KnownInterface, KnownNetworks, KnownSubnet, NetworkChanges
from regiond.networks.model import Network


@define
class StoredNetworks:
    """The networks in the database after the changes of discovery runs were written."""

    fabrics: int = 0
    hosts: dict[str, dict[InterfaceKey, KnownInterface]] = field(factory=dict)
    subnets: dict[Network, KnownSubnet] = field(factory=dict)

    def discover(self, facts: HostFacts, host: str = "a") -> NetworkChanges:
        known = self.hosts.setdefault(host, {})
        changes = compare(interfaces_of(facts), KnownNetworks(interfaces=known, subnets=self.subnets))
        for old, new_key in changes.changed_kinds:
            known[new_key] = known.pop(old)
        created: dict[int, int] = {}

        def with_id(vlan: VlanKey | None) -> VlanKey | None:
            if vlan is None or vlan.fabric >= 0:
                return vlan
            if vlan.fabric not in created:
                self.fabrics += 1
                created[vlan.fabric] = self.fabrics
            return evolve(vlan, fabric=created[vlan.fabric])

        for new in changes.subnets:
            assert new.cidr not in self.subnets
            vlan = with_id(new.vlan)
            assert vlan is not None
            self.subnets[new.cidr] = KnownSubnet(vlan=vlan)
        for interface, vlan in changes.interfaces:
            previous = known.get(interface.key)
            chosen = previous is not None and previous.vlan_set_by_user
            known[interface.key] = KnownInterface(interface=interface, vlan=with_id(vlan), vlan_set_by_user=chosen)
        for key in changes.missing:
            known[key] = evolve(known[key], missing=True)
        for cidr, gateway in changes.gateways:
            self.subnets[cidr] = evolve(self.subnets[cidr], gateway=gateway)
        return changes

    def vlans(self, host: str = "a") -> Mapping[str, tuple[int, int] | None]:
        """Fabric and VID by interface name."""
        return {key[1]: _pair(one.vlan) for key, one in self.hosts[host].items()}

    def subnet(self, cidr: str) -> tuple[int, int] | None:
        return _pair(self.subnets[ip_network(cidr)].vlan)

    def choose(self, name: str, vlan: VlanKey) -> None:
        known = self.hosts["a"]
        key = next(key for key in known if key[1] == name)
        known[key] = evolve(known[key], vlan=vlan, vlan_set_by_user=True)


@pytest.fixture
def stored() -> StoredNetworks:
    return StoredNetworks()


def _pair(vlan: VlanKey | None) -> tuple[int, int] | None:
    return None if vlan is None else (vlan.fabric, vlan.vid)


def facts(*networks: HostNetwork, devices: Iterable[NetworkDevice] = ()) -> HostFacts:
    return HostFacts(
        server_identity="x", hypervisor_version="1", architecture="amd64", cores=1, memory_mib=1, networks=networks,
        network_devices=tuple(devices),
    )  # fmt: skip


def bridge(name: str, *cidrs: str, **more: Any) -> HostNetwork:
    return HostNetwork(kind=NicKind.BRIDGE, name=name, type="bridge", cidrs=cidrs, **more)


def port(name: str, *cidrs: str, type: str = "physical", **more: Any) -> HostNetwork:
    return HostNetwork(kind=NicKind.MACVLAN, name=name, type=type, cidrs=cidrs, **more)


def test_one_cidr_is_one_subnet_on_all_hosts(stored: StoredNetworks) -> None:
    assert stored.discover(facts(bridge("br0", "10.1.0.0/24"))).subnets
    assert not stored.discover(facts(port("eth0", "10.1.0.0/24")), "b").subnets
    assert stored.vlans()["br0"] == stored.vlans("b")["eth0"] == (1, 0)


def test_each_new_untagged_network_gets_a_fabric(stored: StoredNetworks) -> None:
    stored.discover(facts(bridge("br0", "10.1.0.0/24", "fd00:1::/64"), bridge("br1", "10.2.0.0/24")))
    assert stored.vlans() == {"br0": (1, 0), "br1": (2, 0)}
    assert stored.subnet("fd00:1::/64") == (1, 0)


@pytest.mark.parametrize("parent_cidrs", [("10.0.0.0/24",), ()], ids=["with-subnet", "without-subnet"])
def test_a_tagged_network_is_in_the_fabric_of_its_parent(stored: StoredNetworks, parent_cidrs: tuple[str, ...]) -> None:
    tagged = port("eth0.100", "10.1.0.0/24", type="vlan", vid=100, parent="eth0")
    stored.discover(facts(tagged, port("eth0", *parent_cidrs), port("eth1")))
    assert stored.vlans() == {"eth0.100": (1, 100), "eth0": (1, 0), "eth1": None}
    assert stored.subnet("10.1.0.0/24") == (1, 100)


def test_a_tagged_interface_without_addresses_is_in_the_default_fabric(stored: StoredNetworks) -> None:
    tagged = port("eth0.9", type="vlan", vid=9, parent="eth0")
    stored.discover(facts(tagged, port("eth0")))
    assert stored.vlans() == {"eth0.9": (0, 9), "eth0": None}
    stored.discover(facts(tagged, port("eth0", "10.0.0.0/24")))
    assert stored.vlans() == {"eth0.9": (1, 9), "eth0": (1, 0)}


def test_bridge_uplink_and_network_share_a_vlan(stored: StoredNetworks) -> None:
    network = HostNetwork(kind=NicKind.NETWORK, name="lan", type="bridge", bridge="br0")
    stored.discover(facts(network, bridge("br0", parent="eth0"), port("eth0", "10.0.0.0/24")))
    assert set(stored.vlans().values()) == {(1, 0)}


def test_an_overlay_network_does_not_share_its_uplinks_vlan(stored: StoredNetworks) -> None:
    overlay = HostNetwork(kind=NicKind.NETWORK, name="ovn", type="ovn", parent="br0", cidrs=("10.9.0.0/24",))
    stored.discover(facts(overlay, bridge("br0", "10.0.0.0/24")))
    assert stored.vlans()["ovn"] != stored.vlans()["br0"]


def test_a_renumbered_network_stays_on_its_vlan(stored: StoredNetworks) -> None:
    stored.discover(facts(bridge("br0", "10.1.0.0/24")))
    stored.discover(facts(bridge("br0", "10.2.0.0/24")))
    assert stored.subnet("10.2.0.0/24") == stored.subnet("10.1.0.0/24") == stored.vlans()["br0"]


def test_a_vlan_set_by_a_user_stays_and_decides_for_new_subnets(stored: StoredNetworks) -> None:
    stored.discover(facts(bridge("br0"), bridge("br1", "10.1.0.0/24")))
    stored.choose("br0", VlanKey(fabric=0, vid=0))
    stored.discover(facts(bridge("br0", "10.1.0.0/24", "10.5.0.0/24")))
    assert stored.vlans()["br0"] == stored.subnet("10.5.0.0/24") == (0, 0)
    assert stored.subnet("10.1.0.0/24") == (1, 0)


def test_interfaces_follow_a_subnet_that_a_user_moved(stored: StoredNetworks) -> None:
    host_facts = facts(bridge("br0", "10.1.0.0/24", parent="eth0"), port("eth0"))
    stored.discover(host_facts)
    stored.subnets[ip_network("10.1.0.0/24")] = KnownSubnet(vlan=VlanKey(fabric=0, vid=0))
    stored.discover(host_facts)
    assert stored.vlans() == {"br0": (0, 0), "eth0": (0, 0)}


def test_loopback_and_link_local_networks_are_no_subnets(stored: StoredNetworks) -> None:
    local = ["fe80::/64", "169.254.0.0/16", "127.0.0.0/8", "::1/128", "10.0.0.1/32", "fd00::5/128", "0.0.0.0/0"]
    assert not stored.discover(facts(bridge("br0", *local, "10.1/24", addresses=("fe80::1/64", "x")))).subnets
    assert stored.vlans() == {"br0": None}


def test_own_addresses_gateways_and_ranges_are_discovered(stored: StoredNetworks) -> None:
    network = bridge(
        "br0", "10.1.0.0/24", addresses=("10.1.0.1/24",), gateway="10.1.0.254", dhcp_ranges=("10.1.0.2-10.1.0.9", "z")
    )
    changes = stored.discover(facts(network))
    ((interface, _),) = changes.interfaces
    cidr = ip_network("10.1.0.0/24")
    assert interface.links == ((cidr, ip_address("10.1.0.1")),)
    assert interface.dhcp_ranges == ("10.1.0.2-10.1.0.9",)
    assert changes.gateways == ((cidr, ip_address("10.1.0.254")),)
    assert changes.range_subnets == (cidr,)
    assert not stored.discover(facts(evolve(network, gateway="10.1.0.253"))).gateways, "the subnet has a gateway"
    assert stored.discover(facts(evolve(network, dhcp_ranges=()))).range_subnets == (cidr,)
    assert stored.discover(facts()).range_subnets == ()


def test_address_zones_and_impossible_speeds_are_dropped() -> None:
    network = HostNetwork(
        kind=NicKind.BRIDGE, name="br0", addresses=("fd00::1%br0/64",), gateway="fd00::1%br0",
        dhcp_ranges=("fd00::2%br0-fd00::9%br0",), speed_mbps=2**32 - 1,
    )  # fmt: skip
    (found,) = interfaces_of(facts(network))
    assert (found.gateway, found.interface.links) == (
        ip_address("fd00::1"), ((ip_network("fd00::/64"), ip_address("fd00::1")),)
    )  # fmt: skip
    assert (found.interface.dhcp_ranges, found.interface.link_speed_mbps) == (("fd00::2-fd00::9",), None)


def test_a_port_without_a_network_is_an_interface(stored: StoredNetworks) -> None:
    devices = [
        NetworkDevice(
            virtual_functions=8, ports=(NetworkPort(name="eth0", link=True, speed_mbps=25000, mac_address="m"),)
        ),
        NetworkDevice(ports=(NetworkPort(name="eth1"),)),
    ]
    stored.discover(facts(port("eth0", type="physical"), devices=devices))
    found = {key: one.interface for key, one in stored.hosts["a"].items()}
    assert set(found) == {("macvlan", "eth0"), ("macvlan", "eth1")}
    assert (found["macvlan", "eth0"].virtual_functions, found["macvlan", "eth0"].link_speed_mbps) == (8, 25000)
    stored.discover(facts(devices=devices), "b")
    assert set(stored.hosts["b"]) == {("sriov", "eth0"), ("macvlan", "eth1")}
    assert not stored.hosts["b"]["macvlan", "eth1"].interface.active


def test_new_virtual_functions_do_not_change_the_vlan_of_a_port(stored: StoredNetworks) -> None:
    def port(functions: int) -> HostFacts:
        one = NetworkPort(name="ens1", mac_address="00:16:3e:00:00:01", link=True)
        return facts(devices=[NetworkDevice(virtual_functions=functions, ports=(one,))])

    stored.discover(port(0))
    stored.choose("ens1", VlanKey(fabric=0, vid=7))
    changes = stored.discover(port(8))
    assert changes.changed_kinds == (((NicKind.MACVLAN, "ens1"), (NicKind.SRIOV, "ens1")),)
    assert (changes.missing, stored.vlans()) == ((), {"ens1": (0, 7)})
    assert stored.discover(port(8)).none
    stored.discover(facts())
    assert stored.discover(port(0)).changed_kinds
    assert stored.vlans() == {"ens1": (0, 7)}


def test_an_absent_interface_is_missing_until_it_returns(stored: StoredNetworks) -> None:
    stored.discover(facts(bridge("br0", "10.1.0.0/24")))
    assert stored.discover(facts()).missing == (("bridge", "br0"),)
    assert stored.discover(facts()).none
    returned = stored.discover(facts(bridge("br0", "10.1.0.0/24")))
    assert [vlan for _, vlan in returned.interfaces] == [VlanKey(fabric=1, vid=0)]


CIDRS = ("10.0.0.0/24", "10.1.0.0/24", "10.2.0.0/24", "fd00::/64", "fe80::/64")
NAMES = ("a", "b", "c", "d")


@st.composite
def some_facts(draw: st.DrawFn) -> HostFacts:
    """Interfaces with valid and invalid parents."""
    networks = []
    kinds = st.sampled_from((NicKind.NETWORK, NicKind.BRIDGE, NicKind.MACVLAN))
    for kind, name in draw(st.lists(st.tuples(kinds, st.sampled_from(NAMES)), unique=True, max_size=6)):
        networks.append(
            HostNetwork(
                kind=kind,
                name=name,
                type=draw(st.sampled_from(("bridge", "vlan", "physical", "ovn"))),
                bridge=draw(st.sampled_from((None, None, *NAMES))),
                parent=draw(st.sampled_from((None, None, *NAMES))),
                vid=draw(st.sampled_from((None, 0, 100, 200))),
                cidrs=tuple(draw(st.lists(st.sampled_from(CIDRS), unique=True, max_size=2))),
            )
        )
    return facts(*networks)


@pytest.mark.slow
@given(hosts=st.lists(some_facts(), min_size=1, max_size=4), order=st.randoms(use_true_random=False))
def test_a_repeated_run_changes_nothing_in_any_order_of_hosts(hosts: list[HostFacts], order: Any) -> None:
    first, second = StoredNetworks(), StoredNetworks()
    named = list(enumerate(hosts))
    for number, host_facts in named:
        first.discover(host_facts, str(number))
        assert first.discover(host_facts, str(number)).none
    order.shuffle(named)
    for number, host_facts in named:
        second.discover(evolve(host_facts, networks=host_facts.networks[::-1]), str(number))
    assert set(first.subnets) == set(second.subnets)
    for host in first.hosts:
        assert {key: one.interface.links for key, one in first.hosts[host].items()} == {
            key: one.interface.links for key, one in second.hosts[host].items()
        }
    for number, host_facts in named:  # after the runs of other hosts, one more run is stable
        first.discover(host_facts, str(number))
        assert first.discover(host_facts, str(number)).none
