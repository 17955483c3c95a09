"""Waits that cancellations do not cut short, for what uses a resource that the caller then closes."""

from __future__ import annotations

import asyncio
from typing import Any


async def until_done(*running: asyncio.Future[Any]) -> None:
    """Returns when all are done. If cancelled meanwhile, however often, raises CancelledError only then."""
    cancelled: asyncio.CancelledError | None = None
    while waiting := [one for one in running if not one.done()]:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
