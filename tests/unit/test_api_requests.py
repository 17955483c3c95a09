"""How a request names its op, format and key, and how it is told what is wrong with them."""

from __future__ import annotations

import pytest

from tests.unit.api_double import ADMIN_KEY, NOW_S, World, at_once, authorization
from tests.unit.api_samples import ADMIN


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
