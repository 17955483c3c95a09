"""LXD's networks, and which of them a machine's NIC can use."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkDevice, NetworkPort
from common.values import HostNetwork, NicKind
from rackd.drivers.lxd.inventory.networks import networks_of, with_state


def managed(name: str, kind: str, **config: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "managed": True, "status": "Created", "config": config}


def interface(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "managed": False, "status": "", "config": {}, "used_by": None}


LISTED = [
    interface("lo", "loopback"),
    interface("tap1", "unknown"),
    interface("eth0", "physical"),
    interface("eth0.7", "vlan"),
    interface("br0", "bridge"),
    interface("bond0", "bond"),
    managed("fast", "sriov", parent="ens1f0"),
    managed("uplink", "physical", parent="eth1"),
    managed("flat", "macvlan", parent="eth0"),
    managed("tenant", "ovn", **{"ipv4.address": "10.9.0.1/24", "network": "uplink"}),
    managed("lan", "bridge", **{"ipv4.address": "10.1.0.1/24", "ipv6.address": "none"}),
]


def test_managed_networks_come_before_interfaces() -> None:
    found = networks_of(LISTED)
    assert [(one.type, one.kind, one.name, one.attachable) for one in found] == [
        ("bridge", NicKind.NETWORK, "lan", True),
        ("ovn", NicKind.NETWORK, "tenant", True),
        ("macvlan", NicKind.NETWORK, "flat", True),
        ("physical", NicKind.NETWORK, "uplink", False),
        ("sriov", NicKind.NETWORK, "fast", False),
        ("bridge", NicKind.BRIDGE, "br0", True),
        ("bond", NicKind.MACVLAN, "bond0", True),
        ("physical", NicKind.MACVLAN, "eth0", True),
        ("vlan", NicKind.MACVLAN, "eth0.7", True),
    ]
    lan, tenant, flat, *_ = found
    assert (lan.bridge, lan.dhcp, lan.cidrs) == ("lan", True, ("10.1.0.0/24",))
    assert (tenant.bridge, tenant.dhcp, flat.dhcp) == (None, True, False)


def test_interfaces_of_lxd_networks_are_not_attachable() -> None:
    listed = [
        *(interface(name, "physical") for name in ("eth0", "eth1", "eth2", "eth3")),
        managed("uplink", "physical", parent="eth1"),
        managed("flat", "macvlan", parent="eth0"),
        managed("lan", "bridge", **{"bridge.external_interfaces": "eth2, eth3"}),
    ]
    host_side = [one for one in networks_of(listed) if one.kind is NicKind.MACVLAN]
    assert [(one.name, one.attachable) for one in host_side] == [
        ("eth0", True),
        ("eth1", False),
        ("eth2", False),
        ("eth3", False),
    ]


def test_failed_networks_are_not_active() -> None:
    (found,) = networks_of([{**managed("lan", "bridge"), "status": "Errored", "config": None}])
    assert not found.active


def state(*addresses: str, up: bool = True, **parts: Any) -> dict[str, Any]:
    parsed = [text.partition("/") for text in addresses]
    return {
        "addresses": [
            {
                "address": address,
                "netmask": netmask,
                "family": "inet6" if ":" in address else "inet",
                "scope": "link" if address.startswith("fe80:") else "global",
            }
            for address, _, netmask in parsed
        ],
        "hwaddr": "02:FC:00:00:00:01",
        "state": "up" if up else "down",
        "bond": None,
        "bridge": None,
        "vlan": None,
        **parts,
    }


def bridging(*ports: str) -> dict[str, Any]:
    return {"bridge": {"upper_devices": list(ports)}}


def by_name(listed: list[dict[str, Any]], **more: Any) -> dict[str, HostNetwork]:
    return {network.name: network for network in networks_of(listed, **more)}


def test_managed_bridges_have_addresses_ranges_and_gateway() -> None:
    config = {"ipv4.address": "10.1.0.1/24", "ipv6.address": "fd00:1::1/64", "ipv4.nat": "true"}
    (lan,) = networks_of([managed("lan", "bridge", **config)], states={"lan": state("10.1.0.1/24")})
    assert (lan.addresses, lan.cidrs) == (("10.1.0.1/24", "fd00:1::1/64"), ("10.1.0.0/24", "fd00:1::/64"))
    assert (lan.gateway, lan.dhcp_ranges) == ("10.1.0.1", ("10.1.0.2-10.1.0.254",))
    assert (lan.vid, lan.parent, lan.mac_address) == (0, None, "02:fc:00:00:00:01")


def test_configured_dhcp_ranges_replace_the_default() -> None:
    config = {
        "ipv4.address": "10.1.0.1/24",
        "ipv4.dhcp.ranges": "10.1.0.50-10.1.0.59, 10.1.0.70-10.1.0.79",
        "ipv4.dhcp.gateway": "10.1.0.254",
        "ipv6.address": "fd00:1::1/64",
        "ipv6.dhcp.stateful": "true",
    }
    (lan,) = networks_of([managed("lan", "bridge", **config)])
    assert lan.gateway == "10.1.0.254"
    assert lan.dhcp_ranges == (
        "10.1.0.50-10.1.0.59",
        "10.1.0.70-10.1.0.79",
        "fd00:1::2-fd00:1::ffff:ffff:ffff:ffff",
    )


def test_bridges_without_dhcp_have_no_ranges() -> None:
    listed = [managed("lan", "bridge", **{"ipv4.address": "10.1.0.1/24", "ipv4.dhcp": "false", "ipv6.address": "none"})]
    (lan,) = networks_of(listed)
    assert (lan.dhcp, lan.dhcp_ranges, lan.addresses) == (False, (), ("10.1.0.1/24",))


def test_subnets_come_from_the_interface_without_config() -> None:
    (lan,) = networks_of([managed("lan", "bridge")], states={"lan": state("10.1.0.1/24", "fe80::1/64")})
    assert (lan.cidrs, lan.addresses, lan.gateway, lan.dhcp_ranges) == (("10.1.0.0/24",), ("10.1.0.1/24",), None, ())


def test_interfaces_have_addresses_speed_and_functions() -> None:
    device = NetworkDevice(
        virtual_functions=8,
        ports=(NetworkPort(name="eth0", mac_address="02:fc:00:00:00:09", speed_mbps=25_000), NetworkPort(name="eth1")),
    )
    listed = [interface("eth0", "physical"), interface("eth1", "physical")]
    eth0_state = state("192.0.2.2/24", "2001:db8::2/64", "fe80::1/64", "203.0.113.7/32")
    found = by_name(listed, devices=[device], states={"eth0": eth0_state, "eth1": state(up=False)})
    assert found["eth0"] == HostNetwork(
        kind=NicKind.MACVLAN,
        name="eth0",
        type="physical",
        cidrs=("192.0.2.0/24", "2001:db8::/64"),
        vid=0,
        mac_address="02:fc:00:00:00:09",
        addresses=("192.0.2.2/24", "203.0.113.7/32", "2001:db8::2/64"),
        speed_mbps=25_000,
        virtual_functions=4,
    )
    assert not found["eth1"].active
    assert found["eth1"].virtual_functions == 4, "two ports of one device share its functions"


def test_vlans_are_found_on_interfaces_and_bridges() -> None:
    listed = [
        *(interface(name, "physical") for name in ("eth0", "eth1")),
        interface("bond0", "bond"),
        interface("eth0.100", "vlan"),
        interface("storage", "vlan"),
        *(interface(name, "bridge") for name in ("br100", "br0", "alone")),
        managed("lan", "bridge", **{"ipv4.address": "10.1.0.1/24", "bridge.external_interfaces": "storage"}),
        managed("flat", "macvlan", parent="bond0", vlan="7"),
    ]
    states = {
        "storage": state(vlan={"lower_device": "bond0", "vid": 30}),
        "bond0": state(bond={"lower_devices": ["eth0", "eth1"]}),
        "br100": state(**bridging("eth0.100", "tap1")),
        "br0": state(**bridging("bond0", "tap2")),
        "alone": state(**bridging("tap3")),
        "lan": state(**bridging("storage")),
    }
    found = by_name(listed, states=states)
    assert {name: (one.vid, one.parent) for name, one in found.items()} == {
        "eth0": (0, None),
        "eth1": (0, None),
        "bond0": (0, None),
        "eth0.100": (100, "eth0"),
        "storage": (30, "bond0"),
        "br100": (100, "eth0"),
        "br0": (0, "bond0"),
        "alone": (0, None),
        "lan": (30, "bond0"),
        "flat": (7, "bond0"),
    }


def test_bond_and_bridge_ports_accept_only_functions() -> None:
    listed = [
        *(interface(name, "physical") for name in ("eth0", "eth1", "eth2")),
        interface("bond0", "bond"),
        interface("br0", "bridge"),
    ]
    states = {"bond0": state(bond={"lower_devices": ["eth0"]}), "br0": state(**bridging("eth1", "bond0"))}
    device = NetworkDevice(virtual_functions=8, ports=(NetworkPort(name="eth1"),))
    found = by_name(listed, states=states, devices=[device])
    assert {name for name, one in found.items() if one.attachable} == {"eth1", "eth2", "br0"}


def test_states_are_read_only_of_the_servers_interfaces() -> None:
    assert with_state(LISTED, {"eth0.7"}) == ["eth0", "br0", "bond0", "lan"]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["addresses", "hwaddr", "state", "vlan", "bond", "bridge"]), JUNK),
    st.dictionaries(st.sampled_from(["ipv4.address", "ipv6.address", "ipv4.dhcp.ranges", "vlan", "parent"]), st.text()),
)
def test_any_network_response_can_be_parsed(any_state: dict[str, Any], config: dict[str, str]) -> None:
    networks = [interface("eth0.5", "vlan"), managed("lan", "bridge", **config), managed("flat", "macvlan", **config)]
    found = networks_of(networks, states={"eth0.5": any_state, "lan": any_state})
    assert len(found) == 3
