"""Request bodies as clients send them, and malformed ones."""

from __future__ import annotations

import base64
import json
import random
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.api.pipeline.request import MAX_BODY_BYTES, MAX_ESCAPES, read_body, read_query

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"
BASE64 = "Content-Transfer-Encoding: base64"


def part(name: str, content: bytes, *headers: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"', *headers]
    return b"--B\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def values(content_type: str | None, body: bytes) -> dict[str, list[Any]]:
    return {name: list(given) for name, given in read_body(content_type, body).values.items()}


def rejection(content_type: str | None, body: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_body(content_type, body)
    assert not caught.value.fields
    return caught.value.message


def test_a_form_is_the_default() -> None:
    body = b"cores=4&tag=a&tag=b&empty=&name=a+b%26c"
    expected = {"cores": ["4"], "tag": ["a", "b"], "empty": [""], "name": ["a b&c"]}
    assert values(None, body) == values(FORM, body) == values(f"{FORM}; charset=UTF-8", body) == expected


def test_base64_parts_of_libmaas_and_the_maas_cli_are_decoded() -> None:
    name = part("name", base64.encodebytes("hv-ö".encode()), BASE64, 'Content-Type: text/plain; charset="utf-8"')
    cores = part("cores", base64.b64encode(b"4"), BASE64, "Content-Type: application/octet-stream")
    assert values(MULTIPART, name + cores + b"--B--\r\n") == {"name": ["hv-ö"], "cores": ["4"]}


def test_the_multipart_form_of_ansible_is_parsed() -> None:
    body = part("a", b"1") + part("a", b"True") + b"--B--"
    assert values('multipart/form-data; boundary="B"', body) == {"a": ["1", "True"]}


@pytest.mark.parametrize(
    "body", [b"--B--", b"--B--\r\n", b"--B\r\n\r\n--B--\r\n", b"--B\r\n\r\n--B--", b"", b"--B\n\n--B--\n"]
)
def test_a_multipart_body_may_be_empty(body: bytes) -> None:
    assert values(MULTIPART, body) == {}


def test_a_part_with_a_file_name_is_not_a_field() -> None:
    file = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\ndata\r\n'
    assert values(MULTIPART, file + part("a", b"1") + b"--B--\r\n") == {"a": ["1"]}


def test_files_and_data_are_received_unchanged() -> None:
    data = bytes(range(256)) * 4
    for headers, sent in (("", data), (f"{BASE64}\r\n", base64.encodebytes(data))):
        head = f'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n{headers}\r\n'
        assert read_body(MULTIPART, head.encode() + sent + b"\r\n--B--\r\n").files == {"f": data}
    found = read_body("application/octet-stream", data)
    assert (found.content, found.values) == (data, {})


def test_json_is_one_object_whose_arrays_are_lists() -> None:
    body = json.dumps({"cores": 4, "pinned_cores": [1, 2], "name": None, "op": "x"}).encode()
    expected = {"cores": [4], "pinned_cores": [1, 2], "name": [None], "op": ["x"]}
    assert values("application/json; charset=utf-8", body) == expected
    assert read_body("application/json", body).op is None
    assert values("application/json", b"") == {}


def test_the_op_and_signature_of_a_form_are_not_values() -> None:
    found = read_body(FORM, b"op=refresh&oauth_token=t&a=1")
    assert (found.op, found.signature, dict(found.values)) == ("refresh", [("oauth_token", "t")], {"a": ["1"]})


def test_a_form_of_escapes_is_rejected_before_it_is_decoded() -> None:
    """Decoding 4 MiB of them takes the region 0.7 s and 240 MiB."""
    assert rejection(FORM, b"name=" + b"%41" * (MAX_ESCAPES + 1)) == (
        f"Bad Request: the form has {MAX_ESCAPES + 1} percent signs; the limit is {MAX_ESCAPES}. "
        "Use multipart/form-data."
    )


def test_a_form_of_base64_may_fill_the_largest_body() -> None:
    data = random.Random(1).randbytes((MAX_BODY_BYTES - 200_000) * 3 // 4)  # noqa: S311  # repeatable, no secret
    body = urlencode({"user_data": base64.b64encode(data)}).encode()
    assert MAX_BODY_BYTES - 100_000 < len(body) < MAX_BODY_BYTES + 200_000
    assert values(FORM, body) == {"user_data": [base64.b64encode(data).decode()]}


def test_bodies_of_other_types_are_ignored() -> None:
    assert values("text/plain", b"cores=4") == {}
    assert values("application/octet-stream", b"\xff") == {}


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (FORM, b"\xff", "not valid utf-8"),
        (FORM, b"a=%ff", "not valid UTF-8"),
        (f"{FORM}; charset=hex", b"61", "charset"),
        (FORM, b"a&" * 3000, "more than"),
        ("application/json", b"{", "malformed JSON"),
        ("application/json", b"[1]", "not an object"),
        ("application/json", b'{"a": NaN}', "NaN"),
        ("application/json", b'{"a": ' + b"9" * 5000 + b"}", "cannot be parsed"),
        ("application/json", b"[" * 90_000, "cannot be parsed"),
        ("application/json", b'{"a": [' + b"[]," * 100_000 + b"1]}", "the limit is 100000"),
        ("application/json", json.dumps(dict.fromkeys(map(str, range(2001)), 1)).encode(), "more than 2000 parameters"),
        ("application/json", '{"a": "é"}'.encode("latin-1"), "not valid utf-8"),
        ("multipart/form-data", b"--B--", "boundary"),
        (MULTIPART, b"nonsense", "malformed"),
        (MULTIPART, part("a", b"1"), "malformed"),
        (MULTIPART, part("a", b"!", BASE64) + b"--B--", "base64"),
        (MULTIPART, part("a", b"!", "Content-Transfer-Encoding: rot13") + b"--B--", "rot13"),
        (MULTIPART, part("a", b"\xff") + b"--B--", "not valid utf-8"),
        (MULTIPART, part("a", b"1", "Content-Type: text/plain; charset=zip") + b"--B--", "charset"),
    ],
)
def test_bodies_that_do_not_match_their_type_are_rejected(content_type: str, body: bytes, expected: str) -> None:
    message = rejection(content_type, body)
    assert expected in message
    assert message.startswith("Bad Request")


TYPES = st.sampled_from([None, FORM, MULTIPART, "application/json", "multipart/form-data", "text/plain"]) | st.text()
PIECES = st.sampled_from(
    [
        *(b"--B", b"--B--", b"\r\n", b"\n", b'"a"', b"YQ==", b"a=1&", b"%", b"\xff"),
        *(b"{", b"}", b'"', b":", b"[", b"1"),
        *(b"Content-Disposition: form-data; name=", b"Content-Type: text/plain", b"; charset=", BASE64.encode()),
    ]
)


@given(TYPES, st.binary() | st.lists(PIECES, max_size=30).map(b"".join))
def test_any_body_is_parsed_or_rejected(content_type: str | None, body: bytes) -> None:
    try:
        found = read_body(content_type, body)
    except InvalidRequest as caught:
        caught.message.encode()
    else:
        assert all(isinstance(name, str) for name in found.values)


@given(st.text(st.characters(codec="utf-8")) | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_query_is_parsed_or_rejected(text: str) -> None:
    try:
        read_query(text)
    except InvalidRequest as caught:
        caught.message.encode()


@given(
    st.dictionaries(
        st.text("abc_", min_size=1), st.text(st.characters(codec="utf-8", exclude_characters="\r\n")), max_size=5
    )
)
def test_every_multipart_value_is_received_unchanged(sent: dict[str, str]) -> None:
    parts = [part(name, base64.encodebytes(value.encode()), BASE64) for name, value in sent.items()]
    found = values(MULTIPART, b"".join(parts) + b"--B--\r\n")
    assert found == {name: [value] for name, value in sent.items()}
