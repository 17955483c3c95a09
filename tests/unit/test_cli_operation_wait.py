"""The progress that `--wait` reports."""

from __future__ import annotations

from typing import Any, cast

from innkeeper.operation_wait import subject_of, wait_for_operation

WAITING = {"state": "waiting", "step": None, "error": {"code": "host_unreachable", "message": "No rack reaches it."}}
# An operation has the error of its last attempt until it succeeds.
RUNNING = {"state": "running", "step": "compose", "error": WAITING["error"]}


class PolledRegion:
    """A region with these successive states of an operation; also records the progress."""

    url = "http://region/"

    def __init__(self, *operations: dict[str, Any]) -> None:
        self._operations = list(operations)
        self.reported: list[tuple[str, str]] = []

    async def get(self, _: str, *, deadline_s: float) -> PolledRegion:
        return self

    def json(self) -> dict[str, Any]:
        return self._operations.pop(0)

    def report(self, state: str, step: str, elapsed_s: float) -> None:
        self.reported.append((state, step))


async def test_a_waiting_operation_shows_its_error_instead_of_its_step() -> None:
    region = PolledRegion(WAITING, RUNNING, {"state": "succeeded", "step": "compose", "error": None})
    await wait_for_operation(cast(Any, region), "operations/1/", region)
    assert region.reported == [
        ("waiting", "No rack reaches it."),
        ("running", "compose"),
        ("succeeded", "compose"),
    ]


def test_a_machine_that_was_removed_is_not_read_afterwards() -> None:
    for kind in ("delete", "forget"):
        assert subject_of({"kind": kind, "system_id": "wdpx3n", "result": {}}) == (None, "operation")
    assert subject_of({"kind": "adopt", "system_id": "wdpx3n"}) == ("machines/wdpx3n/", "machine")
