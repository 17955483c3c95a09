"""Every endpoint against every wrong value, the order of checks, and what the services are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import OperationPending, OutOfCapacity, RackUnreachable, WrongState
from common.values import DriverType, PowerAction
from regiond.api.catalogue import SERVED
from regiond.api.endpoint import Endpoint, Permission, Resource, SiteInfo
from regiond.api.fields import Boolean, Choice, CommaList, Field, Float, Integer, IntegerList, Text, TextList
from regiond.events.model import EventFilter, Level
from regiond.hosts.model import HostChange, NewHost
from regiond.machines.model import AskedHosts, ComposeRequest, MachineFilter, MachineState
from tests.unit.api_double import (
    ADMIN,
    ADMIN_KEY,
    FAILED,
    HOST,
    MACHINE,
    NOW_S,
    PLACEMENT,
    RACK_ID,
    RUNNING,
    USER_KEY,
    World,
    at_once,
    authorization,
    json_of,
)

KNOWN = {
    "vm-hosts": {"id": "4"},
    "pods": {"id": "4"},
    "virtual-machines": {"id": "17"},
    "vm-clusters": {"id": "1"},
    "machines": {"system_id": "wdpx3n"},
    "operations": {"id": "77"},
    "zones": {"name": "default"},
    "resourcepool": {"id": "0"},
    "domains": {"id": "0"},
    "racks": {"id": RACK_ID},
    "rpc-clients": {"name": "east"},
    "users": {"username": "ann"},
    "vmhost-certificate": {"name": "hv-01"},
}
GOOD = {
    "type": "simulated",
    "power_address": "simulated:s1?cores=4",
    "tag": "fast",
    "fingerprint": "SHA256:abc",
    "name": "east",
    "token_key": "abc",
    "guests": "quick-fox",
}
ON_THE_HOST = {"id": "4", "interfaces": "41", "blockdevices": "31"}


def path_of(resource: Resource) -> str:
    room = resource.path.split("/")[0]
    known = KNOWN.get(room, {})
    if room == "nodes":
        known = {"system_id": "wdpx3n", "id": ON_THE_HOST[resource.path.split("/")[2]]}
    return resource.path.format(**known)


def name_of(resource: Resource, endpoint: Endpoint) -> str:
    return f"{resource.handler}.{endpoint.name}"


ENDPOINTS = [(resource, endpoint) for resource in SERVED for endpoint in resource.endpoints]
NAMES = [name_of(*one) for one in ENDPOINTS]
each_endpoint = pytest.mark.parametrize(("resource", "endpoint"), ENDPOINTS, ids=NAMES)


def good_fields(resource: Resource, endpoint: Endpoint) -> dict[str, Any]:
    good = {one.name: GOOD[one.name] for one in endpoint.fields if one.required or one.name == "guests"}
    return {**good, "type": "virsh", "power_address": "qemu:///system"} if "type" in good else good


def wrong_values(one: Field) -> Iterator[object]:
    """Wrong type and out of range, for each kind."""
    kind = one.kind
    if one.required:
        yield ""
        yield "   "
    if isinstance(kind, Integer | IntegerList):
        yield from ("four", "1.5", str(kind.least - 1), str(kind.most + 1), "9" * 30, "1,2")
    elif isinstance(kind, Float):
        yield from ("much", "nan", "inf", str(kind.least - 1), str(kind.most + 1))
    elif isinstance(kind, Boolean):
        yield from ("maybe", "2", "\x00")
    elif isinstance(kind, Choice):
        yield from ("nonsense", "\x00")
    elif isinstance(kind, CommaList | TextList):
        yield from ("\x00", "a" * (kind.longest + 1))
    elif isinstance(kind, Text):
        yield from ("a\x00b", "a" * (kind.longest + 1))


WRONG = [
    pytest.param(resource, endpoint, one, value, id=f"{name_of(resource, endpoint)}-{one.name}-{str(value)[:12]!r}")
    for resource, endpoint in ENDPOINTS
    for one in endpoint.fields
    for value in wrong_values(one)
]


@pytest.mark.parametrize(("resource", "endpoint", "one", "value"), WRONG)
def test_a_wrong_value_is_refused_by_field_and_nothing_is_done(
    resource: Resource, endpoint: Endpoint, one: Field, value: object
) -> None:
    world = World()
    form = {**good_fields(resource, endpoint), one.name: value}
    reply = at_once(world.ask(endpoint.method, path_of(resource), op=endpoint.op, form=with_op(endpoint, form)))
    assert reply.status == 400
    assert list(json_of(reply)) == [one.name]
    assert not [asked for asked in world.done() if asked.name != "operations.read"]


def with_op(endpoint: Endpoint, form: Mapping[str, Any]) -> dict[str, Any]:
    """GET and DELETE carry op and fields in the query together."""
    return dict(form) if endpoint.op is None or endpoint.method in {"POST", "PUT"} else {"op": endpoint.op, **form}


@each_endpoint
def test_a_good_request_gets_what_is_declared(resource: Resource, endpoint: Endpoint) -> None:
    world = World()
    form = with_op(endpoint, good_fields(resource, endpoint))
    reply = at_once(world.ask(endpoint.method, path_of(resource), op=endpoint.op, form=form))
    assert reply.status == endpoint.success, reply.body
    assert (reply.body == b"") == (endpoint.success == 204)


@each_endpoint
def test_who_is_not_known_is_refused_before_anything_else(resource: Resource, endpoint: Endpoint) -> None:
    world = World()
    path = path_of(resource)
    reply = at_once(world.ask(endpoint.method, path, op="no-such-op", key=None, query="op=no-such-op&%ff"))
    if endpoint.permission is Permission.ANYONE:
        assert reply.status == 400
    else:
        assert (reply.status, reply.body) == (401, b"Forbidden")
        assert "WWW-Authenticate" in reply.headers
    assert not world.asked


ADMINS_ONLY = [one for one in ENDPOINTS if one[1].permission is Permission.ADMIN]


@pytest.mark.parametrize(("resource", "endpoint"), ADMINS_ONLY, ids=[name_of(*one) for one in ADMINS_ONLY])
def test_only_admins_may_and_others_are_told_before_ids_and_fields_are_looked_at(
    resource: Resource, endpoint: Endpoint
) -> None:
    world = World()
    path = resource.path.replace("{id}", "nothing").replace("{name}", "nothing").replace("{system_id}", "nothing")
    reply = at_once(world.ask(endpoint.method, path, op=endpoint.op, form=with_op(endpoint, {}), key=USER_KEY))
    assert (reply.status, reply.body) == (403, b"This method is reserved for admin users.")
    assert [asked.name for asked in world.asked] == ["accounts.authenticate"]


FOUND_FIRST = [one for one in ENDPOINTS if one[1].find is not None]


@pytest.mark.parametrize("given", ["999", "nothing", "-1", "99999999999999999999", "1.0", "\x00"])
@pytest.mark.parametrize(("resource", "endpoint"), FOUND_FIRST, ids=[name_of(*one) for one in FOUND_FIRST])
def test_what_does_not_exist_is_404_in_plain_text_before_fields_are_looked_at(
    resource: Resource, endpoint: Endpoint, given: str
) -> None:
    world = World()
    path = resource.path
    for name in resource.params:
        path = path.replace(f"{{{name}}}", given if name == resource.params[-1] else "wdpx3n")
    form = with_op(endpoint, {one.name: "\x00" for one in endpoint.fields})
    reply = at_once(world.ask(endpoint.method, path, op=endpoint.op, form=form))
    assert reply.status == 404
    assert reply.content_type == "text/plain; charset=utf-8"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # in a fresh checkout the first text takes a second or two
@given(st.data())
def test_no_json_body_breaks_any_endpoint(data: st.DataObject) -> None:
    writing = [one for one in ENDPOINTS if one[1].method in {"POST", "PUT"}]
    resource, endpoint = data.draw(st.sampled_from(writing))
    names = [one.name for one in endpoint.fields] or ["x"]
    body = data.draw(st.dictionaries(st.sampled_from(names), ANY_JSON))
    reply = at_once(World().ask(endpoint.method, path_of(resource), op=endpoint.op, document=body))
    assert reply.status in {200, 204, 400, 404}


@given(st.text(), st.text(), st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "X"]), st.sampled_from(SERVED))
def test_no_query_or_header_breaks_any_resource(query: str, header: str, method: str, resource: Resource) -> None:
    asked = World().ask(
        method, path_of(resource), query=query, prefer=header, idempotency_key=header, content_type=header, body=b"x"
    )
    assert at_once(asked).status < 500


@pytest.mark.parametrize(
    ("query", "body", "suffix", "status"),
    [
        ("op=refresh", b"", None, 200),
        ("", b"op=refresh", None, 200),
        ("op=", b"op=refresh", None, 200),
        ("", b"", "refresh", 200),
        ("op=refresh", b"op=nonsense", "nonsense", 200),
        ("", b"op=nonsense", None, 400),
        ("op=nonsense", b"", None, 400),
        ("op=", b"", None, 400),  # vm-hosts/4/ has no plain POST
        ("", b"op=", None, 400),
    ],
)
def test_the_op_is_looked_for_in_query_form_and_path(query: str, body: bytes, suffix: str | None, status: int) -> None:
    reply = at_once(World().ask("POST", "vm-hosts/4/", query=query, body=body, op_suffix=suffix))
    assert reply.status == status


def test_an_unknown_op_is_told_as_maas_tells_it() -> None:
    reply = at_once(World().ask("POST", "vm-hosts/4/", op="foo"))
    assert (reply.status, reply.body) == (400, b"Unrecognised signature: method=POST op=foo")
    reply = at_once(World().ask("POST", "vm-hosts/4/"))
    assert reply.body == b"Unrecognised signature: method=POST op=None"


def test_a_json_body_names_no_op() -> None:
    assert at_once(World().ask("POST", "vm-hosts/4/", document={"op": "refresh"})).status == 400
    assert at_once(World().ask("POST", "vm-hosts/4/", document={}, query="op=refresh")).status == 200


def test_methods_that_a_resource_does_not_use_are_not_allowed() -> None:
    reply = at_once(World().ask("PUT", "vm-hosts/"))
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, POST")


def test_other_formats_than_json_are_refused() -> None:
    reply = at_once(World().ask("GET", "zones/", form={"format": "xml"}))
    assert (reply.status, reply.body) == (400, b"Invalid output format specified 'xml'.")
    assert at_once(World().ask("GET", "zones/", form={"format": "json"})).status == 200


def test_wrong_and_old_keys_are_told_as_maas_tells_it() -> None:
    wrong = authorization(ADMIN_KEY, nonce="n").replace("adminsecret", "guess")
    reply = at_once(World().ask("GET", "zones/", authorization=wrong))
    assert (reply.status, reply.body) == (401, b"Authorization Error: Invalid API key.")
    old = authorization(ADMIN_KEY, nonce="n", timestamp_s=NOW_S - 301)
    reply = at_once(World().ask("GET", "zones/", authorization=old))
    assert (reply.status, reply.body[:39]) == (401, b"Authorization Error: 'Expired timestamp")


def test_a_form_may_be_signed_in_itself() -> None:
    signed = (
        "oauth_consumer_key=adminconsumer&oauth_token=admintoken&oauth_signature=%26adminsecret"
        f"&oauth_signature_method=PLAINTEXT&oauth_timestamp={int(NOW_S)}&oauth_nonce=x&name=east"
    )
    world = World()
    reply = at_once(world.ask("POST", "zones/", key=None, authorization=None, body=signed.encode()))
    assert reply.status == 200
    assert world.done()[0].args == (ADMIN, "east", "")


# What the services are asked -----------------------------------------------------------------------------------------


def asked_of(world: World, name: str) -> Any:
    (asked,) = [one for one in world.asked if one.name == name]
    return asked


def test_a_host_is_created_with_what_was_given() -> None:
    world = World()
    form = {
        "type": "virsh",
        "power_address": "qemu+ssh://virsh@10.0.0.5/system",
        "power_user": "ignored",
        "tags": "a, b",
        "zone": "east",
        "cpu_over_commit_ratio": "2",
        "power_pass": " secret ",
        "default_macvlan_mode": "",
    }
    assert at_once(world.ask("POST", "vm-hosts/", form=form)).status == 200
    assert asked_of(world, "hosts.create").args == (
        ADMIN,
        NewHost(
            driver=DriverType.LIBVIRT,
            address="qemu+ssh://virsh@10.0.0.5/system",
            zone="east",
            tags=("a", "b"),
            cpu_over_commit_ratio=2.0,
            power_pass=form["power_pass"],
        ),
    )


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        ({"type": "lxd", "power_address": "http://10.0.0.5"}, "power_address", "HTTPS"),
        ({"type": "lxd", "power_address": "10.0.0.5", "project": "a/b"}, "project", "no blanks, slashes"),
        ({"type": "vmware", "power_address": "x"}, "type", "vmware is not one of the available choices"),
        ({"type": "virsh", "power_address": "qemu:///system?command=rm"}, "power_address", "Query parameters"),
        ({"type": "virsh", "power_address": "http://x"}, "power_address", "not known"),
        ({"type": "simulated", "power_address": "simulated:s?cores=0"}, "power_address", "cores"),
        ({"power_address": "qemu:///system"}, "type", "This field is required."),
    ],
)
def test_a_host_that_cannot_be_added_is_refused_by_field(form: Mapping[str, str], field: str, said: str) -> None:
    world = World()
    reply = at_once(world.ask("POST", "vm-hosts/", form=form))
    assert reply.status == 400
    (messages,) = [json_of(reply)[field]]
    assert said in messages[0]
    assert not world.done()


def test_simulated_hosts_are_refused_where_they_are_off() -> None:
    world = World(info=SiteInfo())
    form = {"type": "simulated", "power_address": "simulated:s"}
    assert list(json_of(at_once(world.ask("POST", "vm-hosts/", form=form)))) == ["type"]
    assert not world.done()


def test_an_update_says_only_what_was_given() -> None:
    world = World()
    form = {"type": "virsh", "memory_over_commit_ratio": "1.5", "tags": "", "name": ""}
    assert at_once(world.ask("PUT", "pods/4/", form=form)).status == 200
    expected = HostChange(driver=DriverType.LIBVIRT, memory_over_commit_ratio=1.5, tags=())
    assert asked_of(world, "hosts.update").args == (ADMIN, 4, expected)


def test_a_host_keeps_its_type() -> None:
    world = World()
    reply = at_once(world.ask("PUT", "vm-hosts/4/", form={"type": "lxd"}))
    assert (reply.status, list(json_of(reply))) == (400, ["type"])
    assert not world.done()


@pytest.mark.parametrize(
    ("text", "decompose"), [("", False), ("0", False), ("false", False), ("true", True), ("1", True)]
)
def test_only_a_clear_word_decomposes(text: str, decompose: bool) -> None:
    world = World()
    assert at_once(world.ask("DELETE", "vm-hosts/4/", form={"decompose": text})).status == 204
    assert asked_of(world, "hosts.start_remove").named == {"decompose": decompose}


def test_compose_passes_on_what_was_asked_and_answers_which_machine_it_is() -> None:
    world = World()
    form = {
        "cores": "4",
        "memory": "4096.0",
        "storage": "root:8,data:5(images)",
        "hostname": "db-1",
        "zone": "2",
        "pool": "1",
    }
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose", form=form, idempotency_key="k1"))
    assert json_of(reply) == {"system_id": "wdpx3n", "resource_uri": "/MAAS/api/2.0/machines/wdpx3n/"}
    asked = asked_of(world, "machines.start_compose")
    expected = ComposeRequest(
        host_id=4, cores=4, memory_mib=4096, storage="root:8,data:5(images)", hostname="db-1", zone="2", pool="1"
    )
    assert (asked.args, asked.named) == ((ADMIN, expected), {"idempotency_key": "k1", "need_rack": True})


def test_compose_has_defaults_for_everything() -> None:
    world = World()
    form = {
        "hugepages_backed": "false",
        "pinned_cores": "",
        "interfaces": "",
        "domain": "0",
        "skip_commissioning": "true",
    }
    assert at_once(world.ask("POST", "vm-hosts/4/", op="compose", form=form)).status == 200
    assert asked_of(world, "machines.start_compose").args[1] == ComposeRequest(host_id=4)


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        ({"cores": "5"}, "cores", "Ensure this value is less than or equal to 4."),
        ({"memory": "12289"}, "memory", "Ensure this value is less than or equal to 12288."),
        ({"memory": "1023"}, "memory", "Ensure this value is greater than or equal to 1024."),
        ({"cpu_speed": "2401"}, "cpu_speed", "Ensure this value is less than or equal to 2400."),
        ({"architecture": "amd64"}, "architecture", "Select a valid choice."),
        ({"architecture": "arm64/generic"}, "architecture", "Select a valid choice."),
        ({"storage": "8gb"}, "storage", "Malformed storage constraint"),
        ({"storage": "1.2.3"}, "storage", "no size"),
        ({"interfaces": "eth0:space=dmz"}, "interfaces", "not supported yet"),
        ({"pinned_cores": ["1", "2"]}, "pinned_cores", "not supported yet"),
        ({"hugepages_backed": "true"}, "hugepages_backed", "not supported yet"),
        ({"hostname": "a_b"}, "hostname", "Enter a host name"),
        ({"hostname": "-a"}, "hostname", "Enter a host name"),
        ({"hostname": "a" * 64}, "hostname", "Enter a host name"),
        ({"domain": "7"}, "domain", "Select a valid choice."),
    ],
)
def test_what_the_host_cannot_give_is_refused_by_field(form: Mapping[str, Any], field: str, said: str) -> None:
    world = World()
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose", form=form))
    assert reply.status == 400
    (messages,) = [json_of(reply)[field]]
    assert said in messages[0]
    assert not world.done()


def test_a_host_of_unknown_size_has_no_bounds_and_the_service_decides() -> None:
    world = World()
    world.answers["machines.start_compose"] = WrongState("Its capacity is not known yet.")
    reply = at_once(world.ask("POST", "vm-hosts/5/", op="compose", form={"cores": "400"}))
    assert (reply.status, reply.body) == (409, b"Its capacity is not known yet.")


@pytest.mark.parametrize("path", ["vm-hosts/4/", "pods/4/"])
def test_numa_nodes_are_for_anyone_with_a_key(path: str) -> None:
    world = World()
    first, second = json_of(at_once(world.ask("GET", path, op="numa", key=USER_KEY)))
    assert (first["node_id"], second["node_id"]) == (0, 1)
    assert (first["cores"]["used_by_ours"], first["cores"]["used_by_others"]) == ([2], [3])
    assert [one.args for one in world.done()] == [(4,)]


def test_a_host_that_was_never_looked_at_has_no_numa_nodes() -> None:
    world = World()
    world.answers["hosts.numa"] = ()
    assert json_of(at_once(world.ask("GET", "vm-hosts/5/", op="numa"))) == []


def test_a_dry_run_passes_on_what_was_asked_for_anyone_with_a_key() -> None:
    for path, key in (("vm-hosts/", ADMIN_KEY), ("pods/", USER_KEY)):
        world = World()
        form = {
            "cores": "4",
            "cpu_speed": "2400",
            "architecture": "amd64/generic",
            "storage": "root:8,data:5(images)",
            "host": ["4", "rack 7, left"],
            "zone": ["east", "north, 1"],
            "not_in_zone": "west",
            "pool": "0",
            "not_in_pool": "lab,web",
            "tags": "gpu, ssd",
            "not_tags": "old",
            "strategy": "pack",
            "hostname": "is-no-matter",
        }
        reply = at_once(world.ask("POST", path, op="place", form=form, key=key))
        told = json_of(reply)
        assert (reply.status, told["chosen"], told["chosen_id"]) == (200, "hv-01", 4)
        (asked,) = world.done()
        request = ComposeRequest(cores=4, architecture="amd64", storage="root:8,data:5(images)")
        hosts = AskedHosts(
            hosts=("4", "rack 7, left"), zones=("east", "north", "1"), not_in_zones=("west",), pools=("0",),
            not_in_pools=("lab", "web"), tags=("gpu", "ssd"), not_tags=("old",), cpu_speed_mhz=2400,
        )  # fmt: skip
        assert (asked.name, asked.args, asked.named) == ("machines.dry_run", (request, hosts), {"strategy": "pack"})


def test_a_dry_run_in_json_takes_lists_and_has_defaults_for_everything() -> None:
    world = World()
    for document, hosts in (
        ({}, AskedHosts()),
        ({"host": [4], "tags": ["gpu"]}, AskedHosts(hosts=("4",), tags=("gpu",))),
    ):
        assert at_once(world.ask("POST", "vm-hosts/", query="op=place", document=document)).status == 200
        assert world.asked[-1].args == (ComposeRequest(), hosts)
        assert world.asked[-1].named == {"strategy": None}


def test_that_nothing_fits_is_an_answer_of_a_dry_run() -> None:
    world = World()
    world.answers["machines.dry_run"] = evolve(PLACEMENT, order=())
    reply = at_once(world.ask("POST", "vm-hosts/", op="place"))
    told = json_of(reply)
    assert (reply.status, told["chosen"], told["chosen_id"], told["disks"]) == (200, None, None, [])
    assert told["left_out"] == [{"hosts": 3, "reason": "not enough cores left"}]


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"storage": "8gb"}, ["storage"]),
        ({"architecture": "amd64/hwe"}, ["architecture"]),
        ({"interfaces": "eth0:space=dmz", "storage": "8()"}, ["interfaces", "storage"]),
        ({"pinned_cores": ["1", "2"]}, ["pinned_cores"]),
        ({"hugepages_backed": "true"}, ["hugepages_backed"]),
        ({"cores": "0", "memory": "1023", "strategy": "guess"}, ["cores", "memory", "strategy"]),
    ],
)
def test_what_compose_would_refuse_a_dry_run_refuses_by_field(form: Mapping[str, Any], fields: list[str]) -> None:
    world = World()
    reply = at_once(world.ask("POST", "vm-hosts/", op="place", form=form))
    assert (reply.status, sorted(json_of(reply))) == (400, fields)
    assert not world.done()


@pytest.mark.parametrize(
    ("op", "form", "action"),
    [
        ("power_on", {}, PowerAction.ON),
        ("power_off", {}, PowerAction.OFF),
        ("power_off", {"stop_mode": "soft"}, PowerAction.OFF),
        ("power_off", {"stop_mode": "hard"}, PowerAction.FORCE_OFF),
        ("power_cycle", {}, PowerAction.CYCLE),
    ],
)
def test_power_is_switched_by_admins_and_the_owner(op: str, form: Mapping[str, str], action: PowerAction) -> None:
    for key in (ADMIN_KEY, USER_KEY):
        world = World()
        assert (
            json_of(at_once(world.ask("POST", "machines/wdpx3n/", op=op, form=form, key=key)))["system_id"] == "wdpx3n"
        )
        assert asked_of(world, "machines.start_power").args[1:] == ("wdpx3n", action)


def test_others_may_not_switch_a_machine() -> None:
    world = World()
    world.answers["machines.read"] = evolve(MACHINE, owner=None)
    reply = at_once(world.ask("POST", "machines/wdpx3n/", op="power_off", key=USER_KEY))
    assert reply.status == 403
    assert not world.done()


def test_a_paused_machine_is_on() -> None:
    reply = at_once(World().ask("GET", "machines/wdpx3n/", op="query_power_state"))
    assert json_of(reply) == {"state": "on"}


def test_machines_are_narrowed_by_the_service_and_filtered_by_what_it_does_not_know() -> None:
    world = World()
    form: dict[str, Any] = {"id": ["a", "b"], "mac_address": "52:54:00:AA:00:01", "pod": "hv-01", "status": "ready"}
    assert len(json_of(at_once(world.ask("GET", "machines/", form=form)))) == 1
    expected = MachineFilter(system_ids=("a", "b"), mac_addresses=("52:54:00:aa:00:01",), hosts=("hv-01",))
    assert asked_of(world, "machines.list").args == (expected,)


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ({"status": "ready"}, 1),
        ({"status": "Ready"}, 1),
        ({"status": "4"}, 1),
        ({"status": ["deployed", "ready"]}, 1),
        ({"status": "failed_commissioning"}, 0),
        ({"tags": "virtual"}, 1),
        ({"tags": ["virtual", "ssd"]}, 0),
        ({"domain": "maas"}, 1),
        ({"domain": "example.org"}, 0),
        ({"agent_name": "juju"}, 0),
    ],
)
def test_machines_that_do_not_match_are_left_out(form: Mapping[str, Any], found: int) -> None:
    assert len(json_of(at_once(World().ask("GET", "machines/", form=form)))) == found


def test_every_state_of_a_machine_can_be_filtered_for() -> None:
    world = World()
    world.answers["machines.list"] = tuple(evolve(MACHINE, state=state) for state in MachineState)
    assert len(json_of(at_once(world.ask("GET", "machines/", form={"status": "missing"})))) == 1


def test_events_are_narrowed_and_their_pages_linked() -> None:
    world = World()
    form = {"level": "WARNING", "host": "4", "limit": "5", "before": "100"}
    page = json_of(at_once(world.ask("GET", "events/", op="query", form=form)))
    (asked,) = asked_of(world, "events.list").args
    assert asked == EventFilter(levels=(Level.WARNING, Level.ERROR), host_id=4, limit=5, before_id=100)
    assert (page["count"], page["events"][0]["created"]) == (1, "Fri, 20 Nov. 2026 08:30:00")
    assert page["next_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&before=9"
    assert page["prev_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&after=9"


def test_operations_are_narrowed() -> None:
    world = World()
    form = {"state": ["failed", "running"], "host": "4", "machine": "wdpx3n", "limit": "5", "before": "100"}
    assert at_once(world.ask("GET", "operations/", form=form)).status == 200
    assert asked_of(world, "operations.list").named == {
        "states": ("failed", "running"),
        "host_id": 4,
        "system_id": "wdpx3n",
        "limit": 5,
        "before_id": 100,
    }


def test_a_rack_token_lives_for_the_time_asked() -> None:
    world = World()
    assert json_of(at_once(world.ask("POST", "racks/", op="token"))) == {"token": "innkeeper-token"}
    assert asked_of(world, "racks.make_token").named == {"lifetime_s": 3600.0}


def test_deleting_an_unknown_zone_is_no_error() -> None:
    world = World()
    assert at_once(world.ask("DELETE", "zones/nowhere/")).status == 204
    assert asked_of(world, "groups.delete_zone").args == (ADMIN, "nowhere")


# Waiting -------------------------------------------------------------------------------------------------------------


def test_a_request_waits_for_its_operation() -> None:
    world = World()
    world.answers["hosts.start_refresh"] = RUNNING
    assert json_of(at_once(world.ask("POST", "vm-hosts/4/", op="refresh")))["id"] == HOST.id
    asked = asked_of(world, "operations.wait")
    assert (asked.args, asked.named) == ((77,), {"timeout_s": 120.0})


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async, wait=10", "wait=10; x=1, respond-async;y=2"])
def test_a_request_that_will_not_wait_gets_the_operation(prefer: str) -> None:
    world = World()
    world.answers["machines.start_compose"] = RUNNING
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose", prefer=prefer))
    assert (reply.status, reply.headers["Location"]) == (202, "/MAAS/api/2.0/operations/77/")
    assert json_of(reply)["state"] == "running"
    assert asked_of(world, "machines.start_compose").named["need_rack"] is False


def test_a_wait_that_is_over_first_names_the_operation() -> None:
    world = World()
    world.answers.update(
        {"hosts.start_refresh": RUNNING, "operations.wait": OperationPending("It goes on.", operation=77)}
    )
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="refresh"))
    assert (reply.status, reply.headers["Location"]) == (504, "/MAAS/api/2.0/operations/77/")


def test_an_operation_that_failed_answers_with_its_own_error() -> None:
    world = World()
    world.answers.update({"machines.start_compose": RUNNING, "operations.wait": FAILED})
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose"))
    assert (reply.status, reply.body) == (503, b"cores: 4 asked, 1 of 4 left.")
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(OutOfCapacity("cores: 4 asked, 1 left"), 503, None), (RackUnreachable("No rack."), 503, "10")],
)
def test_what_the_services_refuse_is_told(error: Exception, status: int, retry_after: str | None) -> None:
    world = World()
    world.answers["machines.start_compose"] = error
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose"))
    assert (reply.status, reply.headers.get("Retry-After")) == (status, retry_after)


@pytest.mark.parametrize("key", ["x" * 256, "a\x01b"])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(key: str) -> None:
    world = World()
    assert at_once(world.ask("POST", "vm-hosts/4/", op="compose", idempotency_key=key)).status == 400
    assert not world.done()
