"""Converts between asyncio and Twisted: the only module in which the two meet."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


def as_deferred(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Run `work` as a task; cancelling the Deferred cancels the task."""
    return Deferred.fromFuture(asyncio.ensure_future(work))


async def from_deferred(deferred: Deferred[T]) -> T:
    """The Deferred's result, inside a task."""
    return await deferred.asFuture(asyncio.get_running_loop())
