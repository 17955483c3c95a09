"""What LXD is asked for: pins, huge pages, cards and their addresses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from common.errors import DriverFailed, InvalidRequest, NotFound, OutOfCapacity, Unsupported
from common.values import HugePages, NicAddress, NicKind, NicSpec, NumaNode
from rackd.drivers.lxd import definition, fitness, nics
from rackd.drivers.lxd.definition import Ground
from tests.unit.test_lxd_guests import SPEC

LAN = {"name": "lan", "type": "bridge", "managed": True, "config": {"ipv4.address": "10.1.0.1/24"}}
NETWORKS: dict[str, dict[str, Any]] = {
    "lan": LAN,
    "static": {**LAN, "config": {"ipv4.address": "10.2.0.1/24", "ipv4.dhcp": "false"}},
    "six": {**LAN, "config": {"ipv6.address": "fd00::1/64", "ipv6.dhcp.stateful": "true"}},
    "slaac": {**LAN, "config": {"ipv6.address": "fd00::1/64"}},
    "hidden": {**LAN, "config": {}},
    "tenant": {**LAN, "type": "ovn", "config": {"ipv4.address": "10.3.0.1/24", "ipv6.address": "fd00::1/64"}},
    "flat": {"name": "flat", "type": "macvlan", "managed": True, "config": {"parent": "ens3"}},
    "br0": {"name": "br0", "type": "bridge", "managed": False, "config": {}},
    "ens3": {"name": "ens3", "type": "physical", "managed": False, "config": {}},
}
GROUND = Ground(networks=NETWORKS, extensions=frozenset({"cloud_init"}))


def nic(kind: NicKind, source: str, name: str = "eth0", **fields: Any) -> NicSpec:
    return NicSpec(name=name, mac_address="52:54:00:00:00:01", kind=kind, source=source, **fields)


def address(text: str) -> NicAddress:
    return NicAddress(address=text, prefix_length=64 if ":" in text else 24)


def body_of(*cards: NicSpec, ground: Ground = GROUND, **changes: Any) -> dict[str, Any]:
    spec = evolve(SPEC, nics=cards, **changes)
    return definition.instance_of(spec, has_profile=False, attempt="a", ground=ground)


@pytest.mark.parametrize(("core_ids", "text"), [((), "4"), ((0, 2, 5, 7), "0,2,5,7"), ((5,), "5-5"), ((3, 1), "3,1")])
def test_pinned_cores_are_listed_and_a_single_one_is_no_count(core_ids: tuple[int, ...], text: str) -> None:
    assert body_of(pinned_core_ids=core_ids)["config"]["limits.cpu"] == text


def test_memory_is_backed_by_huge_pages_when_that_is_asked() -> None:
    assert body_of()["config"]["limits.memory.hugepages"] == "false"
    assert body_of(huge_page_size_kib=2048)["config"]["limits.memory.hugepages"] == "true"


def test_nodes_are_named_only_where_the_server_knows_that_key_and_no_pins_say_it_already() -> None:
    able = Ground(extensions=frozenset({"numa_cpu_placement"}))
    assert body_of(numa_node_ids=(1, 0), ground=able)["config"]["limits.cpu.nodes"] == "0,1"
    assert "limits.cpu.nodes" not in body_of(numa_node_ids=(1,))["config"]
    assert "limits.cpu.nodes" not in body_of(numa_node_ids=(1,), pinned_core_ids=(4,), ground=able)["config"]


@pytest.mark.parametrize(
    ("card", "device"),
    [
        (nic(NicKind.NETWORK, "lan"), {"network": "lan"}),
        (nic(NicKind.BRIDGE, "br0", vid=7), {"nictype": "bridged", "parent": "br0"}),
        (nic(NicKind.MACVLAN, "ens3.7", vid=7, macvlan_mode="vepa"), {"nictype": "macvlan", "parent": "ens3.7"}),
        (nic(NicKind.SRIOV, "ens3"), {"nictype": "sriov", "parent": "ens3"}),
        (nic(NicKind.SRIOV, "ens3", vid=0), {"nictype": "sriov", "parent": "ens3"}),
        (nic(NicKind.SRIOV, "ens3", vid=7), {"nictype": "sriov", "parent": "ens3", "vlan": "7"}),
    ],
)
def test_each_kind_of_card_is_the_device_that_lxd_has_for_it(card: NicSpec, device: dict[str, str]) -> None:
    common = {"type": "nic", "name": "eth0", "hwaddr": card.mac_address, "boot.priority": "1"}
    assert body_of(card)["devices"]["eth0"] == {**common, **device}


def test_a_kind_of_card_that_lxd_has_not_is_refused() -> None:
    with pytest.raises(Unsupported, match="user"):
        body_of(nic(NicKind.USER, ""))


@pytest.mark.parametrize(
    ("source", "text", "key"),
    [
        ("lan", "10.1.0.20", "ipv4.address"),
        ("six", "fd00::20", "ipv6.address"),
        ("hidden", "10.9.0.20", "ipv4.address"),
        ("tenant", "10.3.0.20", "ipv4.address"),
    ],
)
def test_lxds_own_server_hands_out_an_address_where_it_has_one(source: str, text: str, key: str) -> None:
    body = body_of(nic(NicKind.NETWORK, source, address=address(text)))
    assert body["devices"]["eth0"][key] == text
    assert definition.CLOUD_INIT not in body["devices"]
    assert not any("network-config" in name for name in body["config"])


@pytest.mark.parametrize(
    ("kind", "source", "text"),
    [
        (NicKind.NETWORK, "static", "10.2.0.20"),
        (NicKind.NETWORK, "lan", "10.77.0.20"),
        (NicKind.NETWORK, "slaac", "fd00::20"),
        (NicKind.NETWORK, "tenant", "fd00::20"),
        (NicKind.NETWORK, "flat", "10.1.0.20"),
        (NicKind.BRIDGE, "br0", "10.1.0.20"),
        (NicKind.MACVLAN, "ens3", "10.1.0.20"),
        (NicKind.SRIOV, "ens3", "10.1.0.20"),
    ],
)
def test_elsewhere_the_guest_is_told_its_address_also_when_it_has_no_agent(
    kind: NicKind, source: str, text: str
) -> None:
    body = body_of(nic(kind, source, address=address(text)))
    assert not {"ipv4.address", "ipv6.address"} & body["devices"]["eth0"].keys()
    told = json.loads(body["config"]["cloud-init.network-config"])
    assert told["ethernets"]["eth0"]["addresses"] == [f"{text}/{64 if ':' in text else 24}"]
    assert body["devices"][definition.CLOUD_INIT] == {"type": "disk", "source": "cloud-init:config"}


def test_older_servers_take_the_same_under_the_key_they_know() -> None:
    body = body_of(nic(NicKind.BRIDGE, "br0", address=address("10.1.0.20")), ground=Ground(networks=NETWORKS))
    assert "10.1.0.20/24" in body["config"]["user.network-config"]


def test_two_devices_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="disk1"):
        body_of(nic(NicKind.BRIDGE, "br0", name="disk1"))


@pytest.mark.parametrize(
    ("card", "named"),
    [
        (nic(NicKind.NETWORK, "gone"), "no network 'gone' for the card eth0; it has flat, hidden, lan,"),
        (nic(NicKind.NETWORK, "br0"), "no network 'br0'"),
        (nic(NicKind.BRIDGE, "br9"), "no interface 'br9'"),
        (nic(NicKind.SRIOV, "ens9"), "no interface 'ens9'"),
    ],
)
def test_a_card_on_something_that_is_not_there_is_refused_by_name(card: NicSpec, named: str) -> None:
    with pytest.raises(NotFound, match=named) as refused:
        nics.check_there((card,), NETWORKS, "https://lxd1:8443")
    assert refused.value.details == {"network": card.source}


def test_cards_on_what_is_there_pass_and_a_project_that_shows_no_interfaces_leaves_the_rest_to_lxd() -> None:
    nics.check_there((nic(NicKind.NETWORK, "lan"), nic(NicKind.MACVLAN, "ens3")), NETWORKS, "lxd1")
    nics.check_there((nic(NicKind.BRIDGE, "br9"),), {"lan": LAN}, "lxd1")


def test_two_cards_on_one_bridge_of_lxd_are_refused_because_it_would_not_start_them() -> None:
    both = (nic(NicKind.NETWORK, "lan"), nic(NicKind.BRIDGE, "lan", name="eth1"))
    with pytest.raises(DriverFailed, match=r"two cards \(eth0 and eth1\) on its network 'lan'") as refused:
        nics.check_startable(both, NETWORKS, "https://lxd1:8443")
    assert refused.value.details == {"network": "lan"}
    elsewhere = (
        nic(NicKind.NETWORK, "lan"),
        nic(NicKind.NETWORK, "tenant"),
        nic(NicKind.NETWORK, "tenant", name="eth1"),
    )
    nics.check_startable(elsewhere, NETWORKS, "lxd1")
    nameless = {"lan": {**LAN, "config": {"dns.mode": "none"}}, "br0": {"type": "bridge", "managed": False}}
    nics.check_startable((*both, nic(NicKind.BRIDGE, "br0"), nic(NicKind.BRIDGE, "br0")), nameless, "lxd1")


def node(node_id: int, *core_ids: int, pages: int = 0, size_kib: int = 2048) -> NumaNode:
    there = (HugePages(size_kib=size_kib, total=pages),) if pages else ()
    return NumaNode(node_id=node_id, core_ids=core_ids, memory_mib=4096, huge_pages=there)


NODES = (node(0, 0, 1, pages=512), node(1, 2, 3, pages=512))


def test_pins_and_pages_that_are_there_pass() -> None:
    fitness.check_nodes(evolve(SPEC, pinned_core_ids=(0, 3), huge_page_size_kib=2048), NODES, "lxd1")


@pytest.mark.parametrize(
    ("changes", "nodes", "error", "words"),
    [
        ({"pinned_core_ids": (0, 9)}, NODES, NotFound, "no core 9 .* are 0, 1, 2, 3"),
        ({"huge_page_size_kib": 1048576}, NODES, Unsupported, "1048576 KiB.*that is 2048 KiB.*default_hugepagesz"),
        ({"huge_page_size_kib": 2048}, (node(0, 0),), Unsupported, "none"),
        ({"huge_page_size_kib": 2048, "memory_mib": 2049}, NODES, OutOfCapacity, "1025 huge pages .* has 1024"),
    ],
)
def test_what_the_server_lacks_is_refused_with_what_it_has(
    changes: dict[str, Any], nodes: tuple[NumaNode, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        fitness.check_nodes(evolve(SPEC, **changes), nodes, "lxd1")
