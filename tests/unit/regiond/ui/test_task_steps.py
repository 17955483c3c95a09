"""The steps of a task as its page shows them, and why hosts were rejected."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.values import PowerAction
from development.generated.generated_section import CHECKOUT
from regiond.operations.model import WAIT_FOR_COMMAND, WAIT_FOR_EARLIER, LogLine, OperationState
from regiond.ui.texts import reading_in
from regiond.ui.views.run_steps import StepState, run_steps
from regiond.ui.words.step_words import STEP_WORDS, step_words
from tests.unit.support.pseudo_language import Pseudo

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)


def line(second: float, message: str, step: str | None = None, **details: Any) -> LogLine:
    return LogLine(at=BEGAN + timedelta(seconds=second), attempt=1, step=step, message=message, details=details)


def test_a_step_is_done_once_the_next_begins_or_the_task_ends() -> None:
    log = [line(0, "started", "compose_on_host"), line(4, "started", "power_on"), line(5, "succeeded")]
    first, second = run_steps(log, OperationState.SUCCEEDED)
    assert (first.name, first.state, second.state) == ("Compose on host", StepState.DONE, StepState.DONE)
    assert first.ended_at == BEGAN + timedelta(seconds=4)


def test_the_last_step_of_an_open_task_runs() -> None:
    (only,) = run_steps([line(0, "started", "power_on")], OperationState.RUNNING)
    assert (only.state, only.ended_at) == (StepState.RUNNING, None)


def test_a_deployment_waits_until_the_guest_reports() -> None:
    log = [line(0, "started", "power_on"), line(2, "done", "new_secret"), line(3, "done", "wait_for_report")]
    power, report = run_steps(log, OperationState.WAITING)
    assert (power.state, power.ended_at) == (StepState.DONE, BEGAN + timedelta(seconds=2))
    assert (report.name, report.state, report.ended_at) == ("Wait for report", StepState.RUNNING, None)
    assert run_steps([*log, line(9, "succeeded")], OperationState.SUCCEEDED)[-1].ended_at == BEGAN + timedelta(
        seconds=9
    )


def test_attempts_of_one_step_are_one_step_that_waits() -> None:
    log = []
    for second in range(0, 6, 2):
        log += [line(second, "started", "power_on"), line(second + 1, "refused", "power_on", code="host_unreachable")]
    (only,) = run_steps(log, OperationState.WAITING)
    assert (only.attempts, only.state, only.detail) == (3, StepState.WAITING, "refused")


def test_a_failed_step_is_followed_by_its_undoing() -> None:
    log = [
        line(0, "started", "compose_on_host"),
        line(1, "no such pool", "compose_on_host", code="rejected"),
        line(2, "started", "remove_incomplete_guest"),
        line(3, "done", "release_claims"),
        line(4, "failed"),
    ]
    states = [(step.name, step.state) for step in run_steps(log, OperationState.FAILED)]
    assert states == [
        ("Compose on host", StepState.FAILED),
        ("Remove incomplete guest", StepState.DONE),
        ("Release claims", StepState.DONE),
    ]


LINES = st.lists(
    st.builds(
        line,
        second=st.integers(0, 99),
        message=st.sampled_from(["started", "done", "succeeded", "failed", "a note"]),
        step=st.sampled_from([None, "one", "two"]),
    ),
    max_size=12,
)


@given(log=LINES, state=st.sampled_from(OperationState))
def test_no_log_makes_a_page_fail(log: list[LogLine], state: OperationState) -> None:
    steps = run_steps(log, state)
    assert all(step.ended_at is not None or step.state is StepState.RUNNING for step in steps)


_STEP = re.compile(r'(?:journal\.(?:step|write)|at\.step)\(\s*"([a-z_]+)"')


def test_each_step_has_words_for_pages() -> None:
    """Steps whose names are no literals are added; the secret of a new guest is shown to nobody."""
    named = {
        name
        for path in (CHECKOUT / "regiond").rglob("*.py")
        for name in _STEP.findall(path.read_text(encoding="utf-8"))
    } - {"new_secret"}
    assert len(named) > 30
    others = {WAIT_FOR_COMMAND, WAIT_FOR_EARLIER, *(f"power_{action.value}" for action in PowerAction)}
    assert set(STEP_WORDS) == named | others
    with reading_in(Pseudo()):
        assert [name for name in STEP_WORDS if re.search("[a-z]", step_words(name))] == []
        assert step_words("step_of_old") == "step of old"
