"""Batches concurrent requests: those that arrive while a batch is processed form the next batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from common.tracing.spans import Span, current, of_batch

Q = TypeVar("Q")
R = TypeVar("R")


class Batcher(Generic[Q, R]):
    """Calls `process` with up to `limit` waiting requests; it returns a result or an exception for each, in order.

    If `process` raises, every waiter receives that exception, including those of the next batches: they do not wait
    for the same timeout again. Processing starts after each of its requests was submitted, so it sees everything that
    was committed before. A single request is processed at once. The result for a cancelled caller is dropped.
    """

    def __init__(
        self, process: Callable[[Sequence[Q]], Awaitable[Sequence[R | Exception]]], *, limit: int, name: str = "batch"
    ) -> None:
        """`name` is that of a batch in the traces of its requests."""
        self._process = process
        self._limit = limit
        self._name = name
        self._waiting: list[tuple[Q, asyncio.Future[R], Span | None]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, request: Q) -> R:
        """Returns the result of `request`, or raises its exception."""
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, result, current()))
        if self._running is None:
            # An empty context: log lines of a batch do not belong to its first caller.
            self._running = asyncio.create_task(self._run(), context=Context())
        return await result

    async def _run(self) -> None:
        batch: list[tuple[Q, asyncio.Future[R], Span | None]] = []
        try:
            while self._waiting:
                self._waiting = [one for one in self._waiting if not one[1].done()]
                batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                if batch:
                    await self._process_batch(batch)
        finally:  # if cancelled at the end of the process, no waiter hangs
            self._running = None
            for _, result, _ in (*batch, *self._waiting):
                result.cancel()
            self._waiting = []

    async def _process_batch(self, batch: Sequence[tuple[Q, asyncio.Future[R], Span | None]]) -> None:
        try:
            with of_batch(self._name, (span for _, _, span in batch)):
                results = await self._process([request for request, _, _ in batch])
        except Exception as error:  # noqa: BLE001  # raised by each `submit`
            batch, self._waiting = [*batch, *self._waiting], []
            results = [error] * len(batch)
        for (_, waiter, _), result in zip(batch, results, strict=True):
            if waiter.done():
                continue
            if isinstance(result, Exception):
                waiter.set_exception(result)
            else:
                waiter.set_result(result)
