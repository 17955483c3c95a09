"""A request with an idempotency key runs once; its repeats get the first answer."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, evolve, frozen

from common.errors import DatabaseUnavailable, NotFound, WrongState
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.replies import Reply
from regiond.api.services import Services
from regiond.groups.service import Groups as GroupService
from regiond.operations.idempotency.model import MAX_ANSWER_BYTES, StoredKey
from regiond.requests.caller import Caller, Permission
from tests.doubles.signatures import in_place_of
from tests.unit.support.api_double import ApiDouble, ServiceCall
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.good_requests import ENDPOINTS, good_fields, name_of, path_of, with_op

REPLAYED = "Idempotency-Replayed"
WRITES = [one for one in ENDPOINTS if one[1].changes]
OF_ACCOUNTS = [one for one in WRITES if one[1].permission is not Permission.ANYONE]
OF_ANYONE = [one for one in WRITES if one[1].permission is Permission.ANYONE]
READS_ONLY = {"BlockDeviceHandler.update", "RackHandler.update", "TagHandler.rebuild"}  # without a field; always
TAG = {"name": "fast", "comment": "has a GPU"}


def keyed(api: ApiDouble, resource: Resource, endpoint: Endpoint, **changes: object) -> Reply:
    form = with_op(endpoint, {**good_fields(endpoint), **changes})
    return api.request(endpoint.method, path_of(resource, endpoint), op=endpoint.op, form=form, idempotency_key="k")


def change_tag(api: ApiDouble, **sent: Any) -> Reply:
    return api.request("PUT", "tags/virtual/", **{"form": TAG, "idempotency_key": "k", **sent})


def without_reads(api: ApiDouble) -> list[ServiceCall]:
    """The object of the path is read again, for the permission of the repeat."""
    return [one for one in api.done() if not one.name.endswith((".read", ".list"))]


def changes_of(api: ApiDouble) -> int:
    return [one.name for one in api.calls].count("tags.update")


@pytest.mark.parametrize(("resource", "endpoint"), OF_ACCOUNTS, ids=[name_of(*one) for one in OF_ACCOUNTS])
def test_a_repeat_of_any_change_runs_nothing_and_gets_its_answer(
    api: ApiDouble, resource: Resource, endpoint: Endpoint
) -> None:
    first = keyed(api, resource, endpoint)
    done = without_reads(api)
    assert (200 <= first.status < 300, REPLAYED in first.headers) == (True, False), first
    assert done or name_of(resource, endpoint) in READS_ONLY
    again = keyed(api, resource, endpoint)
    assert without_reads(api) == done
    assert again == evolve(first, headers={**first.headers, REPLAYED: "true"})


@pytest.mark.parametrize(("resource", "endpoint"), OF_ANYONE, ids=[name_of(*one) for one in OF_ANYONE])
def test_a_change_without_an_account_rejects_the_header(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    reply = keyed(api, resource, endpoint)
    assert (reply.status, api.done()) == (400, [])
    assert b"Idempotency-Key: a key belongs to an account" in reply.body


@pytest.mark.parametrize(
    "another",
    [
        ("PUT", "tags/virtual/", {"form": {**TAG, "comment": "has none"}}),
        ("PUT", "tags/virtual/", {"form": TAG, "query": "comment=2"}),
        ("PUT", "zones/default/", {"form": TAG}),
        ("DELETE", "tags/virtual/", {}),
        ("POST", "tags/virtual/", {"op": "update_nodes", "form": {"add": "wdpx3n"}}),
        ("POST", "vm-hosts/4/", {"op": "compose"}),
        ("PUT", "boot-resources/1000/upload/1000/", {}),
    ],
)
def test_another_request_with_the_key_is_422(api: ApiDouble, another: tuple[str, str, dict[str, Any]]) -> None:
    method, path, sent = another
    assert change_tag(api).status == 200
    done = api.done()
    assert (api.request(method, path, idempotency_key="k", **sent).status, api.done()) == (422, done)


@pytest.mark.parametrize(("first", "second"), [("lock", "unlock"), ("power_on", "lock")])
def test_another_operation_of_the_same_path_is_another_request(api: ApiDouble, first: str, second: str) -> None:
    statuses = [api.request("POST", "machines/wdpx3n/", op=op, idempotency_key="k").status for op in (first, second)]
    assert statuses == [200, 422]


@pytest.mark.parametrize(("first", "second"), [("PUT", "DELETE"), ("DELETE", "PUT")])
def test_another_method_is_another_request(api: ApiDouble, first: str, second: str) -> None:
    """Without fields, only the method differs."""
    statuses = [api.request(method, "zones/default/", idempotency_key="k").status for method in (first, second)]
    assert statuses[1] == 422


def test_a_request_that_opened_an_operation_keeps_the_key_from_others(api: ApiDouble) -> None:
    assert api.request("POST", "vm-hosts/4/", op="compose", form={}, idempotency_key="k").status == 200
    assert (change_tag(api).status, changes_of(api)) == (422, 0)


@pytest.mark.parametrize("content", [b"part", b"another part"])
def test_the_content_of_an_upload_belongs_to_the_request(api: ApiDouble, content: bytes) -> None:
    path = "boot-resources/1000/upload/1000/"
    assert api.request("PUT", path, idempotency_key="k").status == 200  # b"part"
    assert api.request("PUT", path, idempotency_key="k", body=content).status == (200 if content == b"part" else 422)


def test_the_content_of_a_file_belongs_to_the_request(api: ApiDouble) -> None:
    def store(content: str) -> int:
        part = 'Content-Disposition: form-data; name="{}"; filename="x"\r\n\r\n{}\r\n'
        name = 'Content-Disposition: form-data; name="filename"\r\n\r\nstate\r\n'
        body = f"--b\r\n{name}--b\r\n{part.format('file', content)}--b--\r\n".encode()
        kind = "multipart/form-data; boundary=b"
        return api.request("POST", "files/", body=body, content_type=kind, idempotency_key="k").status

    assert (store("one"), store("one"), store("two")) == (201, 201, 422)


def test_the_order_of_fields_does_not_matter(api: ApiDouble) -> None:
    change_tag(api)
    again = change_tag(api, form=dict(reversed(TAG.items())))
    assert (again.headers[REPLAYED], changes_of(api)) == ("true", 1)


def test_keys_of_two_accounts_are_two_keys(api: ApiDouble) -> None:
    change_tag(api)
    api.answers["accounts.authenticate"] = evolve(ADMIN, account_id=ADMIN.account_id + 1)
    assert (REPLAYED in change_tag(api).headers, changes_of(api)) == (False, 2)


def test_an_error_releases_the_key(api: ApiDouble) -> None:
    before = api.answers["tags.update"]
    api.answers["tags.update"] = WrongState("not now")
    assert change_tag(api).status == 409
    api.answers["tags.update"] = before
    assert (change_tag(api).status, changes_of(api)) == (200, 2)


def test_a_request_with_invalid_fields_releases_the_key(api: ApiDouble) -> None:
    assert change_tag(api, form={"name": "no tag at all"}).status == 400
    assert change_tag(api).status == 200


@pytest.mark.parametrize("error", [DatabaseUnavailable("connection lost"), ZeroDivisionError()])
def test_nothing_runs_again_after_an_error_that_leaves_the_result_open(api: ApiDouble, error: Exception) -> None:
    before = api.answers["tags.update"]
    api.answers["tags.update"] = error
    assert change_tag(api).status >= 500
    api.answers["tags.update"] = before
    assert (change_tag(api).status, changes_of(api)) == (409, 1)


def test_a_repeat_of_a_running_request_is_409_with_retry_after(api: ApiDouble) -> None:
    change_tag(api)
    ((place, stored),) = api.keys.stored.items()
    api.keys.stored[place] = StoredKey(digest=stored.digest)
    reply = change_tag(api)
    assert (reply.status, reply.headers["Retry-After"], changes_of(api)) == (409, "2", 1)


def test_a_repeat_after_a_long_answer_is_409(api: ApiDouble) -> None:
    api.answers["tags.update"] = evolve(api.answers["tags.update"], comment="a" * MAX_ANSWER_BYTES)
    assert (change_tag(api).status, change_tag(api).status, changes_of(api)) == (200, 409, 1)


def test_who_lost_the_role_does_not_get_the_kept_answer(api: ApiDouble) -> None:
    change_tag(api)
    api.answers["accounts.authenticate"] = evolve(ADMIN, is_admin=False)
    assert change_tag(api).status == 403


@frozen
class HiddenPool:
    """The resource pool exists, and only the region itself may see it."""

    found: Any

    async def pool(self, id_or_name: str, *, caller: Caller | None) -> Any:
        if caller is not None:
            raise NotFound(f"no pool {id_or_name}")
        return self.found


@define(kw_only=True)
class ApiOfHiddenPool(ApiDouble):
    def services(self) -> Services:
        groups = in_place_of(GroupService, HiddenPool(self.answers["groups.pools"][0]))
        return evolve(super().services(), groups=groups)


def test_who_may_no_longer_see_the_object_does_not_get_the_kept_answer(api: ApiDouble) -> None:
    request: dict[str, Any] = {"method": "PUT", "path": "resourcepool/0/", "form": {"name": "dev"}}
    assert api.request(**request, idempotency_key="k").status == 200
    reply = ApiOfHiddenPool(keys=api.keys).request(**request, idempotency_key="k")
    assert (reply.status, REPLAYED in reply.headers) == (404, False)


def test_the_answer_is_kept_after_the_object_is_gone(api: ApiDouble) -> None:
    first = api.request("DELETE", "tags/virtual/", idempotency_key="k")
    api.answers["tags.read"] = NotFound("no such tag")
    again = api.request("DELETE", "tags/virtual/", idempotency_key="k")
    assert (first.status, again.status, again.headers[REPLAYED]) == (204, 204, "true")


def test_a_repeat_comes_before_if_match(api: ApiDouble) -> None:
    tag = api.request("GET", "tags/virtual/").headers["ETag"]
    assert change_tag(api, if_match=tag).status == 200
    api.answers["tags.read"] = evolve(api.answers["tags.update"], comment="changed by the first")
    assert (change_tag(api, if_match=tag).status, changes_of(api)) == (200, 1)
    assert change_tag(api, if_match=tag, idempotency_key="another").status == 412


@pytest.mark.parametrize(
    ("method", "path", "op", "form"),
    [
        ("GET", "tags/virtual/", None, {}),
        ("DELETE", "tags/virtual/", None, {"dry_run": "true"}),
        ("POST", "vm-hosts/", "place", {}),
    ],
)
def test_what_changes_nothing_ignores_the_key(
    api: ApiDouble, method: str, path: str, op: str | None, form: dict[str, str]
) -> None:
    replies = [api.request(method, path, op=op, form=form, idempotency_key="k") for _ in range(2)]
    assert [(one.status, REPLAYED in one.headers) for one in replies] == [(200, False)] * 2
    assert api.keys.stored == {}


def test_a_repeat_is_in_the_audit_trail_as_one(api: ApiDouble) -> None:
    change_tag(api)
    change_tag(api)
    first, again = [one.args[0] for one in api.calls if one.name == "audit.begin"]
    assert again.fields == {**first.fields, "(repeated request)": "yes"}
