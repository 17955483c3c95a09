"""Connections that take long and send little: slow headers, slow bodies, nothing at all."""

from __future__ import annotations

import asyncio

from attrs import frozen

from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import BASE, connected, read_answer, stranger

BYTE_EVERY_S = 1.0
_HEAD = f"POST {BASE}machines/ HTTP/1.1\r\nHost: region.example\r\n".encode()
_LENGTH = b"Content-Type: application/json\r\nContent-Length: 16000\r\n\r\n"  # as long as a stranger may send


@frozen(kw_only=True)
class SlowRequests:
    """Many requests, each of which sends `start`, then one byte of `filler` per second."""

    name: str
    what: str
    start: bytes
    filler: bytes
    connections: int = 1000
    addresses: int = 20

    async def run(self, target: Target, tally: Tally) -> None:
        async def send_slowly(number: int) -> None:
            async with connected(target.http_port, stranger(number, self.addresses)) as (reader, writer):
                tally.count("opened")
                writer.write(self.start)
                answer = asyncio.create_task(read_answer(reader))
                try:
                    while not answer.done():
                        writer.write(self.filler)
                        await asyncio.wait([answer], timeout=BYTE_EVERY_S)
                finally:
                    answer.cancel()
                tally.count(answer.result().status)

        await repeat(self.connections, send_slowly, tally)


@frozen(kw_only=True)
class IdleConnections:
    """As many connections as the target allows for, on which nothing is sent; closed ones are opened again.

    They are opened one after the other: a burst of new connections is another attack, which a firewall has to limit.
    """

    name: str = "idle-connections"
    what: str = "5,000 connections from 50 addresses that send nothing"
    addresses: int = 50
    opened_per_s: int = 500
    reopened_after_s: float = 15.0

    async def run(self, target: Target, tally: Tally) -> None:
        async def hold(number: int) -> None:
            if number < target.idle_connections:
                await asyncio.sleep(number / self.opened_per_s)
            async with connected(target.http_port, stranger(number, self.addresses)) as (reader, _):
                tally.count("opened")
                tally.count((await read_answer(reader)).status)
            await asyncio.sleep(self.reopened_after_s)

        await repeat(target.idle_connections, hold, tally)


ATTACKS: tuple[Attack, ...] = (
    SlowRequests(
        name="slow-headers", what="1,000 requests whose headers arrive at a byte per second", start=_HEAD, filler=b"x"
    ),
    SlowRequests(
        name="slow-bodies", what="1,000 requests whose bodies arrive at a byte per second",
        start=_HEAD + _LENGTH, filler=b" ",
    ),
    IdleConnections(),
)  # fmt: skip
