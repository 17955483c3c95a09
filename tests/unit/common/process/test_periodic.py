"""A periodic task continues after a failed round, starts early on `wake` and ends on `stop`."""

from __future__ import annotations

import asyncio
import errno

import pytest
from structlog.testing import capture_logs

from common.errors import DatabaseUnavailable
from common.process.periodic import NextRoundIn, PeriodicTask
from tests.support.waiting import eventually


class Rounds:
    """Counts rounds. The first ones have the given outcomes: an exception to raise or a value to return."""

    def __init__(self, *outcomes: object) -> None:
        self.count = 0
        self._outcomes = list(outcomes)
        self._counted = asyncio.Event()

    async def work(self) -> object:
        self.count += 1
        self._counted.set()
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.count < count:
                self._counted.clear()
                await self._counted.wait()


class Pauses:
    """Replaces asyncio.sleep: records each pause and ends it when `end` is called."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._ended = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._ended.clear()
        await self._ended.wait()

    def end(self) -> None:
        self._ended.set()


@pytest.mark.parametrize(
    "failure",
    [DatabaseUnavailable("It restarts."), TimeoutError(), KeyError("a bug"), asyncio.CancelledError()],
    ids=["database", "timeout", "bug", "inner-cancellation"],
)
async def test_the_next_round_follows_a_failed_one(failure: BaseException) -> None:
    rounds = Rounds(failure)
    task = PeriodicTask("test", rounds.work, every_s=0.0)
    task.start()
    await rounds.reach(2)
    await task.stop()


@pytest.mark.parametrize(
    ("failure", "level"),
    [
        (DatabaseUnavailable("no answer"), "warning"),
        (OSError(errno.EMFILE, "Too many open files"), "warning"),
        (OSError(errno.ENOSPC, "No space left on device"), "warning"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "error"),
    ],
)
async def test_a_machine_without_files_or_space_is_no_bug(failure: Exception, level: str) -> None:
    rounds = Rounds(failure)
    task = PeriodicTask("test", rounds.work, every_s=0.01)
    with capture_logs() as logs:
        task.start()
        await rounds.reach(2)
        await task.stop()
    (line,) = [one for one in logs if one["event"] == "periodic_task_failed"]
    assert line["log_level"] == level


async def test_a_round_can_set_the_length_of_the_next_pause() -> None:
    rounds, pauses = Rounds(None, NextRoundIn(2.0)), Pauses()
    task = PeriodicTask("test", rounds.work, every_s=60.0, first_after_s=7.0, sleep=pauses.sleep)
    task.start()
    for expected in ([7.0], [7.0, 60.0], [7.0, 60.0, 2.0], [7.0, 60.0, 2.0, 60.0]):
        await eventually(lambda: len(pauses.seconds) == len(expected))  # noqa: B023  # awaited within the iteration
        assert pauses.seconds == expected
        assert rounds.count == len(expected) - 1
        pauses.end()
    await task.stop()


async def test_wake_starts_the_next_round_early() -> None:
    rounds = Rounds()
    task = PeriodicTask("test", rounds.work, every_s=3600.0)
    task.start()
    await rounds.reach(1)
    task.wake()
    await rounds.reach(2)
    await task.stop()


async def test_wake_during_a_round_starts_another_round_after_it() -> None:
    rounds = Rounds()

    async def work() -> None:
        await rounds.work()
        if rounds.count == 1:
            task.wake()

    task = PeriodicTask("test", work, every_s=3600.0)
    task.start()
    await rounds.reach(2)
    await task.stop()


async def test_stop_cancels_the_current_round_and_waits_for_it() -> None:
    started, cleaned_up = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(3600.0)
        finally:
            await asyncio.sleep(0)
            cleaned_up.set()

    task = PeriodicTask("test", work, every_s=0.0)
    task.start()
    await started.wait()
    await task.stop()
    assert cleaned_up.is_set()
    await task.stop()


async def test_stop_before_start_does_nothing() -> None:
    await PeriodicTask("test", Rounds().work, every_s=1.0).stop()


async def test_a_second_start_is_an_error() -> None:
    task = PeriodicTask("test", Rounds().work, every_s=3600.0)
    task.start()
    with pytest.raises(RuntimeError, match="already started"):
        task.start()
    await task.stop()
