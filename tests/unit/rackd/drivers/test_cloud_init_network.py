"""The network configuration that guests get from cloud-init."""

from __future__ import annotations

import json
from typing import Any

from common.guests.guest_spec import NicAddress, NicSpec
from common.values import NicKind
from rackd.drivers.cloud_init_network import network_config


def nic(name: str, **fields: Any) -> NicSpec:
    return NicSpec(name=name, mac_address=f"52:54:00:00:00:{name[-1]}A", kind=NicKind.BRIDGE, source="br0", **fields)


def address(text: str = "10.1.0.20", **fields: Any) -> NicAddress:
    return NicAddress(address=text, prefix_length=24, **fields)


def config(*nics: NicSpec, leased: tuple[str, ...] = ()) -> Any:
    text = network_config(nics, leased=leased)
    return None if text is None else json.loads(text)["ethernets"]


def test_a_guest_with_dhcp_only_needs_no_configuration() -> None:
    assert config(nic("eth0"), nic("eth1", address=address()), leased=("eth1",)) is None
    assert config() is None


def test_a_static_address_is_configured_by_mac_address() -> None:
    static = address(gateway="10.1.0.1", dns_servers=("10.1.0.2", "10.1.0.3"))
    assert config(nic("eth0", address=static)) == {
        "eth0": {
            "match": {"macaddress": "52:54:00:00:00:0a"},
            "dhcp4": False,
            "addresses": ["10.1.0.20/24"],
            "gateway4": "10.1.0.1",
            "nameservers": {"addresses": ["10.1.0.2", "10.1.0.3"]},
        }
    }


def test_other_nics_beside_a_static_one_use_dhcp() -> None:
    found = config(
        nic("eth0"),
        nic("eth1", address=address()),
        nic("eth2", address=address("10.2.0.9")),
        nic("eth3", address=NicAddress(address="2001:db8::9", prefix_length=64)),
        leased=("eth2", "eth3"),
    )
    assert [(name, one.get("dhcp4"), one.get("dhcp6")) for name, one in found.items()] == [
        ("eth0", True, None),
        ("eth1", False, None),
        ("eth2", True, None),
        ("eth3", None, True),
    ]


def test_a_guest_has_one_default_route_per_family() -> None:
    found = config(
        nic("eth0", address=address(gateway="10.1.0.1")),
        nic("eth1", address=address("10.2.0.9", gateway="10.2.0.1")),
        nic("eth2", address=NicAddress(address="2001:db8::9", prefix_length=64, gateway="2001:db8::1")),
    )
    assert [(one.get("gateway4"), one.get("gateway6")) for one in found.values()] == [
        ("10.1.0.1", None),
        (None, None),
        (None, "2001:db8::1"),
    ]


def test_an_unconfigured_nic_is_omitted() -> None:
    assert list(config(nic("eth0", configured=False), nic("eth1"))) == ["eth1"]
    assert config(nic("eth0", configured=False)) == {}
