"""`ETag`, `If-None-Match` and `If-Match`."""

from __future__ import annotations

import pytest

from regiond.api.compression import compressed
from regiond.api.etags import matches, tagged
from regiond.api.replies import Reply
from tests.unit.api_double import ApiDouble


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
    ("method", "path"), [("PUT", "vm-hosts/4/"), ("DELETE", "vm-hosts/4/"), ("PUT", "zones/default/")]
)
def test_a_change_of_a_version_that_is_no_more_is_412(method: str, path: str) -> None:
    api = ApiDouble()
    reply = api.request(method, path, form={}, if_match='"other"')
    assert (reply.status, reply.headers["ETag"]) == (412, etag(api, path))
    assert b"changed since it was read" in reply.body
    assert api.done() == []


@pytest.mark.parametrize("known", ["the tag", "*"])
def test_a_change_of_the_version_that_was_read_is_made(known: str) -> None:
    api = ApiDouble()
    header = etag(api, "vm-hosts/4/") if known == "the tag" else known
    assert api.request("PUT", "vm-hosts/4/", form={"name": "hv-02"}, if_match=header).status == 200
    assert [call.name for call in api.done()] == ["hosts.update"]


def test_an_unknown_object_is_404_whatever_was_read() -> None:
    assert ApiDouble().request("PUT", "vm-hosts/99/", form={}, if_match="*").status == 404


def test_a_compressed_answer_has_a_tag_of_its_own() -> None:
    reply = tagged(Reply(status=200, body=b"x" * 10_000), None)
    packed = compressed(reply)
    assert packed.headers["ETag"] != reply.headers["ETag"]
    assert matches(packed.headers["ETag"], reply.headers["ETag"])
