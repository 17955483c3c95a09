"""`files/` as clients use it: multipart forms, raw contents, and keys that need no account."""

from __future__ import annotations

import pytest

from common.errors import NotFound
from tests.unit.support.api_double import ApiDouble, json_of
from tests.unit.support.api_samples import FILE

BOUNDARY = "xYzZy"


def multipart(*parts: tuple[str, bytes]) -> dict[str, object]:
    """The body of a form of these headers and contents."""
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + content + b"\r\n"
        for name, content in parts
    )
    return {"body": body + f"--{BOUNDARY}--\r\n".encode(), "content_type": f"multipart/form-data; boundary={BOUNDARY}"}


NAMED = ('name="filename"', b"provider-state")


@pytest.mark.parametrize("part", ["file", "provider-state"], ids=["as MAAS documents it", "under another name"])
def test_a_file_is_stored_byte_for_byte(api: ApiDouble, part: str) -> None:
    reply = api.request(
        "POST", "files/", **multipart(NAMED, (f'name="{part}"; filename="{part}"', b"\x00\xffjuju\r\n"))
    )
    assert (reply.status, json_of(reply)["filename"]) == (201, "provider-state")
    assert api.call("files.write").args[1:] == ("provider-state", b"\x00\xffjuju\r\n")


def test_an_empty_file_is_a_file_but_none_is_an_error(api: ApiDouble) -> None:
    assert api.request("POST", "files/", **multipart(NAMED, ('name="file"; filename="f"', b""))).status == 201
    assert api.call("files.write").args[2] == b""
    rejected = api.request("POST", "files/", **multipart(NAMED))
    assert (rejected.status, json_of(rejected)) == (400, {"file": ["This field is required."]})


def test_a_file_has_its_content_in_base64(api: ApiDouble) -> None:
    found = api.json("GET", "files/provider-state/")
    assert (found["content"], found["resource_uri"]) == ("anVqdf8=", "/MAAS/api/2.0/files/provider-state/")
    assert found["anon_resource_uri"] == "/MAAS/api/2.0/files/?op=get_by_key&key=0f1e2d3c"
    (listed,) = api.json("GET", "files/", form={"prefix": "pro"})
    assert "content" not in listed
    assert api.call("files.list").args[1] == "pro"


def test_a_missing_file_is_404_as_text(api: ApiDouble) -> None:
    reply = api.request("GET", "files/other/")
    assert (reply.status, reply.content_type) == (404, "text/plain; charset=utf-8")


def test_the_content_alone_is_data(api: ApiDouble) -> None:
    reply = api.request("GET", "files/", query=f"op=get&filename={FILE.filename}")
    assert (reply.status, reply.body, reply.content_type) == (200, b"juju\xff", "application/octet-stream")


def test_only_a_read_by_key_needs_no_account(api: ApiDouble) -> None:
    assert api.request("GET", "files/", query="op=get_by_key&key=0f1e2d3c", key=None).body == b"juju\xff"
    assert api.request("GET", "files/", query="op=get_by_key&key=0f1e2d3c").status == 200
    for query in ("", "op=get&filename=provider-state", "key=0f1e2d3c"):
        assert api.request("GET", "files/", query=query, key=None).status == 401
    assert api.request("POST", "files/", query="op=get_by_key", key=None).status == 401
    api.answers["files.read_by_key"] = NotFound("No file has this key.")
    assert api.request("GET", "files/", query="op=get_by_key&key=x", key=None).status == 404
