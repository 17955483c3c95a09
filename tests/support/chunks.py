"""The chunked transfer coding of HTTP bodies."""

from __future__ import annotations


def dechunked(body: bytes) -> tuple[bytes, bytes | None]:
    """The data of a chunked body without trailers, and what follows it: None if its end has not come."""
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        if size == b"0":
            return data, body[2:] if body.startswith(b"\r\n") else None
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data, None
