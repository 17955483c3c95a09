"""What a region does once in a while goes on, whatever one round met."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from common.errors import DatabaseUnavailable
from regiond import upkeep


class FailsOnce:
    """Events whose first pruning fails."""

    def __init__(self, failure: Exception) -> None:
        self._failures = [failure]
        self.pruned = asyncio.Event()

    async def prune(self) -> int:
        if self._failures:
            raise self._failures.pop()
        self.pruned.set()
        return 0


@pytest.mark.parametrize("failure", [DatabaseUnavailable("It restarts."), KeyError("a bug")])
async def test_a_round_that_failed_is_not_the_last(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PRUNE_EVERY_S", 0.0)
    events = FailsOnce(failure)
    pruning = asyncio.create_task(upkeep.prune_events(cast(Any, events)))
    try:
        async with asyncio.timeout(5.0):
            await events.pruned.wait()
    finally:
        pruning.cancel()
