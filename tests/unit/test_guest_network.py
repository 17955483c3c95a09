"""What guests are told of their cards by cloud-init."""

from __future__ import annotations

import json
from typing import Any

from common.guest_network import network_config
from common.values import NicAddress, NicKind, NicSpec


def card(name: str, **fields: Any) -> NicSpec:
    return NicSpec(name=name, mac_address=f"52:54:00:00:00:{name[-1]}A", kind=NicKind.BRIDGE, source="br0", **fields)


def address(text: str = "10.1.0.20", **fields: Any) -> NicAddress:
    return NicAddress(address=text, prefix_length=24, **fields)


def told(*nics: NicSpec, leased: tuple[str, ...] = ()) -> Any:
    text = network_config(nics, leased=leased)
    return None if text is None else json.loads(text)["ethernets"]


def test_a_guest_whose_cards_all_ask_dhcp_is_told_nothing() -> None:
    assert told(card("eth0"), card("eth1", address=address()), leased=("eth1",)) is None
    assert told() is None


def test_a_static_address_comes_with_its_gateway_and_name_servers_on_the_card_of_that_mac_address() -> None:
    static = address(gateway="10.1.0.1", dns_servers=("10.1.0.2", "10.1.0.3"))
    assert told(card("eth0", address=static)) == {
        "eth0": {
            "match": {"macaddress": "52:54:00:00:00:0a"},
            "dhcp4": False,
            "addresses": ["10.1.0.20/24"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}],
            "nameservers": {"addresses": ["10.1.0.2", "10.1.0.3"]},
        }
    }


def test_the_cards_beside_a_static_one_ask_the_server_that_knows_their_address() -> None:
    found = told(
        card("eth0"),
        card("eth1", address=address()),
        card("eth2", address=address("10.2.0.9")),
        card("eth3", address=NicAddress(address="2001:db8::9", prefix_length=64)),
        leased=("eth2", "eth3"),
    )
    assert [(name, one.get("dhcp4"), one.get("dhcp6")) for name, one in found.items()] == [
        ("eth0", True, None),
        ("eth1", False, None),
        ("eth2", True, None),
        ("eth3", None, True),
    ]


def test_a_guest_has_one_default_route_of_each_family() -> None:
    found = told(
        card("eth0", address=address(gateway="10.1.0.1")),
        card("eth1", address=address("10.2.0.9", gateway="10.2.0.1")),
        card("eth2", address=NicAddress(address="2001:db8::9", prefix_length=64, gateway="2001:db8::1")),
    )
    assert {name: one.get("routes") for name, one in found.items()} == {
        "eth0": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}],
        "eth1": None,
        "eth2": [{"to": "::/0", "via": "2001:db8::1"}],
    }


def test_a_card_that_is_not_to_be_configured_is_left_out_and_the_others_are_told() -> None:
    assert list(told(card("eth0", configured=False), card("eth1"))) == ["eth1"]
    assert told(card("eth0", configured=False)) == {}
