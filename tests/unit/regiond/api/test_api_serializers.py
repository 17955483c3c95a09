"""Keys and types of responses, checked against their schemas and the rules of clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import evolve

from common.hosts.discovery import Problem
from common.values import DriverType
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.event_stream import EVENT_STREAM
from regiond.api.resources.registry import SERVED
from regiond.api.serializers.machines import MACHINE_JSON, STATUS, power_word
from regiond.api.serializers.vm_hosts.capacity import RESOURCE_CAPACITY_JSON
from regiond.api.serializers.vm_hosts.hosts import HOST_JSON, VIRTUAL_MACHINE_JSON
from regiond.hosts.model import Amounts, HostState
from regiond.machines.values.states import MachineState
from regiond.networks.model import SeenAddress, Subnet
from tests.unit.support.api_double import ApiDouble, json_of
from tests.unit.support.api_samples import AT, FILE_CONTENT
from tests.unit.support.good_requests import each_endpoint, request
from tests.unit.support.host_samples import HOST, IMAGES_CAPACITY, UNKNOWN_HOST
from tests.unit.support.machine_samples import FAILED, GUEST, MACHINE
from tests.unit.support.network_samples import SUBNET, VLAN

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (float,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def misfits(value: Any, schema: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Returns where `value` violates `schema`. Stricter than JSON: an integer is not a number."""
    if "anyOf" in schema:
        if all(any(True for _ in misfits(value, one, at)) for one in schema["anyOf"]):
            yield f"{at}: {value!r} fits none of {schema['anyOf']}"
        return
    if type(value) not in _TYPES[schema["type"]]:
        yield f"{at}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from misfits(item, schema["items"], f"{at}[{index}]")
    if isinstance(value, dict):
        yield from _object_misfits(value, schema, at)


def _object_misfits(value: dict[str, Any], schema: Mapping[str, Any], at: str) -> Iterator[str]:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for missing in set(schema.get("required", ())) - set(value):
        yield f"{at}.{missing} is missing"
    for key, inner in value.items():
        if key in known:
            yield from misfits(inner, known[key], f"{at}.{key}")
        elif others is False:
            yield f"{at}.{key} is not declared"
        elif isinstance(others, Mapping):
            yield from misfits(inner, others, f"{at}.{key}")


@each_endpoint
def test_responses_match_their_declared_schema(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    reply = request(api, resource, endpoint)
    if resource.handler == "VmHostCertificateHandler":
        assert (reply.content_type, reply.body) == ("text/plain; charset=utf-8", b"-----BEGIN CERTIFICATE-----")
    elif endpoint.op == "console_log":
        assert (reply.content_type, reply.body) == ("text/plain; charset=utf-8", b"Booting from Hard Disk...\n")
    elif (
        resource.handler == "DeploymentUserDataHandler"
    ):  # `tests/integration/machines/deployment/test_fetched_user_data.py` reads it
        assert (reply.content_type, reply.headers["Cache-Control"]) == ("application/octet-stream", "no-store")
    elif reply.content_type == EVENT_STREAM:  # `tests/integration/events/test_event_stream.py` reads it
        assert reply.chunks is not None
    elif endpoint.op == "zone_file":
        assert (reply.content_type, reply.body) == ("text/plain; charset=utf-8", b"$ORIGIN maas.\n")
    elif endpoint.op == "set_boot_disk":
        text = b"OK: quick-fox boots from sda at its next start."
        assert (reply.content_type, reply.body) == ("text/plain; charset=utf-8", text)
    elif endpoint.op == "set_config":
        assert (reply.content_type, reply.body) == ("text/plain; charset=utf-8", b"OK")
    elif endpoint.op == "details":
        assert (reply.content_type, len(reply.body)) == ("application/bson", 17)
    elif endpoint.op == "download":
        assert (reply.content_type, reply.headers["Content-Length"]) == ("application/x-tar", "4")
    elif endpoint.result.is_data:
        assert (reply.content_type, reply.body) == ("application/octet-stream", FILE_CONTENT.content)
    elif endpoint.result.schema is None:
        assert reply.body == b""
    else:
        assert list(misfits(json_of(reply), endpoint.result.schema)) == []


def test_a_failed_operation_shows_its_error(api: ApiDouble) -> None:
    api.answers["operations.read"] = FAILED
    found = api.json("GET", "operations/77/")
    assert found["error"] == {
        "code": "out_of_capacity",
        "message": "needs 4 cores, 1 of 4 free",
        "details": {"required": 4},
    }
    assert found["log"][0]["message"] == "claimed"


def test_a_host_has_the_keys_of_maas_and_its_state() -> None:
    found = HOST_JSON.encode(HOST)
    own = {
        "state", "error", "problems", "refreshed_at", "address", "project", "cluster", "cluster_name", "reserved_cores",
        "reserved_memory", "capacity", "maintenance", "autostart", "placement_groups", "default_network",
    }  # fmt: skip
    assert set(found) - own == {
        "id", "name", "tags", "type", "architectures", "capabilities", "total", "used", "available", "zone",
        "cpu_over_commit_ratio", "memory_over_commit_ratio", "storage_pools", "pool", "host", "default_macvlan_mode",
        "version", "product", "resource_uri", "networks", "network_devices", "gpus", "profiles",
    }  # fmt: skip
    assert found["architectures"] == ["amd64/generic"]
    assert found["capabilities"] == ["composable", "dynamic_local_storage", "over_commit", "storage_pools"]
    assert found["host"] == {"system_id": "k3xq7a", "__incomplete__": True}
    assert (found["type"], found["cpu_over_commit_ratio"]) == ("virsh", 1.0)
    assert found["resource_uri"] == "/MAAS/api/2.0/vm-hosts/4/"


def test_an_unusable_host_shows_the_reason() -> None:
    away = evolve(
        HOST,
        state=HostState.UNREACHABLE,
        error_code="host_unreachable",
        error_message="It is off.",
        problems=(Problem(subject="fast", message="The pool cannot be read."),),
        refreshed_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    found = HOST_JSON.encode(away)
    assert (found["state"], found["error"]) == (
        "unreachable",
        {"code": "host_unreachable", "message": "It is off.", "details": None},
    )
    assert found["problems"] == [{"subject": "fast", "message": "The pool cannot be read."}]
    assert found["refreshed_at"] == "2026-01-02T00:00:00+00:00"
    assert HOST_JSON.encode(HOST)["error"] is None


def test_a_host_shows_its_network_devices_and_attachable_networks() -> None:
    found = HOST_JSON.encode(HOST)
    device, usb = found["network_devices"]
    assert (device["product"], device["numa_node"]) == ("Ethernet Controller X710", 0)
    assert (device["virtual_functions"], device["virtual_functions_made"]) == (64, 4)
    assert [(port["name"], port["link_connected"], port["link_speed"]) for port in device["ports"]] == [
        ("ens1f0", True, 10000),
        ("ens1f1", False, None),
    ]
    assert (usb["pci_address"], usb["usb_address"], usb["numa_node"], usb["ports"]) == (None, "2:7", None, [])
    assert [gpu["product"] for gpu in found["gpus"]] == ["GA102GL [A40]"]
    assert [(one["name"], one["attachable"]) for one in found["networks"]] == [("lan", True), ("fast", False)]
    assert found["profiles"] == [{"name": "default", "description": "Default LXD profile"}]


def test_available_capacity_ignores_ratios_and_may_be_negative() -> None:
    found = HOST_JSON.encode(HOST)
    assert found["total"] == {"cores": 4, "memory": 12288, "local_storage": 10**11}
    assert found["available"] == {"cores": -2, "memory": 8192, "local_storage": 92 * 10**9}


def test_storage_pools_show_provisioned_bytes_without_missing_pools() -> None:
    (pool,) = HOST_JSON.encode(HOST)["storage_pools"]
    assert pool == {
        "id": "6e0b1a52-0000-4b8e-9a5e-3d3a3a3a3a3a",
        "name": "images",
        "type": "dir",
        "path": "/srv/images",
        "status": "available",
        "shares_space_with": [],
        "total": 10**11,
        "used": 8 * 10**9,
        "available": 92 * 10**9,
        "default": True,
        "capacity": RESOURCE_CAPACITY_JSON.encode(IMAGES_CAPACITY),
    }


def test_a_host_of_unknown_capacity_shows_zeros() -> None:
    found = HOST_JSON.encode(UNKNOWN_HOST)
    nothing = {"cores": 0, "memory": 0, "local_storage": 0}
    assert found["total"] == found["used"] == found["available"] == nothing
    assert found["architectures"] == found["capabilities"] == found["storage_pools"] == []
    assert found["version"] == ""


def test_simulated_hosts_have_the_type_simulated() -> None:
    assert HOST_JSON.encode(evolve(HOST, driver=DriverType.SIMULATED))["type"] == "simulated"


def test_pinned_and_unpinned_cores_are_exclusive() -> None:
    assert VIRTUAL_MACHINE_JSON.encode(GUEST)["unpinned_cores"] == 2
    pinned = VIRTUAL_MACHINE_JSON.encode(evolve(GUEST, pinned_core_ids=(4, 5)))
    assert (pinned["pinned_cores"], pinned["unpinned_cores"]) == ([4, 5], 0)
    assert pinned["resource_uri"] == "/MAAS/api/2.0/virtual-machines/17"


@pytest.mark.parametrize(
    ("state", "number", "name"),
    [
        (MachineState.COMPOSING, 1, "Commissioning"),
        (MachineState.FAILED, 2, "Failed commissioning"),
        (MachineState.FAILED_COMPOSE, 2, "Failed commissioning"),
        (MachineState.MISSING, 3, "Missing"),
        (MachineState.READY, 4, "Ready"),
        (MachineState.DELETING, 12, "Releasing"),
    ],
)
def test_each_state_has_the_status_of_maas(state: MachineState, number: int, name: str) -> None:
    found = MACHINE_JSON.encode(evolve(MACHINE, state=state))
    assert (found["status"], found["status_name"]) == (number, name)


def test_every_state_has_a_status() -> None:
    assert set(STATUS) == set(MachineState)


@pytest.mark.parametrize(
    ("state", "word"), [("on", "on"), ("off", "off"), ("paused", "on"), ("unknown", "unknown"), ("new", "unknown")]
)
def test_power_states_have_the_names_of_maas(state: str, word: str) -> None:
    assert power_word(state) == word


def test_a_machine_has_the_types_that_clients_require() -> None:
    found = MACHINE_JSON.encode(MACHINE)
    assert found["hardware_info"] == {}
    assert found["fqdn"] == "quick-fox.maas"
    assert found["storage"] == 5000.0
    assert isinstance(found["storage"], float)
    (disk,) = found["blockdevice_set"]
    assert (disk["size"], disk["id_path"]) == (5 * 10**9, "/dev/disk/by-id/virtio-abc0")
    (nic,) = found["interface_set"]
    assert nic["links"] == []
    assert found["boot_interface"] == nic
    assert found["pod"] == {"id": 4, "name": "hv-01", "resource_uri": "/MAAS/api/2.0/pods/4/"}
    for key in ("tag_names", "ip_addresses", "owner_data", "osystem", "distro_series", "description"):
        assert found[key] is not None


def _links_of(**nic: Any) -> list[tuple[str, str | None, str]]:
    """Mode, address and CIDR of each link of a machine's only NIC."""
    machine = evolve(MACHINE, nics=(evolve(MACHINE.nics[0], **nic),))
    (found,) = MACHINE_JSON.encode(machine)["interface_set"]
    return [(link["mode"], link.get("ip_address"), link["subnet"]["cidr"]) for link in found["links"]]


def _seen(text: str, *, subnet: Subnet | None = SUBNET) -> SeenAddress:
    return SeenAddress(id=2**30 + 1, address=ip_address(text), subnet=subnet, seen_at=AT)


def test_no_link_lacks_its_subnet() -> None:
    """A link without one ends Juju."""
    assert _links_of(vlan=VLAN) == []
    assert _links_of(subnet=SUBNET) == [("dhcp", None, "10.1.0.0/24")]
    assert _links_of(subnet=SUBNET, seen=(_seen("10.1.0.9"),)) == [("dhcp", "10.1.0.9", "10.1.0.0/24")]
    assert _links_of(seen=(_seen("10.1.0.9"), _seen("10.2.0.9", subnet=None))) == [("dhcp", "10.1.0.9", "10.1.0.0/24")]


def test_an_assigned_address_is_the_first_and_stands_once() -> None:
    assigned: dict[str, Any] = {"mode": "static", "subnet": SUBNET, "ip_address": ip_address("10.1.0.9")}
    seen = (_seen("10.1.0.9"), _seen("10.1.0.77"))
    assert _links_of(**assigned, seen=seen) == [
        ("static", "10.1.0.9", "10.1.0.0/24"), ("dhcp", "10.1.0.77", "10.1.0.0/24"),
    ]  # fmt: skip
    machine = evolve(MACHINE, nics=(evolve(MACHINE.nics[0], **assigned, seen=seen),))
    assert MACHINE_JSON.encode(machine)["ip_addresses"] == ["10.1.0.9", "10.1.0.77"]


def test_a_machine_without_a_host_is_encoded() -> None:
    without_host = evolve(
        MACHINE, host_id=None, host_name=None, host_system_id=None, driver=None, guest_id=None, nics=(), disks=()
    )
    found = MACHINE_JSON.encode(without_host)
    assert (found["pod"], found["parent"], found["boot_disk"], found["power_type"]) == (None, None, None, "manual")
    assert found["storage"] == 0.0
    assert isinstance(found["storage"], float)


def test_resource_uris_resolve(api: ApiDouble) -> None:
    seen = set(_uris(api.json("GET", "machines/wdpx3n/")))
    seen |= set(_uris(api.json("GET", "vm-hosts/4/")))
    seen.discard("/MAAS/api/2.0/machines/k3xq7a/")  # the machine under the host, which Innkeeper does not manage
    for uri in seen:
        assert api.request("GET", uri.removeprefix("/MAAS/api/2.0/")).status == 200, uri


def _uris(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (uri for key, uri in value.items() if key == "resource_uri")
        for inner in value.values():
            yield from _uris(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _uris(inner)


def test_amounts_are_integers() -> None:
    total = HOST_JSON.encode(evolve(HOST, total=Amounts(cores=1, memory_mib=2, storage_bytes=3)))["total"]
    assert all(type(amount) is int for amount in total.values())
    assert len(SERVED) > 20
