"""Why an operation has not ended, as its read and the region's answer after two minutes say it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve

from common.words.operation_kinds import OperationKind
from regiond.operations.model import (
    WAIT_FOR_COMMAND,
    WAIT_FOR_EARLIER,
    Operation,
    OperationState,
)
from regiond.operations.wait_reason import Ahead, WaitFacts, purpose_of, wait_reason

SINCE = datetime(2026, 11, 20, 10, 31, 2, tzinfo=UTC)
QUEUED = Operation(
    id=7, kind=OperationKind.COMPOSE, state=OperationState.QUEUED, host_id=1, host_name="hv-01", machine_id=3,
    system_id="wdpx3n", hostname="quick-fox", parent_id=None, account_id=1, created_at=SINCE,
)  # fmt: skip
WAITING = evolve(QUEUED, state=OperationState.WAITING, error_code="link_lost", error_message="The link broke")
RUNNING = evolve(QUEUED, state=OperationState.RUNNING)
UNREACHABLE = WaitFacts(host_state="unreachable", host_error="connection refused", unreachable_at=SINCE)
AHEAD = (Ahead(id=5, kind="delete", machine="old-db"), Ahead(id=6, kind="refresh", machine=None))
HOST_TEXT = "It waits for host hv-01, which is unreachable since 2026-11-20 10:31:02Z. connection refused."


@pytest.mark.parametrize(
    ("operation", "facts", "expected"),
    [
        (QUEUED, UNREACHABLE, HOST_TEXT),
        (RUNNING, evolve(UNREACHABLE, leased=True), HOST_TEXT),
        (QUEUED, WaitFacts(reached=False), "No connected rack reaches host hv-01."),
        (QUEUED, WaitFacts(ahead=AHEAD), None),
        (
            QUEUED,
            WaitFacts(overdue=True, ahead=AHEAD),
            "It is queued on host hv-01 behind operation 5 (delete old-db) and 1 more.",
        ),
        (QUEUED, WaitFacts(overdue=True), "It waits for a region that is free to run it."),
        (RUNNING, WaitFacts(leased=True, ahead=AHEAD), None),
        (
            RUNNING,
            WaitFacts(leased=True, slow=True, ahead=AHEAD[1:]),
            "Host hv-01 also acts for operation 6 (refresh).",
        ),
        (WAITING, WaitFacts(), "It waits to be tried again: The link broke."),
        (
            WAITING,
            UNREACHABLE,
            "It waits to be tried again: The link broke. Host hv-01 is unreachable since 2026-11-20 10:31:02Z.",
        ),
        (evolve(WAITING, state=OperationState.UNDOING), WaitFacts(), "It is being undone: The link broke."),
        (
            evolve(WAITING, state=OperationState.UNDOING, error_details={"undo_waits_for": "old-db is being deleted"}),
            WaitFacts(),
            "It is being undone: The link broke. Undoing waits: old-db is being deleted.",
        ),
        (
            evolve(RUNNING, step=WAIT_FOR_EARLIER, request={"earlier": 6}),
            WaitFacts(leased=True),
            "It waits until the last command of operation 6, which did not succeed, has ended.",
        ),
        (
            evolve(RUNNING, step=WAIT_FOR_COMMAND),
            WaitFacts(leased=True),
            "It waits until the last command of its earlier attempt has ended.",
        ),
        (
            evolve(WAITING, state=OperationState.UNDOING, step=WAIT_FOR_COMMAND),
            WaitFacts(leased=True),
            "It is being undone: The link broke. "
            "Undoing waits until the last command of its earlier attempt has ended.",
        ),
        (evolve(WAITING, state=OperationState.FAILED), UNREACHABLE, None),
    ],
)
def test_the_reason_is_a_sentence(operation: Operation, facts: WaitFacts, expected: str | None) -> None:
    assert wait_reason(operation, facts) == expected


OF_A_PART = (
    "rotate_credentials",
    "unregister_from_maas",
    "clean_up",
    "grow_disk",
    "move_disk",
    "remove_disk",
    "change_nic",
    "remove_nic",
)


def test_every_kind_of_operation_says_what_it_does() -> None:
    for kind in OperationKind:
        text = purpose_of(evolve(QUEUED, kind=kind))
        assert "quick-fox" in text or "hv-01" in text or kind in {OperationKind.BULK, OperationKind.IMPORT}
        assert " of " not in text or kind is OperationKind.POWER or kind in OF_A_PART


def test_an_operation_on_many_machines_says_what_it_does_to_how_many() -> None:
    request = {"action": "power_off", "machines": [{"system_id": "abc"}, {"system_id": "def"}]}
    assert purpose_of(evolve(QUEUED, kind=OperationKind.BULK, request=request)) == "powers 2 machines off"
    for action, said in (("deploy", "deploys 2 machines"), ("resize", "resizes 2 machines")):
        task = evolve(QUEUED, kind=OperationKind.BULK, request={**request, "action": action})
        assert purpose_of(task) == said


def test_a_rebuild_is_no_plain_deployment() -> None:
    task = evolve(QUEUED, kind=OperationKind.DEPLOY, request={"rebuild": True})
    assert purpose_of(task).startswith("rebuilds ")
    assert purpose_of(evolve(task, request={})).startswith("deploys ")
