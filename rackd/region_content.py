"""Reads images and other large data from the regions, in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from common.errors import InnkeeperError, LinkLost, NotFound
from common.rpc.commands.command import Command
from common.rpc.commands.region_commands import CONTENT_PART_BYTES, CONTENT_READ, ContentPart, ContentRead

READ_DEADLINE_S = 30.0


class CallingLink(Protocol):
    """The part of a `common.rpc.link.Link` that `RegionContent` uses."""

    async def call(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> Any: ...


class RegionContent:
    """`links` returns the open links to regions. A region may lack content that another one has."""

    def __init__(self, links: Callable[[], Sequence[CallingLink]]) -> None:
        self._links = links

    async def read(self, first: CallingLink, sha256: str, offset: int, size: int) -> bytes:
        """Asks the region of `first`, then the others. Raises NotFound if no region has the content, LinkLost."""
        error: InnkeeperError | None = None
        for link in (first, *(other for other in self._links() if other is not first)):
            try:
                part: ContentPart = await link.call(
                    CONTENT_READ, ContentRead(sha256=sha256, offset=offset, size=size), deadline_s=READ_DEADLINE_S
                )
            except (NotFound, LinkLost) as failed:
                error = error or failed
            else:
                return part.data
        raise error or LinkLost("The rack has no link to any region.")

    async def read_all(self, first: CallingLink, sha256: str, size_bytes: int) -> bytes:
        """Returns the whole content, in memory. Raises as `read`, and NotFound if it is shorter than `size_bytes`."""
        data = bytearray()
        while len(data) < size_bytes:
            part = await self.read(first, sha256, len(data), min(CONTENT_PART_BYTES, size_bytes - len(data)))
            if not part:
                raise NotFound(f"The region has {len(data)} of {size_bytes} bytes.")
            data += part
        return bytes(data)

    def blocking(self, first: CallingLink, sha256: str) -> BlockingContent:
        """Returns the content for a driver's thread. Call it in the event loop's thread."""
        return BlockingContent(self, first, sha256, asyncio.get_running_loop())


class BlockingContent:
    """Implements `ImageContent`."""

    def __init__(
        self, content: RegionContent, first: CallingLink, sha256: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._content = content
        self._first = first
        self._sha256 = sha256
        self._loop = loop

    def read(self, offset: int, size: int) -> bytes:
        reading = self._content.read(self._first, self._sha256, offset, min(size, CONTENT_PART_BYTES))
        try:
            return asyncio.run_coroutine_threadsafe(reading, self._loop).result(2 * READ_DEADLINE_S)
        except TimeoutError:
            raise LinkLost("The region did not send the image in time.") from None
