"""Requests that start an operation wait for it, or with respond-async return it without waiting."""

from __future__ import annotations

import pytest

from common.errors import OperationPending, OutOfCapacity, RackUnreachable
from tests.unit.api_double import ApiDouble, call_of, json_of, result_of
from tests.unit.api_samples import FAILED, HOST, RUNNING


def test_a_request_waits_for_its_operation() -> None:
    api = ApiDouble()
    api.answers["hosts.start_refresh"] = RUNNING
    assert json_of(result_of(api.request("POST", "vm-hosts/4/", op="refresh")))["id"] == HOST.id
    call = call_of(api, "operations.wait")
    assert (call.args, call.named) == ((77,), {"timeout_s": 120.0})


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async, wait=10", "wait=10; x=1, respond-async;y=2"])
def test_respond_async_returns_the_operation(prefer: str) -> None:
    api = ApiDouble()
    api.answers["machines.start_compose"] = RUNNING
    reply = result_of(api.request("POST", "vm-hosts/4/", op="compose", prefer=prefer))
    assert (reply.status, reply.headers["Location"]) == (202, "/MAAS/api/2.0/operations/77/")
    assert json_of(reply)["state"] == "running"
    assert call_of(api, "machines.start_compose").named["need_rack"] is False


def test_a_wait_that_times_out_names_the_operation() -> None:
    api = ApiDouble()
    api.answers.update(
        {"hosts.start_refresh": RUNNING, "operations.wait": OperationPending("It continues.", operation=77)}
    )
    reply = result_of(api.request("POST", "vm-hosts/4/", op="refresh"))
    assert (reply.status, reply.headers["Location"]) == (504, "/MAAS/api/2.0/operations/77/")


def test_a_failed_operation_returns_its_error() -> None:
    api = ApiDouble()
    api.answers.update({"machines.start_compose": RUNNING, "operations.wait": FAILED})
    reply = result_of(api.request("POST", "vm-hosts/4/", op="compose"))
    assert (reply.status, reply.body) == (503, b"needs 4 cores, 1 of 4 free")
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(OutOfCapacity("needs 4 cores, 1 free"), 503, None), (RackUnreachable("No rack."), 503, "10")],
)
def test_errors_of_the_services_become_responses(error: Exception, status: int, retry_after: str | None) -> None:
    api = ApiDouble()
    api.answers["machines.start_compose"] = error
    reply = result_of(api.request("POST", "vm-hosts/4/", op="compose"))
    assert (reply.status, reply.headers.get("Retry-After")) == (status, retry_after)


@pytest.mark.parametrize("key", ["x" * 256, "a\x01b"])
def test_an_unusable_idempotency_key_is_rejected(key: str) -> None:
    api = ApiDouble()
    assert result_of(api.request("POST", "vm-hosts/4/", op="compose", idempotency_key=key)).status == 400
    assert not api.done()
