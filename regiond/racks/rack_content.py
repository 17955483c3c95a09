"""Serves racks the content that a call to them has named: images, and data too large for a frame."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from attrs import define, field

from common.errors import InvalidRequest, NotFound
from common.process.completion import until_done
from common.rpc.commands.region_commands import CONTENT_PART_BYTES, ContentPart, ContentRead

FileReads = Callable[[int, int], Awaitable[bytes]]  # of an offset and a size


class StoredContent(Protocol):
    """Content on disk, by its SHA-256."""

    async def read(self, sha256: str, offset: int, size: int) -> bytes | None:
        """Returns up to `size` bytes; None if this region does not have the content."""


@define(eq=False)
class _OfferedFile:
    """A file, and one future for each read of it that has not ended."""

    read_part: FileReads
    _reads: set[asyncio.Future[None]] = field(factory=set)

    async def read(self, offset: int, size: int) -> bytes:
        ended = asyncio.get_running_loop().create_future()
        self._reads.add(ended)
        try:
            return await self.read_part(offset, size)
        finally:
            self._reads.remove(ended)
            ended.set_result(None)

    async def until_unread(self) -> None:
        """Returns when no read uses the file, even if cancelled meanwhile."""
        await until_done(*self._reads)


class RackContent:
    """Content that racks can read. Every enrolled rack may read all of it: only a region gives it a SHA-256."""

    def __init__(self, stored: StoredContent) -> None:
        self._stored = stored
        self._offered: dict[str, bytes] = {}
        self._offers: Counter[str] = Counter()
        self._files: dict[str, list[_OfferedFile]] = {}

    @contextmanager
    def offer(self, data: bytes) -> Iterator[str]:
        """Yields the SHA-256 by which racks can read `data` while the block runs."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._offered[sha256] = data
        self._offers[sha256] += 1
        try:
            yield sha256
        finally:
            self._offers[sha256] -= 1
            if not self._offers[sha256]:
                del self._offered[sha256], self._offers[sha256]

    @asynccontextmanager
    async def offer_file(self, sha256: str, read: FileReads) -> AsyncIterator[None]:
        """Lets racks read a file by its SHA-256 while the block runs. `read` returns bytes from an offset on.

        Afterwards nothing reads the file: it may be closed. Of several with the same content, racks read any.
        """
        file, files = _OfferedFile(read), self._files.setdefault(sha256, [])
        files.append(file)
        try:
            yield
        finally:
            files.remove(file)
            if not files:
                del self._files[sha256]
            await file.until_unread()

    async def read(self, wanted: ContentRead) -> ContentPart:
        """Returns a part of the content. Raises NotFound; InvalidRequest for a negative or too large part."""
        if wanted.offset < 0 or not 0 < wanted.size <= CONTENT_PART_BYTES:
            raise InvalidRequest(f"A part has 1 to {CONTENT_PART_BYTES} bytes, from an offset of at least 0.")
        offered = self._offered.get(wanted.sha256)
        if offered is not None:
            return ContentPart(data=offered[wanted.offset : wanted.offset + wanted.size])
        if wanted.sha256 in self._files:
            return ContentPart(data=await self._files[wanted.sha256][0].read(wanted.offset, wanted.size))
        data = await self._stored.read(wanted.sha256, wanted.offset, wanted.size)
        if data is None:
            raise NotFound(f"This region does not have the content {wanted.sha256}.")
        return ContentPart(data=data)
