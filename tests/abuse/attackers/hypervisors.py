"""LXD servers that answer without end, a byte per second, or with a redirect to another server."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from attrs import frozen

from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.http_wire import Answer, exchange, request
from tests.lab.support.key_pair import make_key_pair
from tests.support.waiting import eventually

ADMINISTRATOR = "127.0.0.3"
REFRESH_EVERY_S = 0.5
ADMINISTRATOR_S = 100.0  # the region waits for a host that it adds, and the host must be deleted at the end
Respond = Callable[[bytes, bytes, asyncio.StreamWriter], Awaitable[None]]

_UNTRUSTED = {"type": "sync", "metadata": {"auth": "untrusted", "api_version": "1.0", "api_extensions": []}}


@asynccontextmanager
async def served(respond: Respond, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A server that gives each request's head and body to `respond`, and cuts its connections at the end. Yields its
    port.
    """
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await respond(head, await reader.readexactly(_length(head)), writer)
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            connections.discard(writer)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in tuple(connections):
            writer.transport.abort()


def _length(head: bytes) -> int:
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    return next((int(value) for name, _, value in lines if name.strip().lower() == b"content-length"), 0)


def _whole(status: str, body: bytes = b"", header: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{header}\r\n".encode() + body


async def _endless(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(bytes(1024 * 1024))
        await writer.drain()
        await asyncio.sleep(0)  # `drain` alone never learns that the connection has ended


async def _dripping(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(1.0)


def _redirecting(target: str) -> Respond:
    """Answers `/1.0` as LXD does, so that it is sent the trust password, and redirects everything else."""

    async def respond(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        if head.startswith(b"GET /1.0 "):
            writer.write(_whole("200 OK", json.dumps(_UNTRUSTED).encode()))
        else:
            path = head.split(b" ")[1].decode("ascii", "replace")
            writer.write(_whole("307 Temporary Redirect", header=f"Location: {target}{path}\r\n"))

    return respond


@frozen(kw_only=True)
class HostileHypervisor:
    """An administrator adds it with its fingerprint and a trust password, and refreshes it again and again."""

    name: str
    what: str
    answers: Respond | None  # None: a redirect

    async def run(self, target: Target, tally: Tally) -> None:
        pair = make_key_pair("abuse")
        tls = pair.server_context()

        async def overheard(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
            tally.admit(f"{head.split(bytes((13, 10)))[0]!r} with {len(body)} bytes at the target of a redirect")
            writer.write(_whole("200 OK"))

        async def respond(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
            tally.count("served")
            await answers(head, body, writer)

        async with _accomplice(target) as use, served(overheard, tls) as https_port, served(overheard, None) as port:
            target_of = secrets.choice((f"https://127.0.0.1:{https_port}", f"http://127.0.0.1:{port}"))
            answers = self.answers or _redirecting(target_of)
            async with served(respond, tls) as hostile_port:
                await use(hostile_port, pair.fingerprint)


@asynccontextmanager
async def _accomplice(target: Target) -> AsyncIterator[Callable[[int, str], Awaitable[None]]]:
    """Yields what adds the server at a port with a fingerprint and refreshes it; the host is deleted at the end."""
    name = f"hostile-{secrets.token_hex(4)}"
    sent: list[asyncio.Task[Answer]] = []

    async def use(port: int, fingerprint: str) -> None:
        fields = {
            "type": "lxd", "power_address": f"127.0.0.1:{port}", "name": name, "fingerprint": fingerprint,
            "password": secrets.token_hex(16),
        }  # fmt: skip
        sent.append(asyncio.create_task(_send(target, "POST", "vm-hosts/", urlencode(fields).encode())))
        while True:
            await asyncio.wait(sent, timeout=REFRESH_EVERY_S)
            await _send(target, "POST", f"vm-hosts/{name}/?op=refresh")
            await asyncio.sleep(REFRESH_EVERY_S)

    async def is_gone() -> bool:
        answer = await _send(target, "DELETE", f"vm-hosts/{name}/?force=true&keep_trust=true")
        return answer.status in {"204", "404"}

    try:
        yield use
    finally:
        await asyncio.gather(*sent, return_exceptions=True)  # the region adds the host even if its caller leaves
        await eventually(is_gone, deadline_s=ADMINISTRATOR_S, every_s=REFRESH_EVERY_S)


async def _send(target: Target, method: str, path: str, body: bytes = b"") -> Answer:
    data = request(method, path, key=target.administrator_key, body=body, headers={"Prefer": "respond-async"})
    return await exchange(target.http_port, data, address=ADMINISTRATOR, deadline_s=ADMINISTRATOR_S)


ATTACKS: tuple[Attack, ...] = (
    HostileHypervisor(name="lxd-endless", what="an LXD server whose answers have no end", answers=_endless),
    HostileHypervisor(name="lxd-slow", what="an LXD server that answers at a byte per second", answers=_dripping),
    HostileHypervisor(
        name="lxd-redirect", what="an LXD server that redirects, also the trust password, to another", answers=None
    ),
)
