"""The progress that `--wait` reports."""

from __future__ import annotations

import io
from typing import Any

from innkeeper.commands.operation_wait import purpose_of, subject_of, wait_for_operation
from innkeeper.http import Api
from innkeeper.output.progress import LateNote, Report
from innkeeper.output.terminal import Terminal
from tests.doubles.signatures import in_place_of

REASON = "It waits to be tried again: No rack reaches it."
WAITING = {
    "state": "waiting", "step": None, "error": {"code": "host_unreachable", "message": "No rack reaches it."},
    "wait_reason": REASON,
}  # fmt: skip
# An operation has the error of its last attempt until it succeeds.
RUNNING = {"state": "running", "step": "compose", "error": WAITING["error"]}


class PolledRegion:
    """A region with these successive states of an operation; also records the progress."""

    url = "http://region/"

    def __init__(self, *operations: dict[str, Any]) -> None:
        self._operations = list(operations)
        self.reported: list[tuple[str, str, str]] = []

    async def get(self, _: str, *, deadline_s: float) -> PolledRegion:
        return self

    def json(self) -> dict[str, Any]:
        return self._operations.pop(0)

    def begin(self, text: str) -> None:
        pass

    def report(self, report: Report) -> None:
        self.reported.append((report.state, report.step, report.reason))

    def end(self) -> None:
        pass


async def test_progress_has_the_reason_that_the_region_gives() -> None:
    queued = {"state": "queued", "step": None, "error": None, "wait_reason": "It is queued behind operation 6."}
    region = PolledRegion(queued, {"state": "succeeded", "step": "compose", "error": None, "wait_reason": None})
    await wait_for_operation(in_place_of(Api, region), "operations/1/", region)
    assert region.reported == [("queued", "", "It is queued behind operation 6."), ("succeeded", "compose", "")]


async def test_the_error_of_an_earlier_attempt_is_no_reason() -> None:
    region = PolledRegion(WAITING, RUNNING, {"state": "succeeded", "step": "compose", "error": None})
    await wait_for_operation(in_place_of(Api, region), "operations/1/", region)
    assert region.reported == [
        ("waiting", "", REASON),
        ("running", "compose", ""),
        ("succeeded", "compose", ""),
    ]


def test_a_machine_that_was_removed_is_not_read_afterwards() -> None:
    for kind in ("delete", "forget"):
        assert subject_of({"kind": kind, "system_id": "wdpx3n", "result": {}}) == (None, "operation")
    assert subject_of({"kind": "adopt", "system_id": "wdpx3n"}) == ("machines/wdpx3n/", "machine")


def test_an_operation_says_what_it_does() -> None:
    compose = {"id": 7, "kind": "compose", "hostname": "quick-fox", "host_name": "hv-01", "request": {}}
    assert purpose_of(compose) == "Operation 7 composes quick-fox on hv-01"
    power = {"id": 8, "kind": "power", "hostname": "web", "host_name": "hv-01", "request": {"action": "off"}}
    assert purpose_of(power) == "Operation 8 powers web on hv-01 off"
    assert purpose_of({"id": 9, "kind": "paint_walls"}) == "Operation 9 paint walls of a machine on its host"


def test_a_script_is_told_the_reason_after_two_minutes() -> None:
    stream = io.StringIO()
    note = LateNote(Terminal(out=stream, err=stream, stdin=stream))
    note.begin("Operation 7 composes quick-fox on hv-01.")
    for elapsed_s, reason in ((119, "No rack."), (120, "No rack."), (122, "No rack."), (130, "Busy."), (140, "")):
        note.report(Report(state="waiting", step="", reason=reason, elapsed_s=elapsed_s))
    what = "Operation 7 composes quick-fox on hv-01. It is waiting"
    assert stream.getvalue().splitlines() == [
        f"{what}, 120 s. No rack.",
        f"{what}, 130 s. Busy.",
        f"{what}, 140 s. The region knows no reason why it takes so long.",
    ]
