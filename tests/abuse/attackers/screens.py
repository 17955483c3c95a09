"""Screens: who may not open one, viewers that stop in the middle of a frame, and viewers that read no picture."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from attrs import frozen
from websockets.frames import Frame, Opcode

from regiond.machines.running.console.limits import DEFAULT_LIMITS
from regiond.machines.running.console.screens import MAX_CONNECTIONS
from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import (
    CLOSED,
    Streams,
    authorization,
    connected,
    exchange,
    read_head,
    stranger,
    websocket_request,
)
from tests.doubles.vnc_client import VERSION, Screen, asked, key

ADDRESSES = 20
HANDSHAKE_S = 30.0
SHARED = "shared"  # the name of a screen that has too many connections
_UPGRADED = "101"
_BINARY, _PING = 0x82, 0x89  # first bytes of a frame
_PICTURE = Screen(width=320, height=240, name="")


@frozen(kw_only=True)
class ScreenStrangers:
    """Each request lacks one thing that opens a screen."""

    name: str = "screen-strangers"
    what: str = "requests for screens with a wrong key, without a role, from another site, and half ones"
    callers: int = 16

    async def run(self, target: Target, tally: Tally) -> None:
        async def ask(number: int) -> None:
            requests = _requests_of_strangers(target)
            what = tuple(requests)[number % len(requests)]
            found = await exchange(target.http_port, requests[what], address=stranger(number, ADDRESSES))
            tally.count(found.status)
            if found.status == _UPGRADED:
                tally.admit(f"a screen {what}")

        await repeat(self.callers, ask, tally)


def _requests_of_strangers(target: Target) -> Mapping[str, bytes]:
    """By what is wrong with them."""
    own, page = f"machines/{target.viewer_machine}/?op=screen", f"/MAAS/ui/vms/{target.viewer_machine}/screen/socket"
    signed = {"Authorization": authorization(target.viewer_key)}
    forged = {"Authorization": authorization(f"{target.viewer_key.rsplit(':', 1)[0]}:wrong")}
    cookie = {"Cookie": target.viewer_cookie}
    return {
        "without a key": websocket_request(own, {}),
        "with a wrong key": websocket_request(own, forged),
        "without a role": websocket_request(f"machines/{target.user_machine}/?op=screen", signed),
        "of no machine": websocket_request("machines/nosuch/?op=screen", signed),
        "from another site": websocket_request(page, {**cookie, "Origin": "https://elsewhere.example"}),
        "from no site": websocket_request(page, cookie),
        "without a session": websocket_request(page, {"Origin": "http://region.example"}),
        "by a wrong version": websocket_request(own, signed).replace(b"Version: 13", b"Version: 1"),
    }


@frozen(kw_only=True)
class HalfOpenScreens:
    """Half of the viewers share a screen, the others have one each; all stop in the middle of their first frame."""

    name: str = "screen-half-open"
    what: str = "60 viewers of a user, three times as many as are served, that send half a frame and no more"
    callers: int = 60
    reopened_after_s: float = 5.0

    async def run(self, target: Target, tally: Tally) -> None:
        served: Counter[str] = Counter()

        async def hold(number: int) -> None:
            name = SHARED if number % 2 else f"screen-{number}"
            async with _opened(target, name, tally, stranger(number, ADDRESSES)) as streams:
                if streams is not None:
                    reader, writer = streams
                    served[name] += 1
                    _judge(served, tally)
                    writer.write(Frame(Opcode.BINARY, VERSION).serialize(mask=True)[:3])
                    try:
                        await reader.read()
                    finally:
                        served[name] -= 1
            await asyncio.sleep(self.reopened_after_s)

        await repeat(self.callers, hold, tally)


def _judge(served: Counter[str], tally: Tally) -> None:
    if len(+served) > DEFAULT_LIMITS.per_account:
        tally.admit(f"{len(+served)} screens")
    if served[SHARED] > MAX_CONNECTIONS:
        tally.admit(f"{served[SHARED]} connections of a screen")


@frozen(kw_only=True)
class ScreenFlood:
    """As many screens as an account may have, on one machine. What they ask for would fill any buffer."""

    name: str = "screen-flood"
    what: str = "8 screens of a user that press keys and ask for pictures as fast as they can, and read nothing"
    callers: int = DEFAULT_LIMITS.per_account

    async def run(self, target: Target, tally: Tally) -> None:
        frames = _frame(key(0x61, down=True) + asked(_PICTURE, incremental=False)) * 500

        async def flood(number: int) -> None:
            async with _opened(target, f"screen-{number}", tally, stranger(number, 1)) as streams:
                if streams is None:
                    return
                reader, writer = streams
                writer.write(_frame(VERSION) + _frame(b"\x01") + _frame(b"\x01"))
                reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001  # there is no other way
                while not writer.is_closing():
                    writer.write(frames)
                    await writer.drain()
                tally.count(CLOSED)

        await repeat(self.callers, flood, tally)


@asynccontextmanager
async def _opened(target: Target, name: str, tally: Tally, address: str) -> AsyncIterator[Streams | None]:
    """Yields the connection of a screen that has sent its first bytes; None, counted, for one that was refused."""
    signed = {"Authorization": authorization(target.viewer_key)}
    data = websocket_request(f"machines/{target.viewer_machine}/?op=screen&screen={name}", signed)
    async with connected(target.http_port, address) as (reader, writer):
        writer.write(data)
        async with asyncio.timeout(HANDSHAKE_S):
            status = await read_head(reader)
            is_served = status == _UPGRADED and await _is_shown(reader)
        if is_served:
            tally.count("opened")
            yield reader, writer
        else:
            tally.count(CLOSED if status == _UPGRADED else status)
            yield None


async def _is_shown(reader: asyncio.StreamReader) -> bool:
    """Whether bytes of the screen arrive, and not the text that says why there is none. A ping comes before both."""
    while (head := await reader.readexactly(2))[0] == _PING:
        await reader.readexactly(head[1])
    return head[0] == _BINARY


def _frame(data: bytes) -> bytes:
    return Frame(Opcode.BINARY, data).serialize(mask=True)


ATTACKS: tuple[Attack, ...] = (ScreenStrangers(), HalfOpenScreens(), ScreenFlood())
