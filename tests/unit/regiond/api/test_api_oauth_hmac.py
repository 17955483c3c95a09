"""Signatures with HMAC-SHA1: the base string, and requests that are signed so."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import oauthlib.oauth1
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth1.rfc5849 import signature as oauthlib_signature

from common.errors import NotAuthenticated
from regiond.accounts.model import SignatureMethod
from regiond.api.pipeline.authentication import NonceWindow
from regiond.api.pipeline.oauth_hmac import base_string, digest, signed_parameters
from regiond.api.pipeline.signed_request import MAX_SIGNED_FORM_BYTES, Signature
from regiond.api.replies import Reply
from tests.unit.answers.accounts import ADMIN_KEY, SIGNING_KEY
from tests.unit.support.api_double import NOW_S, ApiDouble

ORIGIN = "http://region:5240"
FORM = "application/x-www-form-urlencoded"
HEADER = (
    'OAuth realm="Example", oauth_consumer_key="9djdj82h48djs9d2", oauth_token="kkk9d7dh3k39sjv7", '
    'oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131201", oauth_nonce="7d8f3e4a", '
    'oauth_signature="bYT5CMsGcbgUdFHObYMEfcx6bsw%3D"'
)


def test_the_base_string_is_that_of_the_example_of_rfc_5849() -> None:
    query, form = [("b5", "=%3D"), ("a3", "a"), ("c@", ""), ("a2", "r b")], [("c2", ""), ("a3", "2 q")]
    text = base_string("POST", "http://example.com/request", signed_parameters(HEADER, query, form) or ())
    assert text == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D"
        "%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-"
        "SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Region:80/a/?b=c#d", "http://region/a/"),
        ("https://region:443/", "https://region/"),
        ("http://region:443", "http://region:443/"),
        ("http://[2001:DB8::1]:5240/MAAS//api/", "http://[2001:db8::1]:5240/MAAS//api/"),
    ],
)
def test_the_url_is_signed_without_a_default_port_and_query(url: str, expected: str) -> None:
    assert base_string("GET", url, ()) == f"GET&{quote(expected, safe='')}&"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text("abcXYZ019", min_size=1))
def test_the_digest_is_that_of_oauthlib(value: str, secret: str) -> None:
    parameters = [("field", value), ("oauth_nonce", "n/+=")]
    text = base_string("POST", f"{ORIGIN}/MAAS/", parameters)
    client = oauthlib.oauth1.Client("ck", client_secret="", resource_owner_secret=secret)
    assert digest(secret, text) == oauthlib_signature.sign_hmac_sha1_with_client(text, client)


def send(
    method: Literal["GET", "POST"],
    url: str,
    form: dict[str, str] | None = None,
    **more: Any,
) -> Reply:
    """The response to a request as oauthlib signs it."""
    sent: dict[str, Any] = {"origin": ORIGIN, **more}
    headers: dict[str, str] = {}
    if form is not None:
        headers["Content-Type"] = sent["content_type"] = FORM
    signing = oauthlib.oauth1.Client(
        SIGNING_KEY.consumer_key, client_secret="", resource_owner_key=SIGNING_KEY.token_key,
        resource_owner_secret=SIGNING_KEY.token_secret, timestamp=str(int(NOW_S)),
    )  # fmt: skip
    body = None if form is None else urlencode(form)
    _, headers, _ = signing.sign(url, http_method=method, headers=headers, body=body)
    if body is not None:
        sent["body"] = body.encode()
    path, _, query = url.removeprefix(ORIGIN).removeprefix(sent["origin"]).partition("?")
    given = {"query": query, "sent_path": path, "authorization": headers["Authorization"], **sent}
    return ApiDouble().request(method, path.removeprefix("/MAAS/api/2.0/").replace("//", "/"), **given)


def test_a_signature_covers_query_and_form() -> None:
    assert send("GET", f"{ORIGIN}/MAAS/api/2.0/vm-hosts/").status == 200
    assert send("GET", f"{ORIGIN}/MAAS/api/2.0/machines/?hostname=a%20b&hostname=c").status == 200
    created = send("POST", f"{ORIGIN}/MAAS/api/2.0/zones/?op=", {"name": "east west", "description": "a+b=ü"})
    assert created.status == 200, created
    assert send("POST", f"{ORIGIN}/MAAS/api/2.0/vm-hosts/4/", {"op": "refresh"}).status == 200


def test_a_signature_covers_the_path_as_it_was_sent() -> None:
    assert send("GET", f"{ORIGIN}/MAAS/api/2.0/vm-hosts//4/").status == 200
    assert send("GET", f"{ORIGIN}/MAAS/api/2.0/vm-hosts/4/", sent_path="/MAAS/api/2.0/vm-hosts/5/").status == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://region:5240"},
        {"query": "id=4"},
        {"sent_method": "HEAD"},
        {"authorization": None},
    ],
)
def test_another_request_does_not_have_the_signature(changed: dict[str, Any]) -> None:
    assert send("GET", f"{ORIGIN}/MAAS/api/2.0/vm-hosts/", **changed).status == 401


def test_the_host_may_be_an_ipv6_address() -> None:
    for host in ("[2001:db8::1]", "[2001:DB8:0:0::1]"):
        origin = f"http://{host}:5240"
        assert send("GET", f"{origin}/MAAS/api/2.0/vm-hosts/", origin=origin).status == 200


@pytest.mark.parametrize("origin", ["http://[::1", "http://", "http://:5240", "http://region:99999", "http://region:x"])
def test_an_odd_host_is_signed_by_nobody(origin: str) -> None:
    assert send("GET", f"{ORIGIN}/MAAS/api/2.0/vm-hosts/", origin=origin).status == 401


def test_bytes_that_are_not_utf_8_are_signed_by_nobody() -> None:
    parameters = {
        "oauth_consumer_key": SIGNING_KEY.consumer_key, "oauth_token": SIGNING_KEY.token_key, "oauth_nonce": "n",
        "oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": str(int(NOW_S)), "oauth_signature": "x",
        "oauth_version": "%FF",
    }  # fmt: skip
    header = "OAuth " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    reply = ApiDouble().request("GET", "vm-hosts/", origin=ORIGIN, sent_path="/MAAS/", authorization=header)
    assert (reply.status, reply.body) == (401, b"Authorization Error: Invalid API key.")


@pytest.mark.parametrize("scheme", ["OAuth ", "OAuth\t"])
@pytest.mark.parametrize("in_query", [True, False])
def test_a_copied_signature_is_not_accepted_with_another_nonce(scheme: str, in_query: bool) -> None:
    """What was signed is repeated beside a header, or a body, with a nonce that was not used yet."""
    api, path = ApiDouble(), "/MAAS/api/2.0/users/"
    signing = oauthlib.oauth1.Client(
        SIGNING_KEY.consumer_key, client_secret="", resource_owner_key=SIGNING_KEY.token_key,
        resource_owner_secret=SIGNING_KEY.token_secret, timestamp=str(int(NOW_S)), nonce="copied",
        signature_type=oauthlib.oauth1.SIGNATURE_TYPE_QUERY,
    )  # fmt: skip
    query = signing.sign(f"{ORIGIN}{path}?op=whoami", http_method="GET")[0].partition("?")[2]
    signed = dict(parse_qsl(query))
    fresh = {**{name: value for name, value in signed.items() if name.startswith("oauth_")}, "oauth_nonce": "fresh"}
    header = scheme + ",".join(f'{name}="{quote(value, safe="")}"' for name, value in fresh.items())
    sent = query if in_query else "op=whoami"
    reply = api.request("GET", "users/", query=sent, origin=ORIGIN, sent_path=path, authorization=header)
    assert reply.status == 401
    assert api.request("GET", "users/", query=query, origin=ORIGIN, sent_path=path).status == 200


def test_another_form_does_not_have_the_signature() -> None:
    reply = send("POST", f"{ORIGIN}/MAAS/api/2.0/zones/", {"name": "east"}, content_type=f"{FORM}; charset=utf-8")
    assert reply.status == 200
    api = ApiDouble()
    url = f"{ORIGIN}/MAAS/api/2.0/zones/"
    signing = oauthlib.oauth1.Client(
        SIGNING_KEY.consumer_key, client_secret="", resource_owner_key=SIGNING_KEY.token_key,
        resource_owner_secret=SIGNING_KEY.token_secret, timestamp=str(int(NOW_S)),
    )  # fmt: skip
    _, headers, _ = signing.sign(url, http_method="POST", headers={"Content-Type": FORM}, body="name=east")
    reply = api.request(
        "POST", "zones/", body=b"name=west", content_type=FORM, origin=ORIGIN, sent_path="/MAAS/api/2.0/zones/",
        authorization=headers["Authorization"],
    )  # fmt: skip
    assert (reply.status, reply.body) == (401, b"Authorization Error: Invalid API key.")


def as_maas_client_go(
    method: Literal["GET", "POST", "PUT"], form: dict[str, str], signed: dict[str, str], **more: Any
) -> Reply:
    """The response to a request whose header repeats `signed`, all that is signed of its form or query."""
    path = "/MAAS/api/2.0/zones/" + ("default/" if method == "PUT" else "")
    parameters = {
        "oauth_consumer_key": SIGNING_KEY.consumer_key, "oauth_token": SIGNING_KEY.token_key, "oauth_nonce": "n",
        "oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": str(int(NOW_S)), "oauth_version": "1.0", **signed,
    }  # fmt: skip
    made = digest(SIGNING_KEY.token_secret, base_string(method, ORIGIN + path, parameters.items()))
    given = {**parameters, "oauth_signature": made}
    header = "OAuth " + ", ".join(f'{name}="{quote_plus(value)}"' for name, value in given.items())
    sent: dict[str, Any] = {"body": urlencode(form).encode(), "content_type": FORM}
    sent = ({"query": urlencode(form)} if method == "GET" else sent) | more
    path_below = path.removeprefix("/MAAS/api/2.0/")
    return ApiDouble().request(method, path_below, origin=ORIGIN, sent_path=path, authorization=header, **sent)


def test_fields_that_the_header_repeats_are_signed_once() -> None:
    fields = {"name": "west", "description": "a b+c=ü"}
    assert as_maas_client_go("POST", fields, fields).status == 200
    assert as_maas_client_go("GET", {"op": ""}, {"op": ""}).status == 200
    for changed in ({**fields, "name": "north"}, {**fields, "more": "x"}):
        assert as_maas_client_go("POST", changed, fields).status == 401


@pytest.mark.parametrize(("method", "path", "signed", "sent"), [
    ("PUT", "zones/default/", {"description": "ok"}, {"description": "changed on the way"}),
    ("POST", "vm-hosts/4/", {"op": "refresh", "dry_run": "true"}, {"op": "refresh"}),
])  # fmt: skip
def test_a_signed_field_cannot_move_from_the_form_into_the_header(
    method: Literal["POST", "PUT"], path: str, signed: dict[str, str], sent: dict[str, str]
) -> None:
    signing = oauthlib.oauth1.Client(
        SIGNING_KEY.consumer_key, client_secret="", resource_owner_key=SIGNING_KEY.token_key,
        resource_owner_secret=SIGNING_KEY.token_secret, timestamp=str(int(NOW_S)),
    )  # fmt: skip
    url = f"{ORIGIN}/MAAS/api/2.0/{path}"
    _, headers, _ = signing.sign(url, http_method=method, headers={"Content-Type": FORM}, body=urlencode(signed))
    moved = "".join(f', {name}="{quote_plus(value)}"' for name, value in signed.items() if sent.get(name) != value)
    reply = ApiDouble().request(
        method, path, body=urlencode(sent).encode(), content_type=FORM, origin=ORIGIN,
        sent_path=f"/MAAS/api/2.0/{path}", authorization=headers["Authorization"] + moved,
    )  # fmt: skip
    assert reply.status == 401


def multipart(fields: dict[str, str], boundary: str = "B") -> dict[str, Any]:
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    content_type = f"multipart/form-data; boundary={boundary}"
    return {"body": f"{parts}--{boundary}--\r\n".encode(), "content_type": content_type}


def test_a_multipart_form_is_not_signed() -> None:
    url = f"{ORIGIN}/MAAS/api/2.0/zones/"
    assert send("POST", url, **multipart({"name": "west", "description": "a b"})).status == 200


def test_a_header_may_repeat_exactly_the_fields_of_a_multipart_form() -> None:
    fields = {"name": "west", "description": "a b+c=ü"}
    assert as_maas_client_go("POST", {}, fields, **multipart(fields)).status == 200
    for changed in ({**fields, "name": "north"}, {**fields, "more": "x"}, {"name": "west"}):
        assert as_maas_client_go("POST", {}, fields, **multipart(changed)).status == 401
    long = {**fields, "description": "x" * MAX_SIGNED_FORM_BYTES}
    assert as_maas_client_go("POST", {}, fields, **multipart(long)).status == 401


def test_a_header_may_repeat_the_query_of_a_multipart_form_that_is_not_signed() -> None:
    form = multipart({"name": "west", "description": "a b"})
    assert as_maas_client_go("POST", {}, {"op": ""}, query="op=", **form).status == 200


def test_only_the_form_of_a_put_may_be_unsigned() -> None:
    fields = {"description": "a b"}
    assert as_maas_client_go("PUT", fields, {}).status == 200
    assert as_maas_client_go("POST", {"name": "west"}, {}).status == 401


def test_a_form_that_is_too_long_to_verify_is_rejected() -> None:
    reply = send("POST", f"{ORIGIN}/MAAS/api/2.0/zones/", {"name": "x" * MAX_SIGNED_FORM_BYTES})
    assert reply.status == 401
    assert b"multipart/form-data" in reply.body


def signature(*, nonce: str = "n", timestamp_s: int = 1000, of: str = "tk") -> Signature:
    return Signature(
        consumer_key="ck", token_key=of, method=SignatureMethod.HMAC_SHA1, digest="d", timestamp_s=timestamp_s,
        nonce=nonce,
    )  # fmt: skip


def test_timestamps_are_within_300_s() -> None:
    window = NonceWindow()
    for timestamp_s in (700, 1300):
        window.check_age(signature(timestamp_s=timestamp_s), 1000)
    for timestamp_s in (699, 1301):
        with pytest.raises(NotAuthenticated, match="Expired timestamp"):
            window.check_age(signature(timestamp_s=timestamp_s), 1000)


def test_a_request_is_accepted_once() -> None:
    window = NonceWindow()
    window.use(signature(), 1000)
    window.use(signature(of="other"), 1000)
    with pytest.raises(NotAuthenticated, match="Nonce already used"):
        window.use(signature(), 1300)


def test_no_request_is_accepted_twice_when_the_memory_is_full() -> None:
    window = NonceWindow(max_nonces=3)
    for number in range(10):
        window.use(signature(nonce=str(number), timestamp_s=1000 + number), 1010)
    assert len(window) == 3
    for number in range(10):
        with pytest.raises(NotAuthenticated):
            window.use(signature(nonce=str(number), timestamp_s=1000 + number), 1010)
    window.use(signature(of="other"), 1010)  # no other key is affected


def test_an_api_key_can_be_a_bearer_token() -> None:
    api = ApiDouble()
    for _ in range(2):
        assert api.request("GET", "users/", op="whoami", authorization=f"Bearer {ADMIN_KEY}").status == 200


@pytest.mark.parametrize("token", ["", "x", "a:b", f"{ADMIN_KEY}x", f"{ADMIN_KEY} x", str(SIGNING_KEY), "é:é:é"])
def test_a_wrong_bearer_token_is_not_authenticated(token: str) -> None:
    assert ApiDouble().request("GET", "users/", op="whoami", authorization=f"Bearer {token}").status == 401
