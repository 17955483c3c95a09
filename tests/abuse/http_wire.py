"""HTTP on plain sockets: signed requests for the well-behaved client, arbitrary bytes for attackers."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen

BASE = "/MAAS/api/2.0/"
CLOSED = "closed"  # the region ended the connection without an answer
CONNECT_S = 30.0
ANSWER_S = 30.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@frozen
class Answer:
    """`status` is a number, or CLOSED."""

    status: str
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


def stranger(number: int, addresses: int) -> str:
    """One of so many loopback addresses, each of which is a client of its own to the region."""
    return f"127.0.1.{1 + number % addresses}"


def authorization(key: str) -> str:
    """The header that signs a request with an API key."""
    consumer, token, secret = key.split(":")
    return (
        f'OAuth oauth_version="1.0", oauth_signature_method="PLAINTEXT", oauth_consumer_key="{consumer}", '
        f'oauth_token="{token}", oauth_signature="%26{secret}", oauth_nonce="{secrets.token_hex(8)}", '
        f'oauth_timestamp="{int(time.time())}"'
    )


def request(
    method: str,
    path: str,
    *,
    key: str | None = None,
    body: bytes = b"",
    content_type: str = "application/x-www-form-urlencoded",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a request. `path` is below the API's base, or absolute."""
    target = path if path.startswith("/") else BASE + path
    lines = [f"{method} {target} HTTP/1.1", "Host: region.example", "Connection: close"]
    if key is not None:
        lines.append(f"Authorization: {authorization(key)}")
    if body:
        lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def websocket_request(path: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of a request for a WebSocket. `path` is below the API's base, or absolute."""
    target = path if path.startswith("/") else BASE + path
    lines = (
        f"GET {target} HTTP/1.1", "Host: region.example", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


@asynccontextmanager
async def connected(port: int, address: str) -> AsyncIterator[Streams]:
    """A connection from that address of this machine; cut at the end. Raises OSError."""
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(address, 0), limit=_MAX_ANSWER_BYTES
        )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exchange(port: int, data: bytes, *, address: str, deadline_s: float = ANSWER_S) -> Answer:
    """Sends the bytes and reads the answer, also one that arrives before all is sent. Raises TimeoutError."""
    try:
        async with asyncio.timeout(deadline_s), connected(port, address) as (reader, writer):
            writer.write(data)
            return await read_answer(reader)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        return Answer(CLOSED)


async def read_head(reader: asyncio.StreamReader) -> str:
    """The status of an answer, whose body is yet to come; CLOSED without one."""
    head = await _until_end_of_head(reader)
    return head.split(b" ", 2)[1].decode("ascii", "replace") if head.startswith(b"HTTP/1.1 ") else CLOSED


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Reads until the region ends the connection; a later loss does not change a status that has arrived."""
    status = await read_head(reader)
    if status == CLOSED:
        return Answer(CLOSED)
    try:
        return Answer(status, await reader.read(_MAX_ANSWER_BYTES))
    except ConnectionError:
        return Answer(status)


async def _until_end_of_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
