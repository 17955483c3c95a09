"""Requests with `dry_run`: an endpoint has a dry run, or it refuses the request. None makes the change."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.api.declaration.endpoint import Endpoint, Resource
from tests.unit.support.api_double import ApiDouble, json_of
from tests.unit.support.good_requests import ENDPOINTS, READS, good_fields, name_of, path_of, request

CHANGES = [one for one in ENDPOINTS if one[1].changes]
WITHOUT = [one for one in CHANGES if not one[1].has_dry_run]
WITH = [one for one in CHANGES if one[1].has_dry_run]
without_dry_run = pytest.mark.parametrize(("resource", "endpoint"), WITHOUT, ids=[name_of(*one) for one in WITHOUT])
with_dry_run = pytest.mark.parametrize(("resource", "endpoint"), WITH, ids=[name_of(*one) for one in WITH])
each_change = pytest.mark.parametrize(("resource", "endpoint"), CHANGES, ids=[name_of(*one) for one in CHANGES])
TRUE = ("true", "True", "1", "yes", "on", "t", "Y", " true ")
NOT_CLEAR = ("", "perhaps", "2", "tru", "--", ["true", "false"], ["false", "true"])
OTHER_NAMES = ("dry-run", "dryrun", "Dry_Run", "DRYRUN", "dry_run[]")
LOOKUPS = READS | {"hosts.capacities", "hosts.check_removal", "hosts.removal_certificates"}


def refused(api: ApiDouble, resource: Resource, endpoint: Endpoint, name: str, value: object) -> None:
    reply = request(api, resource, endpoint, **{name: value})
    assert reply.status == 400, reply
    assert "othing was done" in str(json_of(reply)[name])
    assert {call.name for call in api.done()} <= READS


@without_dry_run
def test_a_change_without_dry_run_refuses_every_spelling_of_one(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    for value in (*TRUE, *NOT_CLEAR):
        refused(api, resource, endpoint, "dry_run", value)
    for name in OTHER_NAMES:
        refused(api, resource, endpoint, name, "true")


@with_dry_run
def test_a_change_with_dry_run_refuses_what_is_not_clear(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    for value in NOT_CLEAR:
        reply = request(api, resource, endpoint, dry_run=value)
        assert (reply.status, json_of(reply)["dry_run"]) == (400, [json_of(reply)["dry_run"][0]]), reply
    for name in OTHER_NAMES:
        refused(api, resource, endpoint, name, "true")
    assert {call.name for call in api.done()} <= READS


@each_change
def test_a_dry_run_changes_nothing_wherever_it_is_sent(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    if not endpoint.has_fields_in_body:
        return
    op = [] if endpoint.op is None else [("op", endpoint.op)]
    query = "&".join(f"{name}={value}" for name, value in (*op, ("dry_run", "true")))
    reply = api.request(endpoint.method, path_of(resource, endpoint), query=query, form=good_fields(endpoint))
    assert reply.status == 400, reply
    assert "dry_run" in json_of(reply)
    assert {call.name for call in api.done()} <= READS


@with_dry_run
def test_every_dry_run_only_plans(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    for value in TRUE:
        reply = request(api, resource, endpoint, dry_run=value)
        assert reply.status in {200, 409}, reply
    for call in api.done():
        only_plans = "plan" in call.name or call.name.endswith(".dry_run") or call.named.get("dry_run") is True
        assert only_plans or call.name in LOOKUPS, call.name


@each_change
def test_no_dry_run_is_the_change_itself(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    if endpoint.rejects_unknown_fields and not endpoint.has_dry_run:
        return
    reply = request(api, resource, endpoint, dry_run="false")
    assert reply.status == endpoint.success, reply


@pytest.mark.parametrize("value", [True, 1, "true", ["true"], [True], {"yes": True}, [[]], 1.0])
def test_a_dry_run_in_json_is_refused_alike(api: ApiDouble, value: Any) -> None:
    problems = api.rejected("POST", "machines/wdpx3n/", op="lock", document={"dry_run": value})
    assert list(problems) == ["dry_run"]


def test_a_file_named_dry_run_is_refused(api: ApiDouble) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="dry_run"; filename="a"\r\n\r\ntrue\r\n--x--\r\n'
    for op in ("lock", "release"):
        reply = api.request(
            "POST", "machines/wdpx3n/", op=op, body=body, content_type="multipart/form-data; boundary=x"
        )
        assert (reply.status, list(json_of(reply))) == (400, ["dry_run"])
    assert not api.done()


def test_the_refusal_says_what_to_do(api: ApiDouble) -> None:
    assert api.rejected("POST", "machines/wdpx3n/", op="lock", form={"dry_run": "yes"}) == {
        "dry_run": ["This request has no dry run, so nothing was done. To carry it out, send it without dry_run."]
    }
    assert api.rejected("DELETE", "machines/wdpx3n/", form={"dry-run": "1"}) == {
        "dry-run": ["The name of this field is dry_run. Nothing was done."]
    }
