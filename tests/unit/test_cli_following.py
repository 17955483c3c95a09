"""What `--wait` tells while an operation is under way."""

from __future__ import annotations

from typing import Any, cast

from innkeeper.following import follow

WAITING = {"state": "waiting", "step": None, "error": {"code": "host_unreachable", "message": "No rack gets there."}}
# The error of an earlier attempt stays with the operation until it has succeeded.
RUNNING = {"state": "running", "step": "compose", "error": WAITING["error"]}


class Answers:
    """A region that is asked again and again, and who is told of it."""

    url = "http://region/"

    def __init__(self, *operations: dict[str, Any]) -> None:
        self._operations = list(operations)
        self.told: list[tuple[str, str]] = []

    async def get(self, _: str, *, deadline_s: float) -> Answers:
        return self

    def json(self) -> dict[str, Any]:
        return self._operations.pop(0)

    def tell(self, state: str, step: str, elapsed_s: float) -> None:
        self.told.append((state, step))


async def test_why_an_operation_waits_is_told_in_place_of_its_step() -> None:
    region = Answers(WAITING, RUNNING, {"state": "succeeded", "step": "compose", "error": None})
    await follow(cast(Any, region), "operations/1/", region)
    assert region.told == [
        ("waiting", "No rack gets there."),
        ("running", "compose"),
        ("succeeded", "compose"),
    ]
