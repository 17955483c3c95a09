"""Reads a long list from a socket, and meanwhile short answers: how the list arrives, and what others notice of it."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from attrs import frozen
from oauthlib.oauth1 import SIGNATURE_PLAINTEXT, Client

from innkeeper.http import Api

READ_BYTES = 1024 * 1024
PROBE = b"GET /healthz/live HTTP/1.1\r\nHost: region\r\n\r\n"
LIVE = b"\r\n\r\nlive"


@frozen(kw_only=True)
class Arrival:
    """`longest_pause_ms` is the slowest of the short answers, each requested when the one before had arrived."""

    first_byte_s: float
    whole_s: float
    body_bytes: int
    longest_pause_ms: float

    def __str__(self) -> str:
        return (
            f"first byte {self.first_byte_s * 1000:.0f} ms, {self.body_bytes / 1e6:.1f} MB in {self.whole_s:.1f} s, "
            f"longest pause {self.longest_pause_ms:.0f} ms"
        )


async def read_list(api: Api, key: str, path: str, *, headers: tuple[str, ...] = ()) -> Arrival:
    """Reads the list at `path`. `headers` are more lines of the request, such as `Accept-Encoding: gzip`."""
    url = api.url + path
    consumer, token, secret = key.split(":")
    client = Client(
        consumer, client_secret="", resource_owner_key=token, resource_owner_secret=secret,
        signature_method=SIGNATURE_PLAINTEXT,
    )  # fmt: skip
    signature = client.sign(url)[1]["Authorization"]
    parts = urlsplit(url)
    lines = (f"GET {parts.path}?{parts.query} HTTP/1.1", "Host: region", f"Authorization: {signature}")
    request = "\r\n".join((*lines, "Connection: close", *headers, "", "")).encode()
    done = asyncio.Event()
    probing = asyncio.create_task(_longest_pause_s(parts.hostname or "", parts.port or 80, done))
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"{path}: {head.splitlines()[0].decode()}")
    first_byte_s = time.perf_counter() - began
    size = 0
    while data := await reader.read(READ_BYTES):
        size += len(data)
    whole_s = time.perf_counter() - began
    done.set()
    writer.close()
    return Arrival(
        first_byte_s=first_byte_s, whole_s=whole_s, body_bytes=size, longest_pause_ms=1000 * await probing
    )  # fmt: skip


async def _longest_pause_s(host: str, port: int, done: asyncio.Event) -> float:
    reader, writer = await asyncio.open_connection(host, port)
    longest_s = 0.0
    while not done.is_set():
        began = time.perf_counter()
        writer.write(PROBE)
        await reader.readuntil(LIVE)
        longest_s = max(longest_s, time.perf_counter() - began)
        await asyncio.sleep(0.002)
    writer.close()
    return longest_s
