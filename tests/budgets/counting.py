"""Counts what a region does for one thing: its statements, and the values that it makes of rows and messages.

Counted is what runs because of the test's own calls, not what the region's timers do meanwhile. Of some equal ones the
least counts, since a timer can still join in, or a connection be opened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import currentframe
from operator import attrgetter
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import asyncpg
import pytest
from attrs import asdict, define, field, frozen

import regiond
from common import serialization
from common.process.periodic import PeriodicTask
from regiond.db import pool

REPEATS = 4
_CALLS = ("execute", "executemany", "fetch", "fetchrow", "fetchval")
_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
_BY_REQUESTS = ("", "operation_acquire")  # what is woken for an operation, and no timer
_FOLDER, _POOL = f"{Path(regiond.__file__).parent}/", pool.__file__
_CALLERS = 3
_task_name: ContextVar[str] = ContextVar("the periodic task that does it", default="")


@frozen(kw_only=True)
class Counts:
    """`round_trips` are the times that the region waits for the database, with the begin and end of transactions.

    `conversions` are values made of rows, and of messages or JSON and back. `answer_bytes` are those of an answer.
    """

    statements: int
    round_trips: int
    transactions: int
    conversions: int
    answer_bytes: int = 0

    def exceeds(self, budget: Counts) -> bool:
        allowed = asdict(budget)
        return any(number > allowed[name] for name, number in asdict(self).items())


@define
class Counted:
    """What was done since the beginning: each statement with the functions that executed it."""

    every_task: bool
    statements: list[tuple[str, str]] = field(factory=list)
    conversions: int = 0

    @property
    def is_wanted(self) -> bool:
        return self.every_task or _task_name.get() in _BY_REQUESTS

    def counts(self, answer_bytes: int) -> Counts:
        control = [text for text, _ in self.statements if text.startswith(_CONTROL)]
        return Counts(
            statements=len(self.statements) - len(control),
            round_trips=len(self.statements),
            transactions=sum(text.startswith("BEGIN") for text in control),
            conversions=self.conversions,
            answer_bytes=answer_bytes,
        )

    def __str__(self) -> str:
        return "\n".join(f"{text[:90]:90} {callers}" for text, callers in self.statements)


async def least(
    work: Callable[[], Awaitable[int]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: Callable[[], Awaitable[object]] | None = None,
    every_task: bool = False,
) -> tuple[Counts, str]:
    """Returns the least counts of some calls of `work`, which returns the bytes of its answer, and their statements.

    `before` prepares each call and is not counted. The first call does what is done once.
    """
    found = []
    for _ in range(1 + REPEATS):
        if before is not None:
            await before()
        with _counting(monkeypatch, every_task=every_task) as counted:
            answer_bytes = await work()
        found.append((counted.counts(answer_bytes), str(counted)))
    return min(found[1:], key=lambda one: attrgetter("round_trips", "conversions")(one[0]))


@contextmanager
def _counting(monkeypatch: pytest.MonkeyPatch, *, every_task: bool) -> Iterator[Counted]:
    counted = Counted(every_task=every_task)
    with monkeypatch.context() as patch:
        for name in _CALLS:
            patch.setattr(asyncpg.Connection, name, _noting(getattr(asyncpg.Connection, name), counted))
        patch.setattr(pool, "_attribute_names", _counted(pool._attribute_names, counted))  # noqa: SLF001  # once for each row
        whole = serialization._converter  # noqa: SLF001
        converter = SimpleNamespace(
            structure=_counted(whole.structure, counted), unstructure=_counted(whole.unstructure, counted)
        )
        patch.setattr(serialization, "_converter", converter)
        yield counted


def name_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes what periodic tasks do known as theirs. Before a region starts."""
    run = PeriodicTask._run  # noqa: SLF001

    async def named(self: PeriodicTask) -> None:
        _task_name.set(self._name)
        await run(self)

    monkeypatch.setattr(PeriodicTask, "_run", named)


def _noting(call: Callable[..., Any], counted: Counted) -> Callable[..., Any]:
    def noted(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
        callers = _callers(currentframe())
        if callers and counted.is_wanted:
            counted.statements.append((" ".join(query.split()), callers))
        return call(connection, query, *arguments, **options)

    return noted


def _counted(convert: Callable[..., Any], counted: Counted) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        counted.conversions += counted.is_wanted and bool(_callers(currentframe()))  # the rack converts, too
        return convert(*arguments, **options)

    return noted


def _callers(frame: FrameType | None) -> str:
    """The functions of the region that wait for the statement, the innermost first; empty: none does."""
    found: list[str] = []
    while frame is not None and len(found) < _CALLERS:
        path = frame.f_code.co_filename
        if path.startswith(_FOLDER) and path != _POOL:
            found.append(f"{path.removeprefix(_FOLDER).removesuffix('.py')}:{frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(found)
