"""The op, format and API key of a request, and their errors."""

from __future__ import annotations

import pytest

from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.pipeline.dispatch import Api
from regiond.api.pipeline.request import ApiRequest
from regiond.api.replies import Reply, text_reply
from regiond.requests.caller import Permission
from tests.unit.answers.accounts import ADMIN_KEY
from tests.unit.support.api_double import NOW_S, ApiDouble, authorization, result_of
from tests.unit.support.api_samples import ADMIN


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
def test_the_op_may_be_in_the_query_form_or_path(query: str, body: bytes, suffix: str | None, status: int) -> None:
    reply = ApiDouble().request("POST", "vm-hosts/4/", query=query, body=body, op_suffix=suffix)
    assert reply.status == status


def test_an_unknown_op_has_the_error_of_maas() -> None:
    reply = ApiDouble().request("POST", "vm-hosts/4/", op="foo")
    assert (reply.status, reply.body) == (400, b"Unrecognised signature: method=POST op=foo")
    reply = ApiDouble().request("POST", "vm-hosts/4/")
    assert reply.body == b"Unrecognised signature: method=POST op=None"


def test_a_json_body_has_no_op() -> None:
    assert ApiDouble().request("POST", "vm-hosts/4/", document={"op": "refresh"}).status == 400
    assert ApiDouble().request("POST", "vm-hosts/4/", document={}, query="op=refresh").status == 200


def test_methods_without_an_endpoint_are_not_allowed() -> None:
    reply = ApiDouble().request("PUT", "vm-hosts/")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, POST")


def test_formats_other_than_json_are_rejected() -> None:
    reply = ApiDouble().request("GET", "zones/", form={"format": "xml"})
    assert (reply.status, reply.body) == (400, b"Invalid output format specified 'xml'.")
    assert ApiDouble().request("GET", "zones/", form={"format": "json"}).status == 200


def test_invalid_and_expired_signatures_have_the_errors_of_maas() -> None:
    wrong = authorization(ADMIN_KEY, nonce="n").replace("adminsecret", "wrong")
    reply = ApiDouble().request("GET", "zones/", authorization=wrong)
    assert (reply.status, reply.body) == (401, b"Authorization Error: Invalid API key.")
    old = authorization(ADMIN_KEY, nonce="n", timestamp_s=NOW_S - 301)
    reply = ApiDouble().request("GET", "zones/", authorization=old)
    assert (reply.status, reply.body[:39]) == (401, b"Authorization Error: 'Expired timestamp")


def test_a_form_may_contain_its_signature(api: ApiDouble) -> None:
    signed = (
        "oauth_consumer_key=adminconsumer&oauth_token=admintoken&oauth_signature=%26adminsecret"
        f"&oauth_signature_method=PLAINTEXT&oauth_timestamp={int(NOW_S)}&oauth_nonce=x&name=east"
    )
    reply = api.request("POST", "zones/", key=None, authorization=None, body=signed.encode())
    assert reply.status == 200
    assert api.done()[0].args == (ADMIN, "east", "")


def test_an_unsigned_request_for_two_ops_gets_neither_the_one_that_is_closed() -> None:
    """The path names an op that is open, the form one that is for administrators."""
    made: list[str] = []

    def endpoint(op: str, permission: Permission) -> Endpoint:
        async def run(_: Call) -> Reply:
            made.append(op)
            return text_reply("done")

        return Endpoint(method="POST", op=op, permission=permission, title=op, result=Result(doc=""), run=run)

    resource = Resource(
        handler="MixedHandler",
        path="mixed/",
        doc="",
        endpoints=(endpoint("open", Permission.ANYONE), endpoint("closed", Permission.ADMIN)),
    )
    double = ApiDouble()
    api = Api(services=double.services(), info=double.info, now_s=lambda: NOW_S)
    form = "application/x-www-form-urlencoded"
    for body, status in ((b"", 200), (b"op=closed", 401)):
        request = ApiRequest(method="POST", body=body, content_type=form, op_suffix="open")
        assert result_of(api.answer(resource, {}, request, "reference-1")).status == status
    assert made == ["open"]
