"""Converts between asyncio and Twisted: the only module in which the two meet."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


def as_deferred(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Starts `work` as a task and returns its result as a Deferred. Cancelling the Deferred cancels the task."""
    return Deferred.fromFuture(asyncio.ensure_future(work))


async def from_deferred(deferred: Deferred[T]) -> T:
    """Returns or raises the result of `deferred`. Cancelling the calling task cancels it."""
    return await deferred.asFuture(asyncio.get_running_loop())
