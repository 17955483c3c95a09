"""Errors, their HTTP statuses and their responses."""

from __future__ import annotations

import json

import pytest

from common import errors
from common.errors import BY_CODE, InnkeeperError, InvalidRequest
from regiond.api.errors import HTTP_STATUS, reply_for, unexpected
from regiond.machines.core.operation_intents import StaleView


def test_every_error_has_its_status() -> None:
    assert set(HTTP_STATUS) == set(BY_CODE.values())


@pytest.mark.parametrize("kind", list(HTTP_STATUS))
def test_every_error_becomes_a_response_with_its_message(kind: type[InnkeeperError]) -> None:
    reply = reply_for(kind("needs 4096 MiB, 100 free"))
    assert reply.status == HTTP_STATUS[kind].status >= 400
    assert reply.content_type == "text/plain; charset=utf-8"
    assert b"needs 4096 MiB, 100 free" in reply.body


def test_an_error_that_a_room_has_refined_has_the_same_status() -> None:
    assert reply_for(StaleView("Try again.")).status == HTTP_STATUS[errors.Busy].status


def test_only_errors_that_are_safe_to_repeat_have_retry_after() -> None:
    asking = {kind for kind in HTTP_STATUS if "Retry-After" in reply_for(kind("x")).headers}
    assert asking == {errors.RackUnreachable, errors.DatabaseUnavailable, errors.RequestInProgress}
    assert reply_for(errors.RackUnreachable("x")).headers["Retry-After"] == "10"
    assert reply_for(errors.DatabaseUnavailable("x")).headers["Retry-After"] == "5"


@pytest.mark.parametrize("kind", [errors.RackUnreachable, errors.DatabaseUnavailable])
def test_the_error_of_an_ended_operation_has_no_retry_after(kind: type[InnkeeperError]) -> None:
    reply = reply_for(kind("No rack.", operation=77))
    assert (reply.status, reply.headers) == (503, {})


def test_the_texts_of_an_invalid_request_are_those_of_its_fields() -> None:
    assert InvalidRequest.of({"cores": ["Too few.", "Odd."], "name": ["Taken."]}).texts == [
        "Too few.",
        "Odd.",
        "Taken.",
    ]
    assert InvalidRequest("No plan.").texts == ["No plan."]


def test_field_errors_are_json_and_other_errors_are_text() -> None:
    reply = reply_for(InvalidRequest.of({"cores": ["Enter a whole number."]}))
    assert (reply.status, json.loads(reply.body)) == (400, {"cores": ["Enter a whole number."]})
    assert reply.content_type.startswith("application/json")
    assert reply_for(InvalidRequest("No.")).content_type.startswith("text/plain")


def test_a_pending_operation_is_named_with_its_uri() -> None:
    for kind in (errors.OperationPending, errors.DeadlineExceeded):
        reply = reply_for(kind("Not over.", operation=77))
        assert (reply.status, reply.headers["Location"]) == (504, "/MAAS/api/2.0/operations/77/")
        assert b"/MAAS/api/2.0/operations/77/" in reply.body


def test_an_operation_of_another_request_is_not_recorded_as_begun() -> None:
    assert reply_for(errors.OutOfCapacity("Full.", operation=77)).operation_id == 77
    for kind in (errors.Busy, errors.IdempotencyMismatch):
        assert reply_for(kind("Taken.", operation=77)).operation_id is None


def test_an_unknown_error_of_a_newer_peer_is_500_with_its_message() -> None:
    assert reply_for(errors.rebuild("from_the_future", "Something new.", {})).status == 500


def test_a_bug_returns_its_request_id_and_no_details() -> None:
    reply = unexpected("abc123")
    assert reply.status == 500
    assert b"abc123" in reply.body
    assert b"Traceback" not in reply.body


def test_a_message_with_invalid_unicode_is_sent() -> None:
    assert reply_for(errors.NotFound("\ud800")).status == 404
