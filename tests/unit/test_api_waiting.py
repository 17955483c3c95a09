"""Requests that start an operation: they wait for it or do not, and tell how it ended."""

from __future__ import annotations

import pytest

from common.errors import OperationPending, OutOfCapacity, RackUnreachable
from tests.unit.api_double import World, asked_of, at_once, json_of
from tests.unit.api_samples import FAILED, HOST, RUNNING


def test_a_request_waits_for_its_operation() -> None:
    world = World()
    world.answers["hosts.start_refresh"] = RUNNING
    assert json_of(at_once(world.ask("POST", "vm-hosts/4/", op="refresh")))["id"] == HOST.id
    asked = asked_of(world, "operations.wait")
    assert (asked.args, asked.named) == ((77,), {"timeout_s": 120.0})


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async, wait=10", "wait=10; x=1, respond-async;y=2"])
def test_a_request_that_will_not_wait_gets_the_operation(prefer: str) -> None:
    world = World()
    world.answers["machines.start_compose"] = RUNNING
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose", prefer=prefer))
    assert (reply.status, reply.headers["Location"]) == (202, "/MAAS/api/2.0/operations/77/")
    assert json_of(reply)["state"] == "running"
    assert asked_of(world, "machines.start_compose").named["need_rack"] is False


def test_a_wait_that_is_over_first_names_the_operation() -> None:
    world = World()
    world.answers.update(
        {"hosts.start_refresh": RUNNING, "operations.wait": OperationPending("It goes on.", operation=77)}
    )
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="refresh"))
    assert (reply.status, reply.headers["Location"]) == (504, "/MAAS/api/2.0/operations/77/")


def test_an_operation_that_failed_answers_with_its_own_error() -> None:
    world = World()
    world.answers.update({"machines.start_compose": RUNNING, "operations.wait": FAILED})
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose"))
    assert (reply.status, reply.body) == (503, b"cores: 4 asked, 1 of 4 left.")
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(OutOfCapacity("cores: 4 asked, 1 left"), 503, None), (RackUnreachable("No rack."), 503, "10")],
)
def test_what_the_services_refuse_is_told(error: Exception, status: int, retry_after: str | None) -> None:
    world = World()
    world.answers["machines.start_compose"] = error
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose"))
    assert (reply.status, reply.headers.get("Retry-After")) == (status, retry_after)


@pytest.mark.parametrize("key", ["x" * 256, "a\x01b"])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(key: str) -> None:
    world = World()
    assert at_once(world.ask("POST", "vm-hosts/4/", op="compose", idempotency_key=key)).status == 400
    assert not world.done()
