"""A user whose browser opens the stream of a page again and again, and closes none."""

from __future__ import annotations

import asyncio

from attrs import frozen

from regiond.ui.serving.stream import MAX_PER_ACCOUNT
from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import connected, read_head, stranger

HEAD_S = 30.0


@frozen(kw_only=True)
class PageStreams:
    """More connections than the region serves, with one session. Those that are refused are opened again."""

    name: str = "page-streams"
    what: str = "2,060 streams of pages, from 20 addresses, with one session of a user"
    connections: int = 2060
    addresses: int = 20
    opened_per_s: int = 250
    reopened_after_s: float = 15.0

    async def run(self, target: Target, tally: Tally) -> None:
        data = f"GET /MAAS/ui/stream HTTP/1.1\r\nHost: region.example\r\nCookie: {target.user_cookie}\r\n\r\n".encode()
        streams = 0

        async def hold(number: int) -> None:
            nonlocal streams
            if number < self.connections:
                await asyncio.sleep(number / self.opened_per_s)
            async with connected(target.http_port, stranger(number, self.addresses)) as (reader, writer):
                writer.write(data)
                async with asyncio.timeout(HEAD_S):
                    status = await read_head(reader)
                if status != "200":
                    tally.count(status)
                else:
                    tally.count("opened")
                    streams += 1
                    if streams > MAX_PER_ACCOUNT:
                        tally.admit(f"{streams} streams")
                    try:
                        await reader.read()
                    finally:
                        streams -= 1
            await asyncio.sleep(self.reopened_after_s)

        await repeat(self.connections, hold, tally)


ATTACKS: tuple[Attack, ...] = (PageStreams(),)
