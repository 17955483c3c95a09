"""What a look at a host teaches about networks: the rules, and that no order of looks and no second look matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkCard, NetworkPort
from common.values import HostFacts, HostNetwork, NicKind
from regiond.networks.findings import Key, found_in
from regiond.networks.learning import Known, KnownInterface, KnownSubnet, Lessons, decide
from regiond.networks.model import Network
from regiond.networks.segments import VlanPlace


@define
class Memory:
    """What a database would remember of lessons."""

    fabrics: int = 0
    hosts: dict[str, dict[Key, KnownInterface]] = field(factory=dict)
    subnets: dict[Network, KnownSubnet] = field(factory=dict)

    def look(self, facts: HostFacts, host: str = "a") -> Lessons:
        known = self.hosts.setdefault(host, {})
        lessons = decide(found_in(facts), Known(interfaces=known, subnets=self.subnets))
        for old, new_key in lessons.other_kinds:
            known[new_key] = known.pop(old)
        made: dict[int, int] = {}

        def real(place: VlanPlace | None) -> VlanPlace | None:
            if place is None or place.fabric >= 0:
                return place
            if place.fabric not in made:
                self.fabrics += 1
                made[place.fabric] = self.fabrics
            return evolve(place, fabric=made[place.fabric])

        for new in lessons.subnets:
            assert new.cidr not in self.subnets
            vlan = real(new.vlan)
            assert vlan is not None
            self.subnets[new.cidr] = KnownSubnet(vlan=vlan)
        for interface, place in lessons.interfaces:
            was = known.get(interface.key)
            chosen = was is not None and was.vlan_chosen
            known[interface.key] = KnownInterface(interface=interface, vlan=real(place), vlan_chosen=chosen)
        for key in lessons.missing:
            known[key] = evolve(known[key], missing=True)
        for cidr, gateway in lessons.gateways:
            self.subnets[cidr] = evolve(self.subnets[cidr], gateway=gateway)
        return lessons

    def vlans(self, host: str = "a") -> Mapping[str, tuple[int, int] | None]:
        """By name: fabric and VID."""
        return {key[1]: _pair(one.vlan) for key, one in self.hosts[host].items()}

    def subnet(self, cidr: str) -> tuple[int, int] | None:
        return _pair(self.subnets[ip_network(cidr)].vlan)

    def choose(self, name: str, place: VlanPlace) -> None:
        known = self.hosts["a"]
        key = next(key for key in known if key[1] == name)
        known[key] = evolve(known[key], vlan=place, vlan_chosen=True)


def _pair(place: VlanPlace | None) -> tuple[int, int] | None:
    return None if place is None else (place.fabric, place.vid)


def facts(*networks: HostNetwork, cards: Iterable[NetworkCard] = ()) -> HostFacts:
    return HostFacts(
        server_identity="x", hypervisor_version="1", architecture="amd64", cores=1, memory_mib=1, networks=networks,
        network_cards=tuple(cards),
    )  # fmt: skip


def bridge(name: str, *cidrs: str, **more: Any) -> HostNetwork:
    return HostNetwork(kind=NicKind.BRIDGE, name=name, type="bridge", cidrs=cidrs, **more)


def port(name: str, *cidrs: str, type: str = "physical", **more: Any) -> HostNetwork:
    return HostNetwork(kind=NicKind.MACVLAN, name=name, type=type, cidrs=cidrs, **more)


def test_one_cidr_is_one_subnet_on_whatever_host_it_is_seen() -> None:
    memory = Memory()
    assert memory.look(facts(bridge("br0", "10.1.0.0/24"))).subnets
    assert not memory.look(facts(port("eth0", "10.1.0.0/24")), "b").subnets
    assert memory.vlans()["br0"] == memory.vlans("b")["eth0"] == (1, 0)


def test_new_untagged_networks_get_a_fabric_each() -> None:
    memory = Memory()
    memory.look(facts(bridge("br0", "10.1.0.0/24", "fd00:1::/64"), bridge("br1", "10.2.0.0/24")))
    assert memory.vlans() == {"br0": (1, 0), "br1": (2, 0)}
    assert memory.subnet("fd00:1::/64") == (1, 0)


def test_a_tagged_network_is_in_the_fabric_of_what_carries_it() -> None:
    memory = Memory()
    memory.look(
        facts(port("eth0.100", "10.1.0.0/24", type="vlan", vid=100, parent="eth0"), port("eth0", "10.0.0.0/24"))
    )
    assert memory.vlans() == {"eth0.100": (1, 100), "eth0": (1, 0)}
    assert memory.subnet("10.1.0.0/24") == (1, 100)


def test_a_tagged_network_of_an_unknown_parent_makes_a_fabric_that_its_parent_is_in_too() -> None:
    memory = Memory()
    memory.look(facts(port("eth0.7", "10.1.0.0/24", type="vlan", vid=7, parent="eth0"), port("eth0"), port("eth1")))
    assert memory.vlans() == {"eth0.7": (1, 7), "eth0": (1, 0), "eth1": None}


def test_a_tagged_interface_without_addresses_is_in_the_default_fabric_until_more_is_known() -> None:
    memory = Memory()
    tagged = port("eth0.9", type="vlan", vid=9, parent="eth0")
    memory.look(facts(tagged, port("eth0")))
    assert memory.vlans() == {"eth0.9": (0, 9), "eth0": None}
    memory.look(facts(tagged, port("eth0", "10.0.0.0/24")))
    assert memory.vlans() == {"eth0.9": (1, 9), "eth0": (1, 0)}


def test_a_bridge_is_where_its_uplink_is_and_a_network_where_its_bridge_is() -> None:
    memory = Memory()
    network = HostNetwork(kind=NicKind.NETWORK, name="lan", type="bridge", bridge="br0")
    memory.look(facts(network, bridge("br0", parent="eth0"), port("eth0", "10.0.0.0/24")))
    assert set(memory.vlans().values()) == {(1, 0)}


def test_an_overlay_is_not_where_its_uplink_is() -> None:
    memory = Memory()
    overlay = HostNetwork(kind=NicKind.NETWORK, name="ovn", type="ovn", parent="br0", cidrs=("10.9.0.0/24",))
    memory.look(facts(overlay, bridge("br0", "10.0.0.0/24")))
    assert memory.vlans()["ovn"] != memory.vlans()["br0"]


def test_a_network_that_is_renumbered_stays_on_its_vlan() -> None:
    memory = Memory()
    memory.look(facts(bridge("br0", "10.1.0.0/24")))
    memory.look(facts(bridge("br0", "10.2.0.0/24")))
    assert memory.subnet("10.2.0.0/24") == memory.subnet("10.1.0.0/24") == memory.vlans()["br0"]


def test_what_a_person_chose_stays_and_what_is_new_there_goes_with_it() -> None:
    memory = Memory()
    memory.look(facts(bridge("br0"), bridge("br1", "10.1.0.0/24")))
    memory.choose("br0", VlanPlace(fabric=0, vid=0))
    memory.look(facts(bridge("br0", "10.1.0.0/24", "10.5.0.0/24")))
    assert memory.vlans()["br0"] == memory.subnet("10.5.0.0/24") == (0, 0)
    assert memory.subnet("10.1.0.0/24") == (1, 0)


def test_interfaces_follow_a_subnet_that_a_person_moved() -> None:
    memory = Memory()
    seen = facts(bridge("br0", "10.1.0.0/24", parent="eth0"), port("eth0"))
    memory.look(seen)
    memory.subnets[ip_network("10.1.0.0/24")] = KnownSubnet(vlan=VlanPlace(fabric=0, vid=0))
    memory.look(seen)
    assert memory.vlans() == {"br0": (0, 0), "eth0": (0, 0)}


def test_what_every_host_has_of_its_own_is_no_subnet() -> None:
    memory = Memory()
    own = (
        "fe80::/64",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.1/32",
        "fd00::5/128",
        "0.0.0.0/0",
        "10.1/24",
    )
    assert not memory.look(facts(bridge("br0", *own, addresses=("fe80::1/64", "x")))).subnets
    assert memory.vlans() == {"br0": None}


def test_the_hosts_own_address_gateway_and_ranges_are_learned() -> None:
    memory = Memory()
    told = bridge(
        "br0", "10.1.0.0/24", addresses=("10.1.0.1/24",), gateway="10.1.0.254", dhcp_ranges=("10.1.0.2-10.1.0.9", "z")
    )
    lessons = memory.look(facts(told))
    ((interface, _),) = lessons.interfaces
    cidr = ip_network("10.1.0.0/24")
    assert interface.links == ((cidr, ip_address("10.1.0.1")),)
    assert interface.dhcp_ranges == ("10.1.0.2-10.1.0.9",)
    assert lessons.gateways == ((cidr, ip_address("10.1.0.254")),)
    assert lessons.ranged == (cidr,)
    assert not memory.look(facts(evolve(told, gateway="10.1.0.253"))).gateways, "there is one already"
    assert memory.look(facts(evolve(told, dhcp_ranges=()))).ranged == (cidr,)
    assert memory.look(facts()).ranged == ()


def test_what_only_one_host_can_mean_is_left_out_of_addresses_and_speeds() -> None:
    told = HostNetwork(
        kind=NicKind.BRIDGE, name="br0", addresses=("fd00::1%br0/64",), gateway="fd00::1%br0",
        dhcp_ranges=("fd00::2%br0-fd00::9%br0",), speed_mbps=2**32 - 1,
    )  # fmt: skip
    (found,) = found_in(facts(told))
    assert (found.gateway, found.interface.links) == (
        ip_address("fd00::1"), ((ip_network("fd00::/64"), ip_address("fd00::1")),)
    )  # fmt: skip
    assert (found.interface.dhcp_ranges, found.interface.link_speed_mbps) == (("fd00::2-fd00::9",), None)


def test_a_port_of_a_card_is_an_interface_too_unless_it_is_listed_as_one() -> None:
    memory = Memory()
    cards = [
        NetworkCard(
            virtual_functions=8, ports=(NetworkPort(name="eth0", link=True, speed_mbps=25000, mac_address="m"),)
        ),
        NetworkCard(ports=(NetworkPort(name="eth1"),)),
    ]
    memory.look(facts(port("eth0", type="physical"), cards=cards))
    found = {key: one.interface for key, one in memory.hosts["a"].items()}
    assert set(found) == {("macvlan", "eth0"), ("macvlan", "eth1")}
    assert (found["macvlan", "eth0"].virtual_functions, found["macvlan", "eth0"].link_speed_mbps) == (8, 25000)
    memory.look(facts(cards=cards), "b")
    assert set(memory.hosts["b"]) == {("sriov", "eth0"), ("macvlan", "eth1")}
    assert not memory.hosts["b"]["macvlan", "eth1"].interface.active


def test_a_port_that_can_be_divided_now_keeps_what_people_said_of_it() -> None:
    def port(functions: int) -> HostFacts:
        one = NetworkPort(name="ens1", mac_address="00:16:3e:00:00:01", link=True)
        return facts(cards=[NetworkCard(virtual_functions=functions, ports=(one,))])

    memory = Memory()
    memory.look(port(0))
    memory.choose("ens1", VlanPlace(fabric=0, vid=7))
    lessons = memory.look(port(8))
    assert lessons.other_kinds == (((NicKind.MACVLAN, "ens1"), (NicKind.SRIOV, "ens1")),)
    assert (lessons.missing, memory.vlans()) == ((), {"ens1": (0, 7)})
    assert memory.look(port(8)).none
    memory.look(facts())
    assert memory.look(port(0)).other_kinds
    assert memory.vlans() == {"ens1": (0, 7)}


def test_what_is_not_seen_any_more_is_missing_until_it_is_back() -> None:
    memory = Memory()
    memory.look(facts(bridge("br0", "10.1.0.0/24")))
    assert memory.look(facts()).missing == (("bridge", "br0"),)
    assert memory.look(facts()).none
    back = memory.look(facts(bridge("br0", "10.1.0.0/24")))
    assert [place for _, place in back.interfaces] == [VlanPlace(fabric=1, vid=0)]


CIDRS = ("10.0.0.0/24", "10.1.0.0/24", "10.2.0.0/24", "fd00::/64", "fe80::/64")
NAMES = ("a", "b", "c", "d")


@st.composite
def some_facts(draw: st.DrawFn) -> HostFacts:
    """Interfaces that hang together in ways both sensible and not."""
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


@given(hosts=st.lists(some_facts(), min_size=1, max_size=4), order=st.randoms(use_true_random=False))
def test_looking_twice_teaches_nothing_and_the_order_of_looks_decides_no_subnet(
    hosts: list[HostFacts], order: Any
) -> None:
    first, second = Memory(), Memory()
    named = list(enumerate(hosts))
    for number, seen in named:
        first.look(seen, str(number))
        assert first.look(seen, str(number)).none
    order.shuffle(named)
    for number, seen in named:
        second.look(evolve(seen, networks=seen.networks[::-1]), str(number))
    assert set(first.subnets) == set(second.subnets)
    for host in first.hosts:
        assert {key: one.interface.links for key, one in first.hosts[host].items()} == {
            key: one.interface.links for key, one in second.hosts[host].items()
        }
    for number, seen in named:  # whatever others have taught meanwhile, one more look is the last that teaches
        first.look(seen, str(number))
        assert first.look(seen, str(number)).none
