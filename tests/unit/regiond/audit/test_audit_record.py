"""What the audit trail says of requests: which are recorded, when, and without secrets."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.errors import (
    Busy,
    DatabaseUnavailable,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    OperationPending,
    WrongState,
)
from common.words.operation_kinds import OperationKind
from regiond.api.declaration.field_types import Secret
from regiond.api.resources.registry import SERVED
from regiond.audit.model import NOT_RECORDED, AuditAnswer, AuditRequest, AuditResult
from regiond.requests.caller import Permission
from tests.unit.answers.accounts import ADMIN_KEY, USER_KEY
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import ADMIN, USER
from tests.unit.support.machine_samples import FAILED, MACHINE, OPERATION, RUNNING

RECORDED_TEXTS = """
    add affinity agent_name alias anti_affinity arch architecture choice cidr class_type columns comment consumer
    default_network default_storage_pool disk distro_series dns_servers domain end_ip error_description etag fabric
    fabric_classes field fabrics filename filetype fingerprint fqdn gateway_ip guests host hostname identity image
    interface interfaces kept_disk storage_pool export ip_address ip_addresses mac_address mac_addresses machine_pool
    machine_zone machines move_to name nodes not_arch not_fabric_classes not_fabrics not_in_pool not_in_pools
    not_in_zone not_in_zones not_pod not_pod_type not_subnets not_tags not_vlans osystem owner parent pod pod_type pool
    power_address power_url project query reason register_in_maas remove server sha256 size space start_ip storage
    storage_pool subnet subnets swap_size system_id tag tags template transfer_resources_to type url user username uuid
    version vlan vlans vm_host zone zones
"""


def recorded(api: ApiDouble) -> list[str]:
    return [call.name for call in api.calls if call.name in {"audit.begin", "audit.end", "audit.record"}]


def request_of(api: ApiDouble) -> AuditRequest:
    found = next(call.args[0] for call in api.calls if call.name in {"audit.begin", "audit.record"})
    assert isinstance(found, AuditRequest)
    return found


def answer_of(api: ApiDouble) -> AuditAnswer:
    found = next(call.args[1] for call in api.calls if call.name in {"audit.end", "audit.record"})
    assert isinstance(found, AuditAnswer)
    return found


def test_a_change_is_recorded_before_it_runs_and_answered_after(api: ApiDouble) -> None:
    api.request("POST", "machines/wdpx3n/", op="lock", form={"comment": "night"}, client_address="192.0.2.7")
    names = [call.name for call in api.calls]
    assert names.index("audit.begin") < names.index("ownership.set_locked") < names.index("audit.end")
    assert request_of(api) == AuditRequest(
        action="Machine.lock", username="admin", credential="API key admintoken", address="192.0.2.7",
        request_id="reference-1", object="machines/wdpx3n", object_name=MACHINE.hostname,
        fields={"comment": "(not recorded)"},
    )  # fmt: skip
    assert answer_of(api) == AuditAnswer(result=AuditResult.OK, status=200, fields={"comment": "night"})


def test_the_answer_names_the_operation(api: ApiDouble) -> None:
    api.request("POST", "machines/wdpx3n/", op="power_on", prefer="respond-async")
    assert (answer_of(api).status, answer_of(api).operation_id) == (202, 77)


@pytest.mark.parametrize(
    ("path", "op", "form", "service"),
    [
        ("vm-hosts/4/", "compose", {"cores": "1"}, "composer.start_compose"),
        ("vm-hosts/4/", "refresh", {}, "hosts.start_refresh"),
        ("machines/", "allocate", {"cpu_count": "1"}, "allocation.start"),
        ("machines/wdpx3n/", "deploy", {}, "deployments.start"),
    ],
)
def test_an_answer_without_location_names_the_operation(
    api: ApiDouble, path: str, op: str, form: dict[str, str], service: str
) -> None:
    api.answers[service] = OPERATION
    reply = api.request("POST", path, op=op, form=form)
    assert (reply.status, "Location" in reply.headers, answer_of(api).operation_id) == (200, False, 77)


@pytest.mark.parametrize("waited", [FAILED, OperationPending("It continues.", operation=77)], ids=["failed", "pending"])
def test_the_operation_of_an_error_is_recorded(api: ApiDouble, waited: object) -> None:
    refreshing = evolve(RUNNING, kind=OperationKind.REFRESH)
    api.answers.update({"hosts.start_refresh": refreshing, "operations.wait": waited})
    assert api.request("POST", "vm-hosts/4/", op="refresh").status >= 500
    assert answer_of(api).operation_id == 77


def test_the_operation_that_stands_in_the_way_is_not_of_the_request(api: ApiDouble) -> None:
    api.answers["hosts.start_refresh"] = Busy("It is being removed.", operation=12)
    assert api.request("POST", "vm-hosts/4/", op="refresh").status == 409
    assert answer_of(api).operation_id is None


def test_a_repeated_request_names_the_operation_of_the_first(api: ApiDouble) -> None:
    for _ in range(2):
        api.request("POST", "vm-hosts/4/", op="adopt", form={"guests": "Web_1"}, idempotency_key="k")
    ends = [call.args[1].operation_id for call in api.calls if call.name == "audit.end"]
    assert ends == [77, 77]


def test_reading_is_not_recorded_unless_it_shows_secrets(api: ApiDouble) -> None:
    api.request("GET", "machines/")
    assert recorded(api) == []
    api.request("GET", "vm-hosts/4/", op="parameters")
    assert recorded(api) == ["audit.begin", "audit.end"]


def test_a_dry_run_is_not_recorded(api: ApiDouble) -> None:
    api.request("DELETE", "machines/wdpx3n/", query="dry_run=true")
    assert recorded(api) == []
    api.request("DELETE", "machines/wdpx3n/", query="dry_run=false")
    assert recorded(api) == ["audit.begin", "audit.end"]


def test_secrets_are_not_recorded(api: ApiDouble) -> None:
    form = {"type": "lxd", "power_address": "10.0.0.5:8443", "key": "hunter2"}
    api.request("POST", "vm-hosts/", form={**form, "certificate": "x" * 999, "reserved_cores": "1", "name": "west"})
    asked, answer = request_of(api), answer_of(api)
    assert answer.result is AuditResult.OK
    assert "hunter2" not in str(asked) + str(answer)
    assert asked.fields == dict.fromkeys((*form, "certificate", "name"), NOT_RECORDED) | {"reserved_cores": "1"}
    assert answer.fields == {"type": "lxd", "power_address": "10.0.0.5:8443", "name": "west"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"path": "zones/", "form": {"name": "hunter2", "description": "hunter2"}, "key": USER_KEY}, 403),
        ({"path": "machines/hunter2 hunter2/", "op": "lock", "form": {"comment": "hunter2"}}, 404),
        ({"path": "vm-hosts/4/", "op": "compose", "form": {"hostname": "hunter2!", "cores": "hunter2"}}, 400),
        ({"path": "machines/wdpx3n/", "op": "lock", "form": {"comment": "hunter2", "mem": "hunter2"}}, 409),
        ({"path": "machines/wdpx3n/", "op": "set_owner_data", "form": {"hunter2": "x" * 10**5}}, 400),
    ],
    ids=["not allowed", "not found", "invalid", "rejected while it runs", "other keys"],
)
def test_what_is_rejected_is_not_recorded(api: ApiDouble, sent: dict[str, str], status: int) -> None:
    api.answers["ownership.set_locked"] = WrongState("It is being deleted.")
    api.answers["machines.read"] = NotFound("no machine") if status == 404 else MACHINE
    assert api.request("POST", sent.pop("path"), **sent).status == status
    assert "hunter2" not in str(request_of(api)) + str(answer_of(api))


@pytest.mark.parametrize(
    ("path", "op", "field", "value"),
    [
        ("machines/wdpx3n/", "deploy", "user_data", "aHVudGVyMg=="),
        ("account/prefs/sshkeys/", None, "key", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2"),
        ("account/", "update_token_name", "token", "a:b:hunter2"),
        ("machines/wdpx3n/", "lock", "comment", "-----BEGIN PRIVATE KEY-----\nhunter2"),
    ],
)
def test_of_what_may_hold_a_secret_only_the_name_is_recorded(
    api: ApiDouble, path: str, op: str | None, field: str, value: str
) -> None:
    more = {"name": "laptop"} if op == "update_token_name" else {}
    assert api.request("POST", path, op=op, form={field: value, **more}).status < 300
    found = {**request_of(api).fields, **answer_of(api).fields}
    assert found == {field: NOT_RECORDED, **more}


def test_only_these_texts_are_recorded() -> None:
    """A field that is added here has no secret, and nobody sends it one by mistake that would be accepted."""
    fields = [one for resource in SERVED for each in resource.endpoints if each.audited for one in each.fields]
    assert {one.name for one in fields if one.recorded} == set(RECORDED_TEXTS.split())
    assert not [one.name for one in fields if one.recorded and isinstance(one.type, Secret)]


def test_a_wrong_key_is_recorded_by_its_public_part(api: ApiDouble) -> None:
    api.answers["accounts.authenticate"] = NotAuthenticated("Wrong.")
    api.request("POST", "zones/", key=evolve(ADMIN_KEY, token_key="s" * 32), form={"name": "east"})  # its secret
    assert request_of(api).credential == "API key (not recorded)"


def test_owner_data_is_recorded_by_its_keys(api: ApiDouble) -> None:
    api.request("POST", "machines/wdpx3n/", op="set_owner_data", form={"token": "hunter2"})
    assert request_of(api).fields == {"token": "(not recorded)"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"path": "zones/", "form": {"name": "east"}, "key": USER_KEY}, 403),
        ({"path": "machines/nothing/", "op": "lock"}, 404),
        ({"path": "zones/", "form": {}}, 400),
    ],
    ids=["not allowed", "not found", "invalid"],
)
def test_a_rejected_change_is_recorded_with_its_answer(api: ApiDouble, sent: dict[str, str], status: int) -> None:
    reply = api.request("POST", sent.pop("path"), **sent)
    assert (reply.status, recorded(api)) == (status, ["audit.record"])
    assert answer_of(api).result is AuditResult.REJECTED
    assert request_of(api).username == (USER if status == 403 else ADMIN).username


@pytest.mark.parametrize(
    ("sent", "status", "entries"),
    [
        ({"path": "machines/wdpx3n/", "query": "dry_run=true&unknown=1"}, 400, []),
        ({"path": "machines/wdpx3n/", "query": "dry_run=perhaps"}, 400, ["audit.record"]),
        ({"path": "machines/wdpx3n/", "query": "dry_run=false&unknown=1"}, 400, ["audit.record"]),
        ({"path": "vm-hosts/4/", "query": "dry_run=true", "key": USER_KEY}, 403, ["audit.record"]),
    ],
    ids=["rejected dry run", "no value", "no dry run", "not allowed"],
)
def test_a_rejected_dry_run_is_recorded_only_for_its_right(
    api: ApiDouble, sent: dict[str, Any], status: int, entries: list[str]
) -> None:
    reply = api.request("DELETE", sent.pop("path"), **sent)
    assert (reply.status, recorded(api)) == (status, entries)


def test_wrong_credentials_are_recorded_also_for_reading(api: ApiDouble) -> None:
    api.answers["accounts.authenticate"] = NotAllowed("User is not allowed access to this API.")
    assert api.request("GET", "machines/").status == 403
    assert (request_of(api).username, request_of(api).credential) == (None, "API key admintoken")


def test_an_unsigned_request_is_not_recorded(api: ApiDouble) -> None:
    assert api.request("POST", "zones/", key=None).status == 401
    assert recorded(api) == []


def test_a_login_is_recorded_without_the_password(api: ApiDouble) -> None:
    api.answers["logins.log_in"] = NotAuthenticated("Wrong.", account="ada")
    form = {"username": "ada", "password": "hunter2"}
    api.request("POST", "accounts/authenticate/", form=form, key=None)
    assert request_of(api).fields == {"username": "ada", "password": "(not recorded)"}
    assert answer_of(api).status == 401


def test_a_password_typed_as_user_name_is_not_recorded(api: ApiDouble) -> None:
    api.answers["logins.log_in"] = NotAuthenticated("Wrong.")
    api.request("POST", "accounts/authenticate/", form={"username": "hunter2", "password": "x"}, key=None)
    assert request_of(api).fields == {"username": "(not recorded)", "password": "(not recorded)"}


def test_a_login_that_cannot_be_recorded_shows_no_key(api: ApiDouble) -> None:
    form = {"username": "ada", "password": "hunter2"}
    reply = api.request("POST", "accounts/authenticate/", form=form, key=None)
    assert (reply.status, request_of(api).username) == (200, "ada")
    api.answers["audit.begin"] = DatabaseUnavailable("The database does not respond.")
    reply = api.request("POST", "accounts/authenticate/", form=form, key=None)
    assert (reply.status, b"secret" in reply.body) == (503, False)


def test_what_cannot_be_recorded_is_not_executed(api: ApiDouble) -> None:
    api.answers["audit.begin"] = DatabaseUnavailable("The database does not respond.")
    assert api.request("POST", "machines/wdpx3n/", op="lock").status == 503
    assert "ownership.set_locked" not in [call.name for call in api.calls]


def test_every_change_of_an_account_is_audited() -> None:
    unaudited = {
        endpoint.title for resource in SERVED for endpoint in resource.endpoints
        if endpoint.method != "GET" and not endpoint.audited
    }  # fmt: skip
    assert unaudited == {
        "Report that a machine has booted",  # by a guest: the event of the deployment says it
        "Report that a hypervisor was set up",  # the same
        "Power a registered machine on or off",  # by a MAAS server: recorded as of that, with the machine
        "Show where a machine would be placed",  # a dry run
        "Add a part to the upload of a file of a VM",  # as below
        "Add a part to an upload",  # the declaration and the end are recorded
    }
    open_changes = {
        resource.handler for resource in SERVED for endpoint in resource.endpoints
        if endpoint.audited and endpoint.permission is Permission.ANYONE
    }  # fmt: skip
    assert open_changes == {"AuthenticateHandler"}
