"""Instance requests: pins, huge pages, NICs and their addresses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from common.errors import DriverFailed, InvalidRequest, NotFound, OutOfCapacity, Unsupported
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import HugePages, NicKind, NumaNode
from rackd.drivers.lxd.connection.capabilities import Capabilities
from rackd.drivers.lxd.guests import instance_config, nic_devices, preflight
from rackd.drivers.lxd.guests.instance_config import Prerequisites
from tests.unit.rackd.lxd.test_lxd_guests import SPEC

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
PREREQUISITES = Prerequisites(networks=NETWORKS, capabilities=Capabilities(cloud_init_keys=True))


def nic(kind: NicKind, source: str, name: str = "eth0", **fields: Any) -> NicSpec:
    return NicSpec(name=name, mac_address="52:54:00:00:00:01", kind=kind, source=source, **fields)


def address(text: str) -> NicAddress:
    return NicAddress(address=text, prefix_length=64 if ":" in text else 24)


def body_of(*nics: NicSpec, prerequisites: Prerequisites = PREREQUISITES, **changes: Any) -> dict[str, Any]:
    spec = evolve(SPEC, nics=nics, **changes)
    return instance_config.instance_of(spec, profile=None, attempt="a", prerequisites=prerequisites)


@pytest.mark.parametrize(("core_ids", "text"), [((), "4"), ((0, 2, 5, 7), "0,2,5,7"), ((5,), "5-5"), ((3, 1), "3,1")])
def test_a_single_pinned_core_is_written_as_a_range(core_ids: tuple[int, ...], text: str) -> None:
    assert body_of(pinned_core_ids=core_ids)["config"]["limits.cpu"] == text


def test_huge_pages_are_configured_on_request() -> None:
    assert "limits.memory.hugepages" not in body_of()["config"], "which a restricted project would forbid"
    assert body_of(huge_page_size_kib=2048)["config"]["limits.memory.hugepages"] == "true"


@pytest.mark.parametrize(
    ("config", "sent"),
    [({"limits.memory.hugepages": "true"}, "false"), ({"user.note": "x"}, None), ({}, None), (None, None)],
)
def test_only_against_a_profile_with_huge_pages_are_they_turned_off(
    config: dict[str, str] | None, sent: str | None
) -> None:
    body = instance_config.instance_of(SPEC, profile={"name": "maas", "config": config}, attempt="a")
    assert body["profiles"] == ["maas"]
    assert body["config"].get("limits.memory.hugepages") == sent, "which a restricted project would forbid"


def test_numa_nodes_need_an_extension_and_no_pins() -> None:
    able = Prerequisites(capabilities=Capabilities(numa_placement=True))
    assert body_of(numa_node_ids=(1, 0), prerequisites=able)["config"]["limits.cpu.nodes"] == "0,1"
    assert "limits.cpu.nodes" not in body_of(numa_node_ids=(1,))["config"]
    assert "limits.cpu.nodes" not in body_of(numa_node_ids=(1,), pinned_core_ids=(4,), prerequisites=able)["config"]


@pytest.mark.parametrize(
    ("requested", "device"),
    [
        (nic(NicKind.NETWORK, "lan"), {"network": "lan"}),
        (nic(NicKind.BRIDGE, "br0", vid=7), {"nictype": "bridged", "parent": "br0"}),
        (nic(NicKind.MACVLAN, "ens3.7", vid=7, macvlan_mode="vepa"), {"nictype": "macvlan", "parent": "ens3.7"}),
        (nic(NicKind.SRIOV, "ens3"), {"nictype": "sriov", "parent": "ens3"}),
        (nic(NicKind.SRIOV, "ens3", vid=0), {"nictype": "sriov", "parent": "ens3"}),
        (nic(NicKind.SRIOV, "ens3", vid=7), {"nictype": "sriov", "parent": "ens3", "vlan": "7"}),
    ],
)
def test_every_nic_kind_maps_to_a_device(requested: NicSpec, device: dict[str, str]) -> None:
    common = {"type": "nic", "name": "eth0", "hwaddr": requested.mac_address, "boot.priority": "2"}
    assert body_of(requested)["devices"]["eth0"] == {**common, **device}


def test_unsupported_nic_kinds_are_rejected_by_lxd() -> None:
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
def test_lxds_dhcp_server_assigns_addresses(source: str, text: str, key: str) -> None:
    body = body_of(nic(NicKind.NETWORK, source, address=address(text)))
    assert body["devices"]["eth0"][key] == text
    assert instance_config.CLOUD_INIT not in body["devices"]
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
def test_cloud_init_configures_other_addresses(kind: NicKind, source: str, text: str) -> None:
    body = body_of(nic(kind, source, address=address(text)))
    assert not {"ipv4.address", "ipv6.address"} & body["devices"]["eth0"].keys()
    network_config = json.loads(body["config"]["cloud-init.network-config"])
    assert network_config["ethernets"]["eth0"]["addresses"] == [f"{text}/{64 if ':' in text else 24}"]
    assert body["devices"][instance_config.CLOUD_INIT] == {"type": "disk", "source": "cloud-init:config"}


def test_older_servers_use_the_user_config_key() -> None:
    body = body_of(
        nic(NicKind.BRIDGE, "br0", address=address("10.1.0.20")), prerequisites=Prerequisites(networks=NETWORKS)
    )
    assert "10.1.0.20/24" in body["config"]["user.network-config"]


def test_duplicate_device_names_are_rejected() -> None:
    with pytest.raises(InvalidRequest, match="disk1"):
        body_of(nic(NicKind.BRIDGE, "br0", name="disk1"))


@pytest.mark.parametrize(
    ("requested", "named"),
    [
        (nic(NicKind.NETWORK, "absent"), "no network 'absent' for the NIC eth0; it has flat, hidden, lan,"),
        (nic(NicKind.NETWORK, "br0"), "no network 'br0'"),
        (nic(NicKind.BRIDGE, "br9"), "no interface 'br9'"),
        (nic(NicKind.SRIOV, "ens9"), "no interface 'ens9'"),
    ],
)
def test_missing_nic_sources_are_named(requested: NicSpec, named: str) -> None:
    with pytest.raises(NotFound, match=named) as caught:
        nic_devices.check_sources_exist((requested,), NETWORKS, "https://lxd1:8443")
    assert caught.value.details == {"network": requested.source}


def test_nic_sources_are_checked_only_if_visible() -> None:
    nic_devices.check_sources_exist((nic(NicKind.NETWORK, "lan"), nic(NicKind.MACVLAN, "ens3")), NETWORKS, "lxd1")
    nic_devices.check_sources_exist((nic(NicKind.BRIDGE, "br9"),), {"lan": LAN}, "lxd1")


def test_two_nics_on_one_dns_bridge_are_rejected() -> None:
    both = (nic(NicKind.NETWORK, "lan"), nic(NicKind.BRIDGE, "lan", name="eth1"))
    with pytest.raises(DriverFailed, match=r"two NICs \(eth0 and eth1\) on its network 'lan'") as caught:
        nic_devices.check_startable(both, NETWORKS, "https://lxd1:8443")
    assert caught.value.details == {"network": "lan"}
    on_other_bridges = (
        nic(NicKind.NETWORK, "lan"),
        nic(NicKind.NETWORK, "tenant"),
        nic(NicKind.NETWORK, "tenant", name="eth1"),
    )
    nic_devices.check_startable(on_other_bridges, NETWORKS, "lxd1")
    nameless = {"lan": {**LAN, "config": {"dns.mode": "none"}}, "br0": {"type": "bridge", "managed": False}}
    nic_devices.check_startable((*both, nic(NicKind.BRIDGE, "br0"), nic(NicKind.BRIDGE, "br0")), nameless, "lxd1")


def node(node_id: int, *core_ids: int, pages: int = 0, size_kib: int = 2048) -> NumaNode:
    huge_pages = (HugePages(size_kib=size_kib, total=pages),) if pages else ()
    return NumaNode(node_id=node_id, core_ids=core_ids, memory_mib=4096, huge_pages=huge_pages)


NODES = (node(0, 0, 1, pages=512), node(1, 2, 3, pages=512))


def test_existing_cores_and_pages_are_accepted() -> None:
    preflight.check_nodes(evolve(SPEC, pinned_core_ids=(0, 3), huge_page_size_kib=2048), NODES, "lxd1")


@pytest.mark.parametrize(
    ("changes", "nodes", "error", "words"),
    [
        ({"pinned_core_ids": (0, 9)}, NODES, NotFound, "no core 9 .* are 0, 1, 2, 3"),
        (
            {"huge_page_size_kib": 1048576},
            NODES,
            Unsupported,
            "1048576 KiB.*default size: 2048 KiB.*default_hugepagesz",
        ),
        ({"huge_page_size_kib": 2048}, (node(0, 0),), Unsupported, "none"),
        ({"huge_page_size_kib": 2048, "memory_mib": 2049}, NODES, OutOfCapacity, "1025 huge pages .* has 1024"),
    ],
)
def test_missing_cores_and_pages_are_rejected_with_numbers(
    changes: dict[str, Any], nodes: tuple[NumaNode, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        preflight.check_nodes(evolve(SPEC, **changes), nodes, "lxd1")
