"""Consoles of a rack: what is between the guest and the region, and what ends them."""

from __future__ import annotations

import queue
import threading

import pytest

from common.errors import Busy, HostUnreachable, NotFound
from common.rpc.commands.console_commands import CONSOLE_PART_BYTES
from rackd.console_session import MAX_WAITING_BYTES, ConsoleSession
from tests.support.waiting import eventually


class Guest:
    """A guest whose output the test gives; None ends it, an error is raised."""

    def __init__(self) -> None:
        self.output: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self.typed: list[bytes] = []
        self.takes = threading.Event()
        self.takes.set()
        self.closed = threading.Event()

    def read(self) -> bytes:
        found = self.output.get()
        if isinstance(found, Exception):
            raise found
        return found

    def write(self, data: bytes) -> None:
        self.takes.wait()
        self.typed.append(data)

    def close(self) -> None:
        self.closed.set()
        self.takes.set()
        self.output.put(b"")


async def test_output_and_input_pass_in_their_order() -> None:
    guest = Guest()
    session = ConsoleSession(guest)
    guest.output.put(b"login: ")
    assert await session.output() == b"login: "
    session.type(b"ro")
    session.type(b"ot")
    await eventually(lambda: guest.typed == [b"ro", b"ot"])
    session.close()
    await eventually(guest.closed.is_set)


async def test_output_that_nobody_takes_is_dropped_and_bounded() -> None:
    guest = Guest()
    session = ConsoleSession(guest)
    for _ in range(2 * MAX_WAITING_BYTES // 4096):
        guest.output.put(b"x" * 4096)
    guest.output.put(b"the end")
    guest.output.put(b"")
    await eventually(guest.output.empty)
    parts = []
    while part := await session.output():
        assert len(part) <= CONSOLE_PART_BYTES
        parts.append(part)
    text = b"".join(parts)
    assert text.endswith(b"the end")
    assert b"[output was dropped]" in text
    assert len(text) <= MAX_WAITING_BYTES + 4096
    session.close()


async def test_a_screen_loses_nothing_and_is_read_as_far_as_it_is_taken() -> None:
    guest = Guest()
    session = ConsoleSession(guest, loses_output=False)
    parts = [bytes((number % 256,)) * 4096 for number in range(4 * MAX_WAITING_BYTES // 4096)]
    for part in parts:
        guest.output.put(part)
    guest.output.put(b"")
    found = await session.output()
    assert guest.output.qsize() > len(parts) // 2
    while part := await session.output():
        found += part
    assert found == b"".join(parts)
    session.close()


async def test_closing_a_screen_ends_a_reader_that_is_held() -> None:
    guest = Guest()
    session = ConsoleSession(guest, loses_output=False)
    for _ in range(4 * MAX_WAITING_BYTES // 4096):
        guest.output.put(b"x" * 4096)
    assert await session.output()
    session.close()
    await eventually(guest.output.empty)


async def test_a_guest_that_takes_no_input_is_busy() -> None:
    guest = Guest()
    guest.takes.clear()
    session = ConsoleSession(guest)

    def type_much() -> None:
        for _ in range(1000):
            session.type(b"x")

    with pytest.raises(Busy):
        type_much()
    session.close()
    await eventually(guest.closed.is_set)


async def test_the_error_of_the_guest_ends_the_console() -> None:
    guest = Guest()
    session = ConsoleSession(guest)
    guest.output.put(b"last words")
    guest.output.put(HostUnreachable("The host is gone."))
    assert await session.output() == b"last words"
    with pytest.raises(HostUnreachable):
        await session.output()
    with pytest.raises(NotFound):
        session.type(b"x")
    session.close()
