"""A connection's bytes become frames, in turns, until the link ends."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rpc import frame_reader
from common.rpc.frame_reader import FrameReader
from common.rpc.framing import FrameBuffer, FrameTooLong, prefixed
from tests.support.waiting import eventually

LONGEST = 1000


def sent(*frames: bytes) -> bytes:
    return b"".join(part for frame in frames for part in prefixed(frame))


class Connection:
    """Records what is done to it and what its reader passes on. `waits` are the answers of the budget."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.frames: list[bytes] = []
        self.rejected: list[str] = []
        self.is_read = True
        self.reader = FrameReader(self)

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's
        self.is_read = False

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's
        self.is_read = True

    def start(self) -> None:
        self.reader.start(self.frames.append, self._reject, max_bytes=LONGEST, take=self._take)

    def _reject(self, reason: str) -> None:
        self.rejected.append(reason)
        self.reader.stop()

    def _take(self, _: int) -> float:
        return self.waits.pop(0) if self.waits else 0.0


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn ends after one frame."""
    monkeypatch.setattr(frame_reader, "TURN_S", 0.0)


@given(st.lists(st.binary(max_size=50), max_size=10), st.lists(st.integers(1, 40), max_size=20))
def test_frames_are_the_same_in_whatever_pieces_they_arrive(frames: list[bytes], sizes: list[int]) -> None:
    buffer, data, found = FrameBuffer(), sent(*frames), []
    for size in [*sizes, len(data)]:
        buffer.add(data[:size])
        data = data[size:]
        while (frame := buffer.next(LONGEST)) is not None:
            found.append(frame)
    assert found == frames


def test_what_has_arrived_of_a_long_frame_is_not_copied_for_each_piece() -> None:
    """Counted by the memory that a copy needs: how long one takes depends on the machine."""
    size_bytes, piece, copies = 8 * 1024**2, bytes(4096), 0
    pieces = size_bytes // len(piece)
    buffer = FrameBuffer()
    buffer.add(size_bytes.to_bytes(4, "big"))
    tracemalloc.start()
    try:
        for _ in range(pieces):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            assert buffer.next(size_bytes) is None
            buffer.add(piece)
            _, peak = tracemalloc.get_traced_memory()
            copies += peak - before > 10 * len(piece)
    finally:
        tracemalloc.stop()
    assert buffer.next(size_bytes) == bytes(size_bytes)
    assert copies < pieces / 10  # the buffer grows by an eighth, and is copied some forty times


def test_the_length_of_a_frame_is_limited_before_it_arrives() -> None:
    buffer = FrameBuffer()
    buffer.add(sent(b"x" * 11)[:4])
    with pytest.raises(FrameTooLong, match="a frame of 11 bytes"):
        buffer.next(10)


async def test_what_arrives_before_the_link_is_kept_for_it() -> None:
    connection = Connection()
    connection.reader.data_arrived(sent(b"hello"))
    assert (connection.frames, connection.is_read) == ([], False)
    connection.start()
    assert (connection.frames, connection.is_read) == ([b"hello"], True)


@pytest.mark.usefixtures("short_turns")
async def test_many_frames_are_taken_in_several_turns() -> None:
    connection = Connection()
    connection.start()
    connection.reader.data_arrived(sent(b"1", b"2", b"3"))
    assert (connection.frames, connection.is_read) == ([b"1"], False)
    await eventually(lambda: connection.is_read and connection.frames == [b"1", b"2", b"3"])


@pytest.mark.usefixtures("short_turns")
async def test_frames_that_await_their_turn_are_passed_on_at_the_end() -> None:
    connection = Connection()
    connection.start()
    connection.reader.data_arrived(sent(b"1", b"2", b"3"))
    connection.reader.finish()
    assert connection.frames == [b"1", b"2", b"3"]


async def test_a_frame_over_the_budget_delays_the_next() -> None:
    connection = Connection(0.0, 0.001)
    connection.start()
    connection.reader.data_arrived(sent(b"1", b"2", b"3"))
    assert (connection.frames, connection.is_read) == ([b"1", b"2"], False)
    await eventually(lambda: connection.is_read and connection.frames == [b"1", b"2", b"3"])


async def test_nothing_is_kept_after_a_frame_that_is_too_long() -> None:
    connection = Connection()
    connection.start()
    connection.reader.data_arrived(sent(b"1", b"x" * (LONGEST + 1)))
    assert (connection.frames, connection.rejected) == ([b"1"], [f"a frame of {LONGEST + 1} bytes"])
    connection.reader.data_arrived(sent(b"2"))
    assert (connection.frames, connection.reader.discarded_bytes) == ([b"1"], 5)


async def test_a_stopped_reader_reads_on_to_notice_the_end() -> None:
    connection = Connection(60.0)
    connection.start()
    connection.reader.data_arrived(sent(b"1", b"2"))
    assert not connection.is_read
    connection.reader.stop()
    assert connection.is_read
    connection.reader.data_arrived(sent(b"3"))
    assert connection.frames == [b"1"]
