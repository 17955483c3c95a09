"""Waits in asyncio for what Twisted does."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


async def from_deferred(deferred: Deferred[T]) -> T:
    """Returns or raises the result of `deferred`. Cancelling the calling task cancels it."""
    return await deferred.asFuture(asyncio.get_running_loop())
