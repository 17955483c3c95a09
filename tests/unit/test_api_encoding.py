"""What clients decode strictly: key sets and types, checked against the declared shapes and the rules of clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from common.discovery import Problem
from common.values import DriverType
from regiond.api.catalogue import SERVED
from regiond.api.encoding.hosts import encode_guest, encode_host
from regiond.api.encoding.machines import STATUS, encode_machine, encode_power
from regiond.api.endpoint import Endpoint, Resource
from regiond.hosts.model import Amounts, HostState
from regiond.machines.life import MachineState
from tests.unit.api_double import World, at_once, json_of
from tests.unit.api_samples import FAILED, GUEST, HOST, MACHINE, UNKNOWN_HOST
from tests.unit.good_requests import ENDPOINTS, NAMES, good_fields, path_of, with_op

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
    """Where `value` is not what `schema` says. Stricter than JSON: a number is a float, an integer never."""
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


@pytest.mark.parametrize(("resource", "endpoint"), ENDPOINTS, ids=NAMES)
def test_answers_are_what_is_declared(resource: Resource, endpoint: Endpoint) -> None:
    form = with_op(endpoint, good_fields(resource, endpoint))
    reply = at_once(World().ask(endpoint.method, path_of(resource), op=endpoint.op, form=form))
    if resource.handler == "VmHostCertificateHandler":
        assert (reply.content_type, reply.body) == ("text/plain; charset=utf-8", b"-----BEGIN CERTIFICATE-----")
    elif endpoint.result.schema is None:
        assert reply.body == b""
    else:
        assert list(misfits(json_of(reply), endpoint.result.schema)) == []


def test_a_failed_operation_tells_its_error() -> None:
    world = World()
    world.answers["operations.read"] = FAILED
    found = json_of(at_once(world.ask("GET", "operations/77/")))
    assert found["error"] == {
        "code": "out_of_capacity",
        "message": "cores: 4 asked, 1 of 4 left.",
        "details": {"asked": 4},
    }
    assert found["log"][0]["message"] == "claimed"


def test_a_host_has_the_keys_of_maas_and_says_how_it_stands() -> None:
    found = encode_host(HOST)
    ours = {"state", "error", "problems", "refreshed_at", "project", "cluster", "reserved_cores", "reserved_memory"}
    assert set(found) - ours == {
        "id", "name", "tags", "type", "architectures", "capabilities", "total", "used", "available", "zone",
        "cpu_over_commit_ratio", "memory_over_commit_ratio", "storage_pools", "pool", "host", "default_macvlan_mode",
        "version", "resource_uri", "networks", "network_cards", "gpus", "profiles",
    }  # fmt: skip
    assert found["architectures"] == ["amd64/generic"]
    assert found["capabilities"] == ["composable", "dynamic_local_storage", "over_commit", "storage_pools"]
    assert found["host"] == {"system_id": "k3xq7a", "__incomplete__": True}
    assert (found["type"], found["cpu_over_commit_ratio"]) == ("virsh", 1.0)
    assert found["resource_uri"] == "/MAAS/api/2.0/vm-hosts/4/"


def test_a_host_that_cannot_be_used_says_why() -> None:
    away = evolve(
        HOST,
        state=HostState.UNREACHABLE,
        error_code="host_unreachable",
        error_message="It is off.",
        problems=(Problem(subject="fast", message="The pool cannot be read."),),
        refreshed_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    found = encode_host(away)
    assert (found["state"], found["error"]) == ("unreachable", {"code": "host_unreachable", "message": "It is off."})
    assert found["problems"] == [{"subject": "fast", "message": "The pool cannot be read."}]
    assert found["refreshed_at"] == "2026-01-02T00:00:00+00:00"
    assert encode_host(HOST)["error"] is None


def test_a_host_tells_its_cards_and_which_networks_take_guests() -> None:
    found = encode_host(HOST)
    card, usb = found["network_cards"]
    assert (card["product"], card["numa_node"]) == ("Ethernet Controller X710", 0)
    assert (card["virtual_functions"], card["virtual_functions_made"]) == (64, 4)
    assert [(port["name"], port["link_connected"], port["link_speed"]) for port in card["ports"]] == [
        ("ens1f0", True, 10000),
        ("ens1f1", False, None),
    ]
    assert (usb["pci_address"], usb["usb_address"], usb["numa_node"], usb["ports"]) == (None, "2:7", None, [])
    assert [gpu["product"] for gpu in found["gpus"]] == ["GA102GL [A40]"]
    assert [(one["name"], one["attachable"]) for one in found["networks"]] == [("lan", True), ("fast", False)]
    assert found["profiles"] == [{"name": "default", "description": "Default LXD profile"}]


def test_what_is_available_ignores_ratios_and_may_be_negative() -> None:
    found = encode_host(HOST)
    assert found["total"] == {"cores": 4, "memory": 12288, "local_storage": 10**11}
    assert found["available"] == {"cores": -2, "memory": 8192, "local_storage": 92 * 10**9}


def test_storage_pools_show_what_is_provisioned_and_leave_out_those_that_are_gone() -> None:
    (pool,) = encode_host(HOST)["storage_pools"]
    assert pool == {
        "id": "6e0b1a52-0000-4b8e-9a5e-3d3a3a3a3a3a",
        "name": "images",
        "type": "dir",
        "path": "/srv/images",
        "total": 10**11,
        "used": 8 * 10**9,
        "available": 92 * 10**9,
        "default": True,
    }


def test_a_host_of_unknown_size_shows_zeros_and_can_do_nothing() -> None:
    found = encode_host(UNKNOWN_HOST)
    nothing = {"cores": 0, "memory": 0, "local_storage": 0}
    assert found["total"] == found["used"] == found["available"] == nothing
    assert found["architectures"] == found["capabilities"] == found["storage_pools"] == []
    assert found["version"] == ""


def test_simulated_hosts_say_so() -> None:
    assert encode_host(evolve(HOST, driver=DriverType.SIMULATED))["type"] == "simulated"


def test_pinned_and_unpinned_cores_exclude_each_other() -> None:
    assert encode_guest(GUEST)["unpinned_cores"] == 2
    pinned = encode_guest(evolve(GUEST, pinned_core_ids=(4, 5)))
    assert (pinned["pinned_cores"], pinned["unpinned_cores"]) == ([4, 5], 0)
    assert pinned["resource_uri"] == "/MAAS/api/2.0/virtual-machines/17"


@pytest.mark.parametrize(
    ("state", "number", "name"),
    [
        (MachineState.COMPOSING, 1, "Commissioning"),
        (MachineState.FAILED, 2, "Failed commissioning"),
        (MachineState.MISSING, 3, "Missing"),
        (MachineState.READY, 4, "Ready"),
        (MachineState.DELETING, 12, "Releasing"),
    ],
)
def test_each_state_has_the_number_and_word_of_maas(state: MachineState, number: int, name: str) -> None:
    found = encode_machine(evolve(MACHINE, state=state))
    assert (found["status"], found["status_name"]) == (number, name)


def test_no_state_is_left_without_a_status() -> None:
    assert set(STATUS) == set(MachineState)


@pytest.mark.parametrize(
    ("state", "word"), [("on", "on"), ("off", "off"), ("paused", "on"), ("unknown", "unknown"), ("new", "unknown")]
)
def test_power_is_told_in_words_that_clients_know(state: str, word: str) -> None:
    assert encode_power(state) == word


def test_a_machine_keeps_the_rules_that_clients_are_strict_about() -> None:
    found = encode_machine(MACHINE)
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


def test_a_machine_whose_host_is_gone_still_encodes() -> None:
    lonely = evolve(
        MACHINE, host_id=None, host_name=None, host_system_id=None, driver=None, guest_id=None, nics=(), disks=()
    )
    found = encode_machine(lonely)
    assert (found["pod"], found["parent"], found["boot_disk"], found["power_type"]) == (None, None, None, "manual")
    assert found["storage"] == 0.0
    assert isinstance(found["storage"], float)


def test_resource_uris_resolve() -> None:
    world = World()
    seen = set(_uris(json_of(at_once(world.ask("GET", "machines/wdpx3n/")))))
    seen |= set(_uris(json_of(at_once(world.ask("GET", "vm-hosts/4/")))))
    seen.discard("/MAAS/api/2.0/machines/k3xq7a/")  # the machine under the host, which Innkeeper does not manage
    for uri in seen:
        assert at_once(world.ask("GET", uri.removeprefix("/MAAS/api/2.0/"))).status == 200, uri


def _uris(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (uri for key, uri in value.items() if key == "resource_uri")
        for inner in value.values():
            yield from _uris(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _uris(inner)


def test_amounts_are_whole_numbers() -> None:
    total = encode_host(evolve(HOST, total=Amounts(cores=1, memory_mib=2, storage_bytes=3)))["total"]
    assert all(type(amount) is int for amount in total.values())
    assert len(SERVED) > 20
