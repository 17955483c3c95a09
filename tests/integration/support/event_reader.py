"""A client of `events/stream` on a plain socket, which reads as slowly as a test wants."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from attrs import define, field, frozen

from regiond.accounts.model import ApiKey
from tests.unit.support.api_double import authorization

DEADLINE_S = 60.0


@frozen(kw_only=True)
class Sent:
    """One block of the stream. `data` is None for one that only sets the position or is a comment."""

    id: str
    kind: str
    data: Any
    comment: str


@define
class EventReader:
    status: int
    headers: Mapping[str, str]
    stream: asyncio.StreamReader
    _text: str = field(default="", init=False)

    async def next(self) -> Sent:
        found = await self.next_or_end()
        assert found is not None, "the stream has ended"
        return found

    async def next_or_end(self) -> Sent | None:
        """The next block; None at the end of the response."""
        async with asyncio.timeout(DEADLINE_S):
            while "\n\n" not in self._text:
                size = int(await self.stream.readline() or b"0", 16)
                if size == 0:
                    return None
                self._text += (await self.stream.readexactly(size + 2))[:-2].decode()
        block, _, self._text = self._text.partition("\n\n")
        pairs = dict(line.split(": ", 1) for line in block.split("\n"))
        data = json.loads(pairs["data"]) if "data" in pairs else None
        return Sent(id=pairs.get("id", ""), kind=pairs.get("event", ""), data=data, comment=pairs.get("", ""))

    async def events(self, number: int) -> list[Any]:
        """The data of the next events."""
        found: list[Any] = []
        while len(found) < number:
            one = await self.next()
            if one.data is not None:
                found.append(one.data)
        return found

    async def rest(self) -> list[Sent]:
        """All blocks until the end of the response."""
        found = []
        while (one := await self.next_or_end()) is not None:
            found.append(one)
        return found


@asynccontextmanager
async def reading(
    url: str, key: str, path: str = "events/stream", *, method: str = "GET", **headers: str
) -> AsyncIterator[EventReader]:
    """A stream whose head has been read. `url` is the base of the API."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**16)
    signature = authorization(ApiKey.parse(key), nonce=uuid4().hex, timestamp_s=time.time())
    lines = [f"{method} {parts.path}{path} HTTP/1.1", f"Host: {parts.netloc}", f"Authorization: {signature}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        async with asyncio.timeout(DEADLINE_S):
            first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        found = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        yield EventReader(int(first.split(" ")[1]), found, reader)
    finally:
        writer.transport.abort()
