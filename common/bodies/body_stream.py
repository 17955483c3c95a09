"""Sends a response in chunks, no faster than the client reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from common.errors import InnkeeperError

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

STALL_S = 60.0  # in which a client must make room in the send buffer: some 64 KiB
WHOLE_S = 1800.0  # 400 MB at 2 Mbit/s
DISCONNECT_S = 10.0


@implementer(IPushProducer)
class Flow:
    """The state of a transport: whether it takes more. Twisted calls the methods of a producer."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._open = asyncio.Event()
        self._open.set()

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._open.clear()

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._open.set()

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._open.clear()  # disconnected: the request's task is cancelled

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def wait(self) -> None:
        """Raises TimeoutError after `stall_s`."""
        async with asyncio.timeout(self._stall_s):
            await self._open.wait()


async def send(
    request: Any, chunks: AsyncGenerator[bytes, None], *, stall_s: float = STALL_S, whole_s: float = WHOLE_S
) -> None:
    """Writes the chunks to the request, whose head is set, and waits for the client after each.

    After an error, or when the client reads too slowly, the connection is cut, so that no client takes the part for the
    whole: in HTTP/1.1 the last chunk is missing, in any version the end of the JSON text.
    """
    flow = Flow(stall_s)
    request.registerProducer(flow, True)  # Twisted's interface
    try:
        async with asyncio.timeout(whole_s), aclosing(chunks):
            async for chunk in chunks:
                request.write(chunk)
                await flow.wait()
    except TimeoutError:
        log.warning("response_cut", reason="The client reads too slowly.", sent_bytes=request.sentLength)
        await _cut(request)
    except InnkeeperError as error:
        log.warning("response_cut", reason=error.message, code=error.code, sent_bytes=request.sentLength)
        await _cut(request)
    except Exception:  # the boundary: a bug must not end the list either
        log.exception("response_cut", sent_bytes=request.sentLength)
        await _cut(request)
    finally:
        if request.channel is not None:  # else disconnected
            request.unregisterProducer()


async def _cut(request: Any) -> None:
    """Returns by being cancelled, as for any client that disconnects."""
    request.channel.abort()
    await asyncio.sleep(DISCONNECT_S)
