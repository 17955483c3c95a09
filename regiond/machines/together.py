"""Requests of one moment are worked on together: what is asked while some are under way goes with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Q = TypeVar("Q")
R = TypeVar("R")


class Together(Generic[Q, R]):
    """`work` gets what was asked since it began the last time, `most` at once, and answers each in the same order: with
    a result, or with the exception that this one gets. What it raises is everybody's: who waits behind them gets it
    too, rather than wait out the same deadlines again in turn.

    It begins after each of them was asked, so it sees all that was committed before. One that asks alone waits for
    nobody. A caller that is cancelled while it waits is left out, or its answer is dropped.
    """

    def __init__(self, work: Callable[[Sequence[Q]], Awaitable[Sequence[R | Exception]]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[R]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, asked: Q) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._running is None:
            # In a context of its own: what is logged there is not the first caller's alone.
            self._running = asyncio.create_task(self._run(), context=Context())
        return await answer

    async def _run(self) -> None:
        some: list[tuple[Q, asyncio.Future[R]]] = []
        try:
            while self._waiting:
                self._waiting = [one for one in self._waiting if not one[1].done()]
                some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                if some:
                    await self._answer(some)
        finally:  # cancelled at the end of the process: nobody is left waiting
            self._running = None
            for _, answer in (*some, *self._waiting):
                answer.cancel()
            self._waiting = []

    async def _answer(self, some: Sequence[tuple[Q, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._work([asked for asked, _ in some])
        except Exception as error:  # noqa: BLE001  # it is raised where each of them was asked
            some, self._waiting = [*some, *self._waiting], []
            answers = [error] * len(some)
        for (_, waiting), answer in zip(some, answers, strict=True):
            if waiting.done():
                continue
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)
