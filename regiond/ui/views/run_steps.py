"""The steps of a task, from the lines of its log. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from attrs import evolve, frozen

from regiond.operations.model import LogLine, OperationState
from regiond.ui.words.step_words import step_words

_BEGINS = frozenset({"started", "done"})
_WAITS = frozenset({"wait_for_report"})  # recorded when the wait begins; whatever is logged next ends it
_HIDDEN = frozenset({"new_secret"})  # of no use to readers of the steps; the log has it
_ENDS = frozenset({OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED})


class StepState(StrEnum):
    DONE = "done"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"


@frozen(kw_only=True)
class RunStep:
    """One step. `attempts` began it, the first at `started_at`; `detail` is what was last reported about it."""

    name: str
    state: StepState
    started_at: datetime
    ended_at: datetime | None
    attempts: int = 1
    detail: str = ""


def run_steps(log: Iterable[LogLine], state: OperationState) -> list[RunStep]:
    """In their order; a step that is attempted again and again is one. `state` is that of the task."""
    steps: list[RunStep] = []
    for line in log:
        last = steps[-1] if steps else None
        if line.step in _HIDDEN and line.message == "done":
            _end(steps, line.at)
        elif line.step is not None and line.message in _BEGINS:
            if last is not None and last.name == _words(line.step) and last.state is StepState.FAILED:
                steps[-1] = evolve(last, state=StepState.RUNNING, attempts=last.attempts + 1, ended_at=None)
                continue
            _end(steps, line.at)
            is_done = line.message == "done" and line.step not in _WAITS
            steps.append(
                RunStep(
                    name=_words(line.step),
                    state=StepState.DONE if is_done else StepState.RUNNING,
                    started_at=line.at,
                    ended_at=line.at if is_done else None,
                )
            )
        elif last is not None and "code" in line.details:
            steps[-1] = evolve(last, state=StepState.FAILED, ended_at=line.at, detail=line.message)
        elif line.message in _ENDS:
            _end(steps, line.at)
        elif last is not None:
            steps[-1] = evolve(last, detail=line.message)
    if steps and state is OperationState.WAITING and steps[-1].state is StepState.FAILED:
        steps[-1] = evolve(steps[-1], state=StepState.WAITING)
    return steps


def _end(steps: list[RunStep], at: datetime) -> None:
    """Ends the step that runs, since something else begins: it has ended well."""
    if steps and steps[-1].state is StepState.RUNNING:
        steps[-1] = evolve(steps[-1], state=StepState.DONE, ended_at=at)


def _words(name: str) -> str:
    return step_words(name).capitalize()
