"""Fields that an endpoint does not know: rejected by deletions, lists and allocate, named in a warning by all else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from common.errors import NotFound
from regiond.api.declaration.endpoint import Endpoint, Resource
from tests.unit.support.api_double import ApiDouble, json_of
from tests.unit.support.good_requests import ENDPOINTS, READS, name_of, request

OTHER_DESTRUCTIVE = {
    "AuditHandler.redact",
    "MachinesHandler.bulk",
    "MachinesHandler.release",
    "MachineHandler.release",
    "MachineHandler.abort",
    "MachineHandler.rebuild",
    "MachineHandler.forget",
    "MachineHandler.unregister_from_maas",
    "MachineHandler.remove_disk",
    "MachineHandler.remove_interface",
    "OperationHandler.abandon",
    "OperationHandler.cancel",
    "DiscrepancyHandler.approve",
    "ResourcePoolHandler.revoke",
    "AccountHandler.delete_authorisation_token",
}
NOT_LISTS = {
    "AccountHandler", "DeploymentUserDataHandler", "DescribeHandler", "OpenApiHandler", "VersionHandler",
    "MaasPowerQueryHandler", "MaasPowerQueryWithSlashHandler", "VmHostCertificateHandler",
}  # fmt: skip
STRICT = [one for one in ENDPOINTS if one[1].rejects_unknown_fields]
LENIENT = [one for one in ENDPOINTS if not one[1].rejects_unknown_fields and one[1].other_keys is None]
strict = pytest.mark.parametrize(("resource", "endpoint"), STRICT, ids=[name_of(*one) for one in STRICT])
lenient = pytest.mark.parametrize(("resource", "endpoint"), LENIENT, ids=[name_of(*one) for one in LENIENT])
# Filters that MAAS documents, and what its clients send: gomaasapi, gomaasclient, libmaas, Ansible, the maas CLI.
OF_CLIENTS: list[tuple[str, str, str | None, dict[str, str]]] = [
    ("GET", "machines/", None, {"agent_name": "juju", "id": "wdpx3n"}),
    ("GET", "machines/", None, {"hostname": "a", "domain": "maas", "zone": "1", "pool": "0"}),
    ("GET", "machines/", None, {"cpu_count": "4", "mem": "1024", "not_tags": "old", "pod_type": "lxd"}),
    ("GET", "machines/", None, {"not_pod": "hv-01", "not_pod_type": "virsh", "not_arch": "arm64/generic"}),
    ("GET", "machines/", None, {"owner": "ann", "power_state": "on", "simple_status": "ready", "subnets": "id:3"}),
    ("GET", "machines/", None, {"storage": "0,20", "interfaces": "a:space=dmz", "deployment_target": "disk"}),
    ("GET", "machines/", None, {"not_cpu_count": "1", "not_mem": "1024", "not_link_speed": "1", "not_cpu_speed": "1"}),
    ("GET", "machines/", "list_allocated", {"id": "wdpx3n"}),
    ("GET", "events/", "query", {"hostname": "a", "zone": "1", "domain": "maas", "agent_name": "d", "owner": "e"}),
    ("GET", "events/", "query", {"mac_address": "52-54-00-aa-00-01", "level": "INFO", "limit": "5", "after": "1"}),
    ("GET", "subnets/3/", "ip_addresses", {"with_username": "0", "with_summary": "0", "with_node_summary": "0"}),
    ("GET", "vm-hosts/", None, {"format": "json", "op": "", "csrfmiddlewaretoken": "x"}),
    ("GET", "boot-resources/", None, {"Type": "synced"}),
    ("POST", "machines/", "release", {"machines": "wdpx3n", "comment": "done", "csrfmiddlewaretoken": "x"}),
    ("POST", "machines/wdpx3n/", "release", {"erase": "1", "secure_erase": "1", "quick_erase": "1", "scripts": "a"}),
    ("POST", "machines/wdpx3n/", "release", {"op": "release", "comment": ""}),
    ("POST", "machines/", "allocate", {"bridge_all": "False", "bridge_type": "standard", "bridge_stp": "0"}),
    ("POST", "machines/", "allocate", {"vlans": "vid:0", "not_fabric_classes": "10g", "cpu_speed": "1000"}),
    ("DELETE", "machines/wdpx3n/", None, {"force": "true"}),
    ("DELETE", "pods/4/", None, {"decompose": "True"}),
]  # fmt: skip


def test_every_destructive_call_is_declared() -> None:
    declared = {name_of(*one) for one in ENDPOINTS if one[1].destructive}
    deletions = {name_of(*one) for one in ENDPOINTS if one[1].method == "DELETE"}
    assert declared == deletions | OTHER_DESTRUCTIVE


def test_every_read_of_a_collection_is_a_list() -> None:
    lists = {name_of(*one) for one in STRICT if one[1].method == "GET"}
    collections = {
        name_of(resource, endpoint)
        for resource, endpoint in ENDPOINTS
        if endpoint.method == "GET" and endpoint.op is None and not resource.path.endswith("}/")
        if not resource.path.endswith("}") and resource.handler not in NOT_LISTS
    }
    assert collections <= lists
    assert {"EventsHandler.query", "MachinesHandler.list_allocated", "DiscrepanciesHandler.repaired"} <= lists


@strict
def test_a_destructive_call_list_or_allocate_rejects_unknown_fields(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    reply = request(api, resource, endpoint, bogus="1")
    assert reply.status == 400
    words = endpoint.unknown_field or "This field is unknown"
    assert f'{{"bogus": ["{words}'.encode() in reply.body
    assert {call.name for call in api.done()} <= READS


@lenient
def test_all_other_calls_ignore_unknown_fields_with_a_warning(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    reply = request(api, resource, endpoint, bogus="1")
    assert reply.status == endpoint.success
    assert reply.headers["Warning"] == '299 - "Ignored fields: bogus"'
    assert "Warning" not in request(ApiDouble(), resource, endpoint).headers


def test_an_unknown_field_is_rejected_with_the_nearest_name(api: ApiDouble) -> None:
    assert api.rejected("DELETE", "vm-hosts/4/", form={"decompos": "true"}) == {
        "decompos": ["This field is unknown. Did you mean decompose?"]
    }
    assert api.rejected("DELETE", "subnets/3/", form={"x": ""}) == {"x": ["This field is unknown. Known: dry_run."]}
    problems = api.rejected("GET", "discrepancies/", form={"hots": "9", "bogus": "1"})
    assert problems["hots"] == ["This field is unknown. Did you mean host?"]
    assert problems["bogus"] == ["This field is unknown. Known: host, kind, machine, limit, after, sort, q."]


def test_a_destructive_call_rejects_fields_in_its_query(api: ApiDouble) -> None:
    found = api.rejected("POST", "machines/wdpx3n/", query="op=release&comment=bye&dry_run=true")
    assert found["comment"] == ["Send this field in the body, not in the query."]
    assert found["dry_run"] == ["Send this field in the body, not in the query."]
    reply = api.request("POST", "vm-hosts/4/", query="op=compose&cores=2")
    assert (reply.status, reply.headers["Warning"]) == (200, '299 - "Ignored fields: cores (send it in the body)"')


@pytest.mark.parametrize(("method", "path", "op", "form"), OF_CLIENTS)
def test_what_clients_of_maas_send_is_never_rejected(
    api: ApiDouble, method: str, path: str, op: str | None, form: dict[str, Any]
) -> None:
    fields = {**({"op": op} if op and method == "GET" else {}), **form}
    reply = api.request(method, path, op=op, form=fields)
    assert reply.status in {200, 204}, reply.body


def test_an_ignored_filter_of_maas_is_named_in_the_warning(api: ApiDouble) -> None:
    reply = api.request("GET", "subnets/3/", form={"op": "ip_addresses", "with_username": "0", "limit": "5"})
    assert (reply.status, reply.headers["Warning"]) == (200, '299 - "Ignored fields: with_username"')


def test_a_warning_is_short_and_safe_whatever_the_names(api: ApiDouble) -> None:
    document = {'a"b\\c\r\nSet-Cookie: x': 1, "ключ": 1, "\ud800": 1, "y" * 9000: 1, "nam": 1}
    many = {f"field{number}": 1 for number in range(1500)}
    reply = api.request("POST", "zones/", document={"name": "east", **document, **many})
    assert reply.status == 200
    warning = reply.headers["Warning"]
    assert re.fullmatch(r'299 - "[ !#-\[\]-~]{1,900}"', warning)
    assert "a?b?c??Set-Cookie: x, ????, ?, yyy" in warning
    assert "nam (did you mean name?)" in warning
    assert warning.endswith(', 1495 more"')


def test_many_unknown_fields_are_counted_not_listed(api: ApiDouble) -> None:
    found = api.rejected("GET", "machines/", form={"z" * 9000: 1, **{f"field{number}": 1 for number in range(1500)}})
    assert len(found) == 11
    assert max(map(len, found)) == 61
    assert found["__all__"] == ["1491 more fields are unknown."]


def test_a_check_of_what_does_not_exist_is_an_error(api: ApiDouble) -> None:
    api.answers["reconciler.check"] = ()
    assert api.json("GET", "discrepancies/", form={"host": "4", "machine": "wdpx3n"}) == []
    api.answers["machines.read"] = NotFound("No Machine matches the given query.")
    reply = api.request("GET", "discrepancies/", form={"host": "99", "machine": "gone12"})
    assert reply.status == 400
    assert json_of(reply) == {
        "host": ["There is no VM host 99."],
        "machine": ["There is no machine 'gone12'."],
    }
    reply = api.request("GET", "discrepancies/", form={"kind": "missing"})
    (message,) = json_of(reply)["kind"]
    assert message.startswith("'missing' is not one of: ")
