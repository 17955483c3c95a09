"""Every error has a status, and the answer says what a client needs to go on."""

from __future__ import annotations

import json

import pytest

from common import errors
from common.errors import BY_CODE, InnkeeperError, InvalidRequest
from regiond.api.errors import HTTP_STATUS, reply_for, unexpected


def test_every_error_has_its_status() -> None:
    assert set(HTTP_STATUS) == set(BY_CODE.values())


@pytest.mark.parametrize("kind", list(HTTP_STATUS))
def test_every_error_becomes_an_answer_with_its_own_words(kind: type[InnkeeperError]) -> None:
    reply = reply_for(kind("4096 MiB asked, 100 left."))
    assert reply.status == HTTP_STATUS[kind].status >= 400
    assert reply.content_type == "text/plain; charset=utf-8"
    assert b"4096 MiB asked, 100 left." in reply.body


def test_only_errors_that_are_safe_to_repeat_ask_for_it() -> None:
    asking = {kind for kind in HTTP_STATUS if "Retry-After" in reply_for(kind("x")).headers}
    assert asking == {errors.RackUnreachable, errors.DatabaseUnavailable}
    assert reply_for(errors.RackUnreachable("x")).headers["Retry-After"] == "10"
    assert reply_for(errors.DatabaseUnavailable("x")).headers["Retry-After"] == "5"


def test_refused_fields_are_json_and_a_refused_request_is_text() -> None:
    reply = reply_for(InvalidRequest.of({"cores": ["Enter a whole number."]}))
    assert (reply.status, json.loads(reply.body)) == (400, {"cores": ["Enter a whole number."]})
    assert reply.content_type.startswith("application/json")
    assert reply_for(InvalidRequest("No.")).content_type.startswith("text/plain")


def test_what_still_goes_on_is_named_with_its_address() -> None:
    for kind in (errors.OperationPending, errors.DeadlineExceeded):
        reply = reply_for(kind("Not over.", operation=77))
        assert (reply.status, reply.headers["Location"]) == (504, "/MAAS/api/2.0/operations/77/")
        assert b"/MAAS/api/2.0/operations/77/" in reply.body


def test_an_error_of_a_newer_peer_is_a_500_with_its_text() -> None:
    assert reply_for(errors.rebuild("from_the_future", "Something new.", {})).status == 500


def test_a_bug_gives_its_reference_and_nothing_else() -> None:
    reply = unexpected("abc123")
    assert reply.status == 500
    assert b"abc123" in reply.body
    assert b"Traceback" not in reply.body


def test_a_message_that_is_no_unicode_does_not_break_the_answer() -> None:
    assert reply_for(errors.NotFound("\ud800")).status == 404
