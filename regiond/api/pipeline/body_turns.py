"""Parses long bodies one after the other, with a pause after each in which other requests run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from attrs import define, field

from regiond.api.declaration.request_body import Body, read_body

LONG_BODY_BYTES = 256 * 1024  # parsed in some 2 ms; 4 MiB take some 30 ms of the event loop


@define
class BodyTurns:
    """`pause` waits for so many seconds. Bodies that wait are those that the limit of long bodies let in."""

    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def read(self, content_type: str | None, body: bytes) -> Body:
        """What `read_body` returns or raises."""
        if len(body) < LONG_BODY_BYTES:
            return read_body(content_type, body)
        async with self._turn:
            began = time.perf_counter()
            try:
                return read_body(content_type, body)
            finally:
                await self.pause(time.perf_counter() - began)
