"""What LXD lists as networks, and which of them a machine's card may be put on."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.values import DriverType, HostNetwork, NicKind
from rackd.drivers.lxd.networks import networks_of
from regiond.machines.spec import default_nic
from tests.unit.host_views import host_view


def managed(name: str, kind: str, **config: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "managed": True, "status": "Created", "config": config}


def interface(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "managed": False, "status": "", "config": {}, "used_by": None}


TOLD = [
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


def test_networks_of_lxd_come_first_then_interfaces_of_the_server_each_as_what_it_is() -> None:
    found = networks_of(TOLD)
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


def test_interfaces_that_a_network_of_lxd_has_for_itself_take_no_guest() -> None:
    told = [
        *(interface(name, "physical") for name in ("eth0", "eth1", "eth2", "eth3")),
        managed("uplink", "physical", parent="eth1"),
        managed("flat", "macvlan", parent="eth0"),
        managed("lan", "bridge", **{"bridge.external_interfaces": "eth2, eth3"}),
    ]
    host_side = [one for one in networks_of(told) if one.kind is NicKind.MACVLAN]
    assert [(one.name, one.attachable) for one in host_side] == [
        ("eth0", True),
        ("eth1", False),
        ("eth2", False),
        ("eth3", False),
    ]


def test_a_network_that_failed_is_not_active() -> None:
    (found,) = networks_of([{**managed("lan", "bridge"), "status": "Errored", "config": None}])
    assert not found.active


@given(st.permutations(TOLD), st.integers(0, len(TOLD)))
def test_nothing_that_is_only_listed_is_ever_the_default(told: list[dict[str, Any]], count: int) -> None:
    listed = networks_of(told[:count])
    kind, name = default_nic(host_view(driver=DriverType.LXD, networks=listed))
    usable = {(one.kind, one.name) for one in listed if one.attachable}
    assert (kind, name) in usable if usable else (kind, name) == (NicKind.NETWORK, "default")


def test_a_preferred_name_does_not_make_a_network_usable() -> None:
    only_listed = HostNetwork(kind=NicKind.NETWORK, name="maas", type="sriov", attachable=False)
    bridge = HostNetwork(kind=NicKind.BRIDGE, name="br0")
    assert default_nic(host_view(networks=(only_listed, bridge))) == (NicKind.BRIDGE, "br0")
