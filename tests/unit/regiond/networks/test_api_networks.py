"""Networks in the API: the responses, the calls of the service, and requests that are rejected before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import evolve

from regiond.api.serializers.machines import MACHINE_JSON
from regiond.networks.model import RangeChange, SubnetChange, VlanChange
from tests.unit.answers.accounts import USER_KEY
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.machine_samples import MACHINE
from tests.unit.support.network_samples import INTERFACES, IP_RANGE, IPV6_SUBNET, SUBNET, UNTAGGED, VLAN

ROOT = "/MAAS/api/2.0/"


def read(path: str, *, op: str | None = None) -> Any:
    return ApiDouble().json("GET", path, op=op, key=USER_KEY)


def vlans_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "vid" in value and "fabric_id" in value:
            yield value
        for inner in value.values():
            yield from vlans_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from vlans_in(inner)


def test_a_vlan_names_its_fabric_and_its_space() -> None:
    vlan = read("vlans/5002/")
    assert (vlan["fabric"], vlan["fabric_id"], vlan["space"], vlan["vid"]) == ("fabric-0", 0, "front", 100)
    assert vlan["resource_uri"] == f"{ROOT}vlans/5002/"
    assert read("fabrics/fabric-0/vlans/100/") == read("fabrics/0/vlans/100/") == vlan
    assert read("fabrics/0/vlans/untagged/")["id"] == 5001


def test_every_nested_vlan_has_dhcp_off() -> None:
    paths = ("fabrics/", "spaces/", "subnets/", "fabrics/0/vlans/", "nodes/k3xq7a/interfaces/")
    found = [vlan for path in paths for vlan in vlans_in(read(path))]
    assert len(found) > 8
    for vlan in found:
        assert (vlan["dhcp_on"], vlan["primary_rack"], vlan["relay_vlan"]) == (False, None, None)
        assert set(vlan) == set(found[0])  # complete, each time


def test_a_subnet_without_a_space_is_in_undefined() -> None:
    dmz, ipv6 = read("subnets/")
    assert (dmz["space"], ipv6["space"], ipv6["vlan"]["space"]) == ("front", "undefined", "undefined")
    assert (dmz["gateway_ip"], dmz["dns_servers"]) == ("10.1.0.1", ["10.1.0.2", "9.9.9.9"])
    assert (ipv6["gateway_ip"], ipv6["dns_servers"]) == (None, [])


def test_everything_without_a_space_is_in_the_space_undefined() -> None:
    front, undefined = read("spaces/")
    assert [subnet["name"] for subnet in front["subnets"]] == ["dmz"]
    assert (undefined["id"], undefined["name"]) == (-1, "undefined")
    assert [vlan["id"] for vlan in undefined["vlans"]] == [UNTAGGED.id]
    assert [subnet["id"] for subnet in undefined["subnets"]] == [IPV6_SUBNET.id]
    assert undefined["resource_uri"] == f"{ROOT}spaces/undefined/"
    assert read("spaces/undefined/") == undefined


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_the_space_undefined_cannot_be_changed(api: ApiDouble, method: str) -> None:
    assert api.request(method, "spaces/undefined/").status == 404
    assert not api.done()


@pytest.mark.parametrize("path", ["fabrics/0/", "fabrics/fabric-0/", "subnets/dmz/", "subnets/3/", "spaces/front/"])
def test_ids_and_names_find_the_same_object(path: str) -> None:
    found = read(path)
    assert found == ApiDouble().json("GET", found["resource_uri"].removeprefix(ROOT))


def test_addresses_of_a_subnet_are_listed_by_purpose_and_counted() -> None:
    taken = read("subnets/3/", op="reserved_ip_ranges")
    assert [(one["start"], one["end"], one["num_addresses"], one["purpose"]) for one in taken] == [
        ("10.1.0.1", "10.1.0.1", 1, ["assigned-ip", "gateway-ip"]),
        ("10.1.0.2", "10.1.0.2", 1, ["dns-server"]),
        ("10.1.0.7", "10.1.0.7", 1, ["assigned-ip"]),
        ("10.1.0.10", "10.1.0.20", 11, ["reserved"]),
    ]
    left = read("subnets/3/", op="unreserved_ip_ranges")
    assert [(one["start"], one["end"]) for one in left] == [
        ("10.1.0.3", "10.1.0.6"),
        ("10.1.0.8", "10.1.0.9"),
        ("10.1.0.21", "10.1.0.254"),
    ]
    counted = read("subnets/3/", op="statistics")
    assert (counted["total_addresses"], counted["num_available"], counted["largest_available"]) == (254, 240, 234)
    assert (counted["usage_string"], counted["available_string"], counted["ip_version"]) == ("6%", "94%", 4)


@pytest.mark.parametrize(("query", "with_discovered"), [("", False), ("with_discovered=true", True)])
def test_discovered_ranges_are_listed_on_request(api: ApiDouble, query: str, with_discovered: bool) -> None:
    assert [one["id"] for one in api.json("GET", "ipranges/", query=query)] == [IP_RANGE.id]
    assert api.call("networks.ranges").named == {"with_discovered": with_discovered}


def test_used_addresses_are_listed_with_their_users() -> None:
    host, machine = read("subnets/dmz/", op="ip_addresses")
    assert (host["ip"], host["host"], host["system_id"]) == ("10.1.0.1", "k3xq7a", None)
    assert (host["host_name"], machine["hostname"]) == ("hv-01", "web")
    assert (machine["ip"], machine["system_id"], machine["alloc_type_name"]) == ("10.1.0.7", "wdpx3n", "Sticky")


def test_the_interfaces_of_a_host_have_the_keys_of_maas() -> None:
    bridge, port = read("nodes/k3xq7a/interfaces/")
    assert (bridge["type"], bridge["effective_mtu"], bridge["parents"]) == ("bridge", 9000, ["eth1"])
    assert bridge["links"] == [{"id": 3, "mode": "static", "subnet": read("subnets/3/"), "ip_address": "10.1.0.1"}]
    assert (port["type"], port["children"]) == ("physical", ["br-dmz"])
    assert (port["enabled"], port["link_speed"]) == (False, 10000)
    # without an address the key is absent, never null
    assert [set(link) for link in port["links"]] == [{"id", "mode", "subnet"}]
    assert (port["vlan_set_by_user"], port["sriov_max_vf"]) == (True, 8)
    assert read("nodes/k3xq7a/interfaces/42/") == port


def test_a_user_can_set_the_vlan_of_a_host_interface(api: ApiDouble) -> None:
    form = {"vlan": "5002", "tags": "fast, storage"}
    assert api.request("PUT", "nodes/k3xq7a/interfaces/42/", form=form).status == 200
    call = api.call("networks.update_interface")
    assert (call.args, call.named) == ((ADMIN, 42), {"vlan": "5002", "tags": ("fast", "storage")})


def test_the_vlan_of_an_interface_can_be_reset_alone(api: ApiDouble) -> None:
    assert api.request("PUT", "nodes/k3xq7a/interfaces/42/", form={"vlan": ""}).status == 200
    assert api.call("networks.update_interface").named == {"vlan": "", "tags": None}


def test_the_nic_of_a_machine_shows_its_network_and_address() -> None:
    (nic,) = MACHINE.nics
    on_dmz = evolve(nic, vlan=VLAN, subnet=SUBNET, mode="static", ip_address=ip_address("10.1.0.7"))
    plain = MACHINE_JSON.encode(evolve(MACHINE, nics=(on_dmz,)))
    (nic,) = plain["interface_set"]
    assert plain["ip_addresses"] == ["10.1.0.7"]
    assert (nic["vlan"]["vid"], nic["effective_mtu"]) == (100, 9000)
    assert nic["links"] == [{"id": 41, "mode": "static", "subnet": read("subnets/3/"), "ip_address": "10.1.0.7"}]


@pytest.mark.parametrize(("mode", "shown"), [("dhcp", "dhcp"), ("unconfigured", "link_up")])
def test_a_nic_without_an_address_has_a_link_without_that_key(mode: str, shown: str) -> None:
    (nic,) = MACHINE.nics
    plain = MACHINE_JSON.encode(evolve(MACHINE, nics=(evolve(nic, vlan=VLAN, subnet=SUBNET, mode=mode),)))
    assert plain["interface_set"][0]["links"] == [{"id": 41, "mode": shown, "subnet": read("subnets/3/")}]
    assert plain["ip_addresses"] == []


def test_a_nic_without_a_known_subnet_has_no_link() -> None:
    (nic,) = MACHINE.nics
    plain = MACHINE_JSON.encode(evolve(MACHINE, nics=(evolve(nic, vlan=UNTAGGED, mode="dhcp"),)))
    assert plain["interface_set"][0]["links"] == []


CHANGES: list[tuple[str, str, Mapping[str, Any], str, tuple[Any, ...], dict[str, Any]]] = [
    ("POST", "fabrics/", {"name": "lab"}, "create_fabric", (), {"name": "lab", "class_type": None, "description": ""}),
    ("POST", "fabrics/", {}, "create_fabric", (), {"name": None, "class_type": None, "description": ""}),
    (
        "PUT", "fabrics/fabric-0/", {"class_type": "10g", "name": ""}, "update_fabric", ("fabric-0",),
        {"name": None, "class_type": "10g", "description": None},
    ),
    ("DELETE", "fabrics/0/", {}, "delete_fabric", ("0",), {"dry_run": False}),
    (
        "POST", "fabrics/fabric-0/vlans/", {"vid": "100", "name": "dmz", "mtu": "9000", "space": "front"},
        "create_vlan", ("0", VlanChange(vid=100, name="dmz", mtu=9000, space="front")), {},
    ),
    ("PUT", "fabrics/0/vlans/100/", {"space": "undefined"}, "update_vlan", (5002, VlanChange(space="")), {}),
    ("PUT", "vlans/5002/", {"fabric": "lab", "dhcp_on": "false"}, "update_vlan", (5002, VlanChange(fabric="lab")), {}),
    ("DELETE", "vlans/5002/", {}, "delete_vlan", (5002,), {"dry_run": False}),
    (
        "POST", "subnets/",
        {"cidr": "10.9.0.0/24", "fabric": "0", "vid": "100", "dns_servers": "9.9.9.9 1.1.1.1,8.8.8.8"}, "create_subnet",
        (SubnetChange(cidr="10.9.0.0/24", fabric="0", vid=100, dns_servers=("9.9.9.9", "1.1.1.1", "8.8.8.8")),), {},
    ),
    (
        "PUT", "subnets/dmz/",
        {"gateway_ip": "", "dns_servers": "", "managed": "False", "vlan": "5001", "rdns_mode": "1"}, "update_subnet",
        ("3", SubnetChange(gateway_ip="", dns_servers=(), managed=False, vlan="5001", rdns_mode=1)), {},
    ),
    ("DELETE", "subnets/dmz/", {}, "delete_subnet", ("3",), {"dry_run": False}),
    ("POST", "spaces/", {"name": "back", "description": "x"}, "create_space", (), {"name": "back", "description": "x"}),
    ("PUT", "spaces/2/", {"name": "back"}, "update_space", ("2",), {"name": "back", "description": None}),
    ("DELETE", "spaces/front/", {}, "delete_space", ("front",), {"dry_run": False}),
    (
        "POST", "ipranges/", {"type": "reserved", "start_ip": "10.1.0.10", "end_ip": "10.1.0.20", "subnet": "dmz"},
        "create_range", (),
        {"subnet": "dmz", "type": "reserved", "start_ip": "10.1.0.10", "end_ip": "10.1.0.20", "comment": ""},
    ),
    ("PUT", "ipranges/6/", {"comment": "", "end_ip": ""}, "update_range", (6, RangeChange(comment="")), {}),
    ("DELETE", "ipranges/6/", {}, "delete_range", (6,), {"dry_run": False}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "form", "name", "args", "named"), CHANGES)
def test_an_update_of_a_network_passes_only_given_fields(
    api: ApiDouble,
    method: str,
    path: str,
    form: Mapping[str, Any],
    name: str,
    args: tuple[Any, ...],
    named: dict[str, Any],
) -> None:
    assert api.request(method, path, form=form).status in {200, 204}
    call = api.call(f"networks.{name}")
    assert (call.args, call.named) == ((ADMIN, *args), named)


@pytest.mark.parametrize(
    ("path", "form", "field"),
    [
        ("fabrics/0/vlans/", {}, "vid"),
        ("fabrics/0/vlans/", {"vid": "4095"}, "vid"),
        ("fabrics/0/vlans/", {"vid": "7", "mtu": "100"}, "mtu"),
        ("fabrics/0/vlans/", {"vid": "7", "dhcp_on": "true"}, "dhcp_on"),
        ("subnets/", {"name": "x"}, "cidr"),
        ("subnets/", {"cidr": "10.0.0.0/8", "rdns_mode": "3"}, "rdns_mode"),
        ("ipranges/", {"type": "free", "start_ip": "10.1.0.1", "end_ip": "10.1.0.2"}, "type"),
        ("ipranges/", {"type": "dynamic", "end_ip": "10.1.0.2"}, "start_ip"),
    ],
)
def test_an_invalid_field_is_named_and_changes_nothing(
    api: ApiDouble, path: str, form: Mapping[str, str], field: str
) -> None:
    assert list(api.rejected("POST", path, form=form)) == [field]


def test_unknown_interfaces_are_404() -> None:
    for path in ("nodes/zzzzzz/interfaces/", "nodes/k3xq7a/interfaces/99/", "nodes/wdpx3n/interfaces/42/"):
        assert ApiDouble().request("GET", path).status == 404
    # NICs and host interfaces may share ids: the owner distinguishes them
    assert INTERFACES[0].id == MACHINE.nics[0].id
    assert "kind" not in read("nodes/wdpx3n/interfaces/41/")
    assert read("nodes/wdpx3n/interfaces/41/")["name"] == "eth0"
