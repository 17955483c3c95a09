"""A response that cannot be sent whole ends with a cut connection, whatever the reason, and never as a complete one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from attrs import define, field

from common.bodies.body_stream import send
from common.errors import DatabaseUnavailable
from tests.support.waiting import eventually

LONG_S = 100.0


@define
class Connection:
    """The request of a client: it takes `takes` chunks, then nothing more until `continues`."""

    takes: int
    written: list[bytes] = field(factory=list)
    is_cut: bool = False
    producer: Any = None
    sentLength: int = 0  # noqa: N815  # Twisted's name

    @property
    def channel(self) -> Connection:
        return self

    def abort(self) -> None:
        self.is_cut = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802  # Twisted's
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802  # Twisted's name
        self.producer = None

    def write(self, chunk: bytes) -> None:
        self.written.append(chunk)
        if len(self.written) == self.takes:
            self.producer.pauseProducing()

    def continues(self) -> None:
        self.takes = -1
        self.producer.resumeProducing()


async def counted(number: int, then: Callable[[], object] = int) -> AsyncGenerator[bytes, None]:
    """So many chunks; calls `then` before it ends."""
    for one in range(number):
        yield b"%d" % one
        await asyncio.sleep(0)
    then()


async def cut_after(connection: Connection, chunks: AsyncGenerator[bytes, None], **limits: float) -> int:
    """Returns the number of chunks that were written until the connection was cut; the work does not end by itself."""
    sending = asyncio.create_task(send(connection, chunks, **limits))
    await eventually(lambda: connection.is_cut or sending.done())
    assert not sending.done(), "the response ended as a complete one"
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert connection.producer is None
    return len(connection.written)


async def test_the_next_chunk_waits_for_the_client() -> None:
    connection = Connection(takes=3)
    sending = asyncio.create_task(send(connection, counted(8)))
    await eventually(lambda: len(connection.written) == 3)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(connection.written) == 3
    connection.continues()
    await sending
    assert (len(connection.written), connection.is_cut) == (8, False)


async def test_a_client_that_takes_nothing_is_disconnected() -> None:
    assert await cut_after(Connection(takes=3), counted(8), stall_s=0.01, whole_s=LONG_S) == 3


async def test_a_client_that_needs_too_long_is_disconnected() -> None:
    connection = Connection(takes=-1)
    assert await cut_after(connection, counted(10**9), stall_s=LONG_S, whole_s=0.01) > 0


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), RuntimeError("a bug")], ids=["error", "bug"])
async def test_an_error_on_the_way_cuts_the_connection(error: Exception) -> None:
    def fail() -> None:
        raise error

    assert await cut_after(Connection(takes=-1), counted(4, fail), stall_s=LONG_S, whole_s=LONG_S) == 4
