"""`ETag`, `If-None-Match` and `If-Match`."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from regiond.api.compression import compressed
from regiond.api.declaration.lists import identity_key
from regiond.api.description.openapi_responses import can_be_conditional
from regiond.api.etags import matches, tagged
from regiond.api.pipeline.change_locks import read_of
from regiond.api.replies import Reply
from regiond.api.resources.registry import SERVED
from regiond.hosts.model import HostView
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.host_samples import HOST


def etag(api: ApiDouble, path: str) -> str:
    reply = api.request("GET", path)
    assert reply.status == 200
    return reply.headers["ETag"]


def test_a_single_read_has_a_strong_tag_of_its_answer() -> None:
    api = ApiDouble()
    assert etag(api, "vm-hosts/4/") == etag(api, "vm-hosts/4/") != etag(api, "machines/wdpx3n/")
    assert "ETag" not in api.request("GET", "vm-hosts/").headers
    assert not etag(api, "vm-hosts/4/").startswith("W/")


def test_a_client_that_has_the_answer_gets_304() -> None:
    api = ApiDouble()
    known = etag(api, "vm-hosts/4/")
    for header in (known, f'"other", W/{known}', "*", known[:-1] + '-gzip"'):
        reply = api.request("GET", "vm-hosts/4/", if_none_match=header)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", known)
    assert api.request("GET", "vm-hosts/4/", if_none_match='"other"').status == 200


@pytest.mark.parametrize(
    ("method", "path", "op"),
    [
        ("PUT", "vm-hosts/4/", None),
        ("DELETE", "vm-hosts/4/", None),
        ("PUT", "zones/default/", None),
        ("POST", "machines/wdpx3n/", "lock"),
        ("POST", "vm-hosts/4/", "refresh"),
    ],
)
def test_a_change_of_a_version_that_is_no_more_is_412(method: str, path: str, op: str | None) -> None:
    api = ApiDouble()
    reply = api.request(method, path, op=op, form={}, if_match='"other"')
    assert (reply.status, reply.headers["ETag"]) == (412, etag(api, path))
    assert b"changed since it was read" in reply.body
    assert api.done() == []


@pytest.mark.parametrize("known", ["the tag", "*"])
def test_a_change_of_the_version_that_was_read_is_made(known: str) -> None:
    api = ApiDouble()
    header = etag(api, "vm-hosts/4/") if known == "the tag" else known
    assert api.request("PUT", "vm-hosts/4/", form={"name": "hv-02"}, if_match=header).status == 200
    header = etag(api, "machines/wdpx3n/") if known == "the tag" else known
    assert api.request("POST", "machines/wdpx3n/", op="lock", if_match=header).status == 200
    assert [call.name for call in api.done()] == ["hosts.update", "ownership.set_locked"]


@pytest.mark.parametrize(("path", "op"), [("zones/", None), ("machines/", "allocate"), ("account/", "change_password")])
def test_a_change_where_no_object_has_a_tag_says_so(path: str, op: str | None) -> None:
    api = ApiDouble()
    passwords = {"current_password": "quiet-lantern-78-fjord", "password": "vault-orbit-kettle-91"}
    form = passwords if op == "change_password" else {"name": "east"}
    reply = api.request("POST", path, op=op, form=form, if_match="*")
    assert reply.status == 412
    assert b"not that of one object with an ETag" in reply.body
    assert api.done() == []


@pytest.mark.parametrize("second", ["pods/4/", "vm-hosts/hv-01/", "vm-hosts/id:4/"])
async def test_of_two_changes_of_one_version_the_second_is_412(second: str) -> None:
    api = ApiDouble()
    read = await api.send("GET", "vm-hosts/4/")
    is_under_way, may_end = asyncio.Event(), asyncio.Event()
    current = HOST

    async def host(*_: object) -> HostView:
        return current

    async def update(*_: object) -> HostView:
        nonlocal current
        is_under_way.set()
        await may_end.wait()
        current = evolve(HOST, name="hv-02")
        return current

    api.answers.update({"hosts.read": host, "hosts.update": update})
    changes = [
        asyncio.ensure_future(
            api.send("PUT", path, form={"name": "hv-02"}, if_match=read.headers["ETag"], sent_path=f"/MAAS//{path}")
        )
        for path in ("vm-hosts/4/", second)
    ]
    await is_under_way.wait()
    may_end.set()
    assert [reply.status for reply in await asyncio.gather(*changes)] == [200, 412]


def test_every_object_with_conditional_changes_has_an_identity() -> None:
    for resource in SERVED:
        read = read_of(resource)
        if read is not None and any(can_be_conditional(resource, one) for one in resource.endpoints):
            assert read.result.schema is not None
            assert identity_key(read.result.schema), resource.handler


def test_an_unknown_object_is_404_whatever_was_read() -> None:
    assert ApiDouble().request("PUT", "vm-hosts/99/", form={}, if_match="*").status == 404


def test_a_compressed_answer_has_a_tag_of_its_own() -> None:
    reply = tagged(Reply(status=200, body=b"x" * 10_000), None)
    packed = compressed(reply)
    assert packed.headers["ETag"] != reply.headers["ETag"]
    assert matches(packed.headers["ETag"], reply.headers["ETag"])
