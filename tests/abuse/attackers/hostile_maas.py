"""A MAAS whose answers are too many objects, too large, nested, without end, or a byte per second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from attrs import frozen

from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.attackers.hypervisors import ADMINISTRATOR, ADMINISTRATOR_S, served
from tests.abuse.http_wire import exchange, request

KEY = "consumer:token:secret"
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
# What it says of itself is what a MAAS says, so that everything else is asked, too.
_HONEST = {
    b"/version/": {"version": "3.5.0", "capabilities": []},
    b"?op=whoami": {"username": "admin", "is_superuser": True},
}
Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


def rows(size_bytes: int) -> bytes:
    """A list of empty objects: of all JSON, what takes most memory and time for its size."""
    return b"[" + b"{}," * (size_bytes // 3) + b"{}]"


def whole(body: bytes) -> Respond:
    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(_JSON + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return respond


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(_JSON + b"\r\n[")
    while not writer.is_closing():
        writer.write(b"{}," * 100_000)
        await writer.drain()
        await asyncio.sleep(0)


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(_JSON)
    while not writer.is_closing():
        writer.write(b"X-More: headers\r\n" * 10_000)
        await writer.drain()
        await asyncio.sleep(0)


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(_JSON + b"Content-Length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(1.0)


@frozen(kw_only=True)
class HostileMaas:
    """An administrator begins an import from it, and registers it for the bridge, again and again."""

    name: str
    what: str
    respond: Respond

    async def run(self, target: Target, tally: Tally) -> None:
        async def answer(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
            tally.count("served")
            honest = next((found for end, found in _HONEST.items() if end + b" " in head), None)
            await (self.respond if honest is None else whole(json.dumps(honest).encode()))(writer)

        async with served(answer, None) as port:
            fields = {"url": f"http://127.0.0.1:{port}/MAAS", "key": KEY}
            while True:
                data = request(
                    "POST", "maas-imports/", key=target.administrator_key, body=urlencode(fields).encode()
                )  # fmt: skip
                found = await exchange(
                    target.http_port, data, address=ADMINISTRATOR, deadline_s=ADMINISTRATOR_S
                )  # fmt: skip
                tally.count(found.status)
                await asyncio.sleep(0.1)


ATTACKS: tuple[Attack, ...] = (
    HostileMaas(name="maas-rows", what="a MAAS whose lists have half a MiB of objects", respond=whole(rows(2**19))),
    HostileMaas(name="maas-large", what="a MAAS whose lists have 16 MiB of objects", respond=whole(rows(2**24))),
    HostileMaas(name="maas-nested", what="a MAAS whose lists are nested", respond=whole(b"[" * 2**20)),
    HostileMaas(name="maas-endless", what="a MAAS whose answers have no end", respond=endless),
    HostileMaas(name="maas-headers", what="a MAAS whose headers have no end", respond=endless_headers),
    HostileMaas(name="maas-slow", what="a MAAS that answers at a byte per second", respond=dripping),
)
