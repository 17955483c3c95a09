"""The network configuration of a deployed guest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from common.guests.cloud_init_network import VlanConfig
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import NicKind
from regiond.machines.running.deployment.network_config import NicNetwork, network_config


def nic(name: str, address: NicAddress | None = None, *, configured: bool = True, **fields: Any) -> NicNetwork:
    mac_address = f"52:54:00:00:00:{name[-1]}A"
    spec = NicSpec(name=name, mac_address=mac_address, kind=NicKind.BRIDGE, address=address, configured=configured)
    return NicNetwork(nic=spec, **fields)


def address(text: str, gateway: str | None = None, **fields: Any) -> NicAddress:
    return NicAddress(address=text, prefix_length=64 if ":" in text else 24, gateway=gateway, **fields)


def config(*nics: NicNetwork) -> Any:
    found = json.loads(network_config(nics))
    assert found["version"] == 2
    return found


def default_routes(found: Any) -> list[tuple[str, str, str]]:
    interfaces = {**found["ethernets"], **found.get("vlans", {})}
    return [(name, key, one[key]) for name, one in interfaces.items() for key in ("gateway4", "gateway6") if key in one]


def test_a_static_address_comes_with_everything_that_is_known() -> None:
    static = address("10.1.0.20", "10.1.0.1", dns_servers=("10.1.0.2",))
    other = address("2001:db8::9", "2001:db8::1", dns_servers=("2001:db8::2", "10.1.0.2"))
    found = config(nic("eth0", static, more_addresses=(other,), mtu=1400, search_domains=("lab.example",)))
    assert found == {
        "version": 2,
        "ethernets": {
            "eth0": {
                "match": {"macaddress": "52:54:00:00:00:0a"},
                "set-name": "eth0",
                "dhcp4": False,
                "addresses": ["10.1.0.20/24", "2001:db8::9/64"],
                "gateway4": "10.1.0.1",
                "gateway6": "2001:db8::1",
                "nameservers": {"addresses": ["10.1.0.2", "2001:db8::2"], "search": ["lab.example"]},
                "mtu": 1400,
            }
        },
    }


def test_other_nics_use_dhcp() -> None:
    assert config(nic("eth0"))["ethernets"] == {
        "eth0": {"match": {"macaddress": "52:54:00:00:00:0a"}, "set-name": "eth0", "dhcp4": True}
    }


def test_an_unconfigured_nic_is_left_out() -> None:
    assert list(config(nic("eth0", configured=False), nic("eth1"))["ethernets"]) == ["eth1"]
    assert config(nic("eth0", configured=False)) == {"version": 2, "ethernets": {}}


def test_a_nic_with_a_name_that_linux_rejects_keeps_its_own() -> None:
    assert "set-name" not in config(nic("a-very-long-name-0"))["ethernets"]["a-very-long-name-0"]


def test_a_vlan_of_the_guest_is_tagged_on_its_nic() -> None:
    vlan = VlanConfig(name="eth0.10", vid=10, addresses=(address("10.2.0.9"),), mtu=1300)
    found = config(nic("eth0", vlans=(vlan, VlanConfig(name="eth0.20", vid=20, dhcp=(4, 6)))))
    assert found["vlans"] == {
        "eth0.10": {"id": 10, "link": "eth0", "dhcp4": False, "addresses": ["10.2.0.9/24"], "mtu": 1300},
        "eth0.20": {"id": 20, "link": "eth0", "dhcp4": True, "dhcp6": True},
    }


TWO = (nic("eth0", address("10.1.0.20", "10.1.0.1")), nic("eth1", address("10.2.0.9", "10.2.0.1")))


@pytest.mark.parametrize(
    ("versions", "routes"),
    [
        ((), [("eth0", "gateway4", "10.1.0.1")]),
        ((4,), [("eth1", "gateway4", "10.2.0.1")]),
        ((6,), [("eth0", "gateway4", "10.1.0.1")]),
    ],
)
def test_the_chosen_nic_has_the_default_route(versions: tuple[int, ...], routes: Any) -> None:
    assert default_routes(config(TWO[0], evolve(TWO[1], default_routes=versions))) == routes


def test_of_two_nics_with_one_gateway_the_chosen_one_has_the_route() -> None:
    one, two = (nic(f"eth{at}", address(f"10.1.0.2{at}", "10.1.0.1")) for at in range(2))
    assert default_routes(config(one, evolve(two, default_routes=(4,)))) == [("eth1", "gateway4", "10.1.0.1")]


def test_each_ip_version_has_one_default_route() -> None:
    own = address("2001:db8:1::9", "2001:db8:1::1")
    vlan = VlanConfig(name="eth2.5", vid=5, addresses=(own,), default_routes=(6,))
    found = config(*TWO, nic("eth2", address("2001:db8::9", "2001:db8::1"), vlans=(vlan,)))
    assert default_routes(found) == [("eth0", "gateway4", "10.1.0.1"), ("eth2.5", "gateway6", "2001:db8:1::1")]


@pytest.mark.parametrize(("vid", "mtu"), [(0, None), (4095, None), (1, 67), (1, 65536)])
def test_impossible_tags_and_sizes_are_refused(vid: int, mtu: int | None) -> None:
    with pytest.raises(ValueError, match="must be"):
        VlanConfig(name="eth0.1", vid=vid, mtu=mtu)
