"""Splits the bytes of a connection into frames, each of which follows its length in 4 bytes."""

from __future__ import annotations

_PREFIX_BYTES = 4


def prefixed(frame: bytes) -> tuple[bytes, bytes]:
    """The parts to send."""
    return len(frame).to_bytes(_PREFIX_BYTES, "big"), frame


class FrameTooLong(Exception):
    """The peer announces a frame of `size_bytes`, over the limit."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"a frame of {size_bytes} bytes")
        self.size_bytes = size_bytes


class FrameBuffer:
    """Bytes that have arrived. Its time is proportional to them, in however many pieces a frame arrives."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        self._bytes += data

    def clear(self) -> None:
        self._bytes.clear()

    def next(self, max_bytes: int) -> bytes | None:
        """Removes and returns the first frame; None if it is not complete. Raises FrameTooLong."""
        if len(self._bytes) < _PREFIX_BYTES:
            return None
        size_bytes = int.from_bytes(self._bytes[:_PREFIX_BYTES], "big")
        if size_bytes > max_bytes:
            raise FrameTooLong(size_bytes)
        end = _PREFIX_BYTES + size_bytes
        if len(self._bytes) < end:
            return None
        with memoryview(self._bytes) as view:
            frame = bytes(view[_PREFIX_BYTES:end])
        del self._bytes[:end]
        return frame
