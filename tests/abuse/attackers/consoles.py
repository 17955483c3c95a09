"""A user who opens consoles of a machine, sends pings without end, and never reads an answer."""

from __future__ import annotations

import asyncio

from attrs import frozen
from websockets.frames import Frame, Opcode

from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import CLOSED, authorization, connected, stranger, websocket_request

OPENED = "opened"
HANDSHAKE_S = 30.0
_PINGS = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 2000


@frozen(kw_only=True)
class ConsolePings:
    """As many consoles as an account may have, on one machine of this account."""

    name: str = "console-pings"
    what: str = "8 consoles of a user that send pings as fast as they can, and read nothing"
    callers: int = 8

    async def run(self, target: Target, tally: Tally) -> None:
        async def flood(number: int) -> None:
            async with connected(target.http_port, stranger(number, 1)) as (reader, writer):
                writer.write(_handshake(target))
                async with asyncio.timeout(HANDSHAKE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                status = head.split(b" ")[1].decode()
                tally.count(OPENED if status == "101" else status)
                reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001  # there is no other way
                while not writer.is_closing():
                    writer.write(_PINGS)
                    await writer.drain()
                tally.count(CLOSED)

        await repeat(self.callers, flood, tally)


def _handshake(target: Target) -> bytes:
    return websocket_request(
        f"machines/{target.user_machine}/?op=console", {"Authorization": authorization(target.user_key)}
    )


ATTACKS: tuple[Attack, ...] = (ConsolePings(),)
