"""How far a bulk operation is, and with which machines it begins next."""

from __future__ import annotations

import pytest

from common.serialization import from_dict, to_dict
from regiond.machines.bulk.progress import BulkMachine, BulkRequest, failure_of, progress, result_of
from regiond.machines.values.bulk import BulkAction
from regiond.operations.model import Child, OperationState

QUEUED, RUNNING = OperationState.QUEUED, OperationState.RUNNING
SUCCEEDED, FAILED, CANCELLED = OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED


def request(names: str, *, at_once: int = 2) -> BulkRequest:
    machines = tuple(BulkMachine(system_id=name, hostname=f"vm-{name}") for name in names)
    return BulkRequest(action=BulkAction.POWER_ON, machines=machines, at_once=at_once)


def child(name: str, state: OperationState, error: str | None = None) -> Child:
    return Child(id=ord(name), system_id=name, hostname=f"vm-{name}", state=state, error_message=error)


def test_a_request_of_before_resizes_is_read() -> None:
    stored = {name: value for name, value in to_dict(request("a")).items() if name not in {"cores", "memory_mib"}}
    assert from_dict(stored, BulkRequest) == request("a")


@pytest.mark.parametrize(
    ("children", "begun_next"),
    [
        ([], "ab"),
        ([child("a", QUEUED)], "b"),
        ([child("a", RUNNING), child("b", QUEUED)], ""),
        ([child("a", SUCCEEDED), child("b", RUNNING)], "c"),
        ([child("a", FAILED, "no"), child("b", CANCELLED)], "cd"),
        ([child(name, SUCCEEDED) for name in "abcd"], ""),
    ],
)
def test_as_many_are_open_as_were_asked_for(children: list[Child], begun_next: str) -> None:
    assert "".join(one.system_id for one in progress(request("abcd"), children).next) == begun_next


def test_every_machine_is_counted_once() -> None:
    children = [child("a", SUCCEEDED), child("b", FAILED), child("c", CANCELLED), child("d", RUNNING)]
    now = progress(request("abcdef"), children)
    assert (now.succeeded, now.failed, now.cancelled, now.open, now.not_begun) == (1, 1, 1, 1, 2)
    assert now.total == now.ended + now.open + now.not_begun == 6
    assert result_of(now) == {"succeeded": 1, "failed": 1, "cancelled": 1, "not_begun": 2}


def test_success_with_all_is_no_failure() -> None:
    assert failure_of(request("a"), [child("a", SUCCEEDED)]) is None


def test_a_failure_names_the_machine_and_the_reason() -> None:
    children = [child("a", SUCCEEDED), child("b", FAILED, "Its disk is gone")]
    assert failure_of(request("ab"), children) == "1 of 2 machines was not powered on. vm-b: Its disk is gone."


def test_of_many_failures_five_are_named() -> None:
    message = failure_of(request("abcdefg"), [child(name, FAILED, "No.") for name in "abcdefg"])
    assert message is not None
    assert message.startswith("7 of 7 machines were not powered on. vm-a: No. vm-b: No.")
    assert message.endswith("vm-e: No. And 2 more.")
