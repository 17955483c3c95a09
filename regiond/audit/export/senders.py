"""Sends entries of the audit trail to a syslog server or a web server."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen
from cryptography.x509 import load_pem_x509_certificates
from twisted.web.http_headers import Headers

from common.bodies.bounded_body import TooLarge
from common.errors import BadSettings
from common.process.http_request import BROKEN, UNREACHABLE, Broken, reason_of, whole
from common.process.https_policy import HttpsPolicy
from common.trust.server_trust import BY_THE_COMPUTER, ServerTrust
from regiond.audit.export.model import Destination, Transport, json_lines, syslog_message
from regiond.audit.model import RawEntry

CONNECT_DEADLINE_S = 10.0
DOUBTFUL_S = 10.0  # a server that lives reads within this time
_ACKNOWLEDGED_EVERY_S = 0.02
_TOO_LARGE = 413
_REMEMBERED = 10_000
_READ_BYTES = 4096
_OUTSIDE_HTTP = 300
_ANSWER_S = 60.0  # to connect, send, and receive all of the answer; who sends may wait for less
_MAX_ANSWER_BYTES = 1024**2
_MAX_UNASKED_BYTES = 1024**2  # what a syslog server sends, which has nothing to say


class NotSent(Exception):
    """The destination has not taken the entries, or not all; the message says why."""


class TooManyEntries(NotSent):
    """The destination takes fewer entries at once."""


class Doubtful(NotSent):
    """The server cut the connection: what was sent after the entry `after_id` may be lost."""

    def __init__(self, message: str, after_id: int) -> None:
        super().__init__(message)
        self.after_id = after_id


class Sender(Protocol):
    async def send(self, entries: Sequence[RawEntry]) -> None:
        """Returns once the destination has the entries. Raises NotSent; then some may have arrived."""

    async def close(self) -> None:
        """Closes the connection. Idempotent."""


@frozen(kw_only=True)
class Secrets:
    """Files of the settings: certificates to trust instead of the computer's, and a header line for web servers."""

    ca: Path | None = None
    header: Path | None = None

    def header_line(self) -> tuple[str, str] | None:
        """Reads the file each time, so that it can be replaced. Raises NotSent."""
        if self.header is None:
            return None
        try:
            name, colon, value = self.header.read_text("utf-8").strip().partition(":")
        except (OSError, UnicodeDecodeError) as error:
            raise NotSent(f"cannot read audit_export_header {self.header}: {error}") from error
        if not colon or "\n" in value:
            raise NotSent(f"audit_export_header {self.header} is not one line such as: Authorization: Bearer abc")
        return name.strip(), value.strip()


def make_sender(destination: Destination, secrets: Secrets) -> Sender:
    """Raises BadSettings if the certificates to trust cannot be used."""
    match destination.transport:
        case Transport.HTTP | Transport.HTTPS:
            return _Web(destination, secrets, _policy(secrets.ca))
        case Transport.TCP | Transport.TLS:
            return _Stream(destination, _tls(secrets.ca) if destination.transport is Transport.TLS else None)
        case _:
            return _Datagrams(destination)


@define
class _Stream:
    """Syslog over TCP or TLS, with the length before each message (RFC 6587, RFC 5425).

    Syslog has no reply. The entries count as sent once the server's computer has acknowledged all bytes. What it had
    not read when it cut the connection is lost all the same: those of the last seconds before are then doubtful.
    """

    destination: Destination
    tls: ssl.SSLContext | None
    clock: Callable[[], float] = time.monotonic
    _connected: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, init=False)
    _watch: asyncio.Task[None] | None = field(default=None, init=False)
    _cut_at: float | None = field(default=None, init=False)
    _sent: deque[tuple[float, int]] = field(factory=lambda: deque(maxlen=_REMEMBERED), init=False)

    async def send(self, entries: Sequence[RawEntry]) -> None:
        if self._connected is not None and self._connected[0].at_eof():
            self._cut()
        self._report_doubtful()
        try:
            reader, writer = await self._connection()
            for entry in entries:
                message = syslog_message(entry, hostname=socket.gethostname())
                writer.write(f"{len(message)} ".encode() + message)
            await writer.drain()
            while _unacknowledged_bytes(writer) > 0 and not reader.at_eof():  # noqa: ASYNC110  # the kernel has no event
                await asyncio.sleep(_ACKNOWLEDGED_EVERY_S)
        except OSError as error:
            self._cut()
            raise NotSent(f"{self.destination.name}: {error}") from error
        except asyncio.CancelledError:  # it may have taken a part of a message
            self._cut()
            raise
        if reader.at_eof():
            self._cut()
            raise NotSent(f"{self.destination.name}: the server closed the connection")
        self._sent.append((self.clock(), entries[0].id - 1))

    def _report_doubtful(self) -> None:
        """Raises Doubtful once after the server has cut a connection, unless nothing was sent shortly before."""
        cut_at, self._cut_at = self._cut_at, None
        if cut_at is None:
            return
        after_ids = [after_id for sent_at, after_id in self._sent if sent_at > cut_at - DOUBTFUL_S]
        self._sent.clear()
        if after_ids:
            raise Doubtful(f"{self.destination.name}: the server closed the connection", min(after_ids))

    def _cut(self) -> None:
        """Ends a connection that has failed, if there is one."""
        self._cut_at = self._cut_at or self.clock()
        if self._watch is not None:
            self._watch.cancel()
        connected, self._connected = self._connected, None
        if connected is not None:
            connected[1].transport.abort()

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        connected, self._connected = self._connected, None
        if connected is not None:
            connected[1].close()  # after what was sent

    async def _watch_for_cut(self, reader: asyncio.StreamReader) -> None:
        """Notes when the server ends the connection, and ends it if it sends and sends: that is of no interest."""
        received = 0
        with suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                received += len(data)
                if received > _MAX_UNASKED_BYTES and self._connected is not None:
                    self._connected[1].transport.abort()
                    await self._connected[1].wait_closed()
        self._cut_at = self.clock()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connected is not None:
            return self._connected
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                self._connected = await asyncio.open_connection(
                    self.destination.host, self.destination.port, ssl=self.tls
                )
        except TimeoutError as error:  # has no words of its own
            raise TimeoutError(str(error) or f"no connection within {CONNECT_DEADLINE_S:.0f} s") from error
        self._watch = asyncio.create_task(self._watch_for_cut(self._connected[0]), name="audit_export_connection")
        return self._connected


def _unacknowledged_bytes(writer: asyncio.StreamWriter) -> int:
    """Returns how many bytes the server's computer has not acknowledged."""
    waiting = writer.transport.get_write_buffer_size()
    connection: socket.socket = writer.get_extra_info("socket")
    if connection.fileno() < 0:
        raise ConnectionResetError("the server closed the connection")
    (queued,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return waiting + int(queued)


@define
class _Datagrams:
    """Syslog over UDP (RFC 5426) or a Unix socket. UDP does not report what the network or the server loses."""

    destination: Destination

    async def send(self, entries: Sequence[RawEntry]) -> None:
        loop = asyncio.get_running_loop()
        hostname, max_bytes = socket.gethostname(), self.destination.max_bytes
        try:
            with await self._socket() as sender:
                for entry in entries:
                    await loop.sock_sendall(sender, syslog_message(entry, hostname=hostname, max_bytes=max_bytes))
        except OSError as error:
            raise NotSent(f"{self.destination.name}: {error}") from error

    async def close(self) -> None:
        """Does nothing: each call has a socket of its own."""

    async def _socket(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        if self.destination.transport is Transport.UNIX:
            family, address = socket.AF_UNIX, self.destination.path
        else:
            found = await loop.getaddrinfo(self.destination.host, self.destination.port, type=socket.SOCK_DGRAM)
            family, address = found[0][0], found[0][4]  # type: ignore[assignment]
        sender = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        sender.setblocking(False)
        try:
            await loop.sock_connect(sender, address)
        except BaseException:
            sender.close()
            raise
        return sender


@define
class _Web:
    """Posts the entries as JSON lines. A status of 2xx means that the server has stored them."""

    destination: Destination
    secrets: Secrets
    policy: HttpsPolicy

    async def send(self, entries: Sequence[RawEntry]) -> None:
        from twisted.internet import reactor  # noqa: PLC0415  # after the reactor was chosen

        headers = Headers({"Content-Type": ["application/x-ndjson"]})
        if (line := self.secrets.header_line()) is not None:
            headers.setRawHeaders(line[0], [line[1]])
        try:
            response, _ = await whole(
                reactor, self.policy, "POST", self.destination.url, headers, json_lines(entries),
                connect_s=CONNECT_DEADLINE_S, deadline_s=_ANSWER_S, max_bytes=_MAX_ANSWER_BYTES,
            )  # fmt: skip
        except TooLarge as error:
            raise NotSent(f"{self.destination.name}: answered with {error}") from error
        except BROKEN as error:
            raise NotSent(f"{self.destination.name}: {Broken.of(error).reason}") from error
        except TimeoutError as error:
            raise NotSent(f"{self.destination.name}: no answer within {_ANSWER_S:.0f} s") from error
        except (*UNREACHABLE, OSError) as error:
            raise NotSent(f"{self.destination.name}: {reason_of(error)}") from error
        if response.code == _TOO_LARGE:
            raise TooManyEntries(f"{self.destination.name}: answered {response.code}")
        if not 200 <= response.code < _OUTSIDE_HTTP:
            raise NotSent(f"{self.destination.name}: answered {response.code}")

    async def close(self) -> None:
        """Does nothing: each request has a connection of its own."""


def _policy(ca: Path | None) -> HttpsPolicy:
    if ca is None:
        return HttpsPolicy(BY_THE_COMPUTER)
    try:
        pem = ca.read_text("utf-8", "replace")
        load_pem_x509_certificates(pem.encode())
    except (OSError, ValueError) as error:
        raise BadSettings(f"Cannot read certificates from audit_export_ca {ca}: {error}.") from error
    return HttpsPolicy(ServerTrust(authority_pem=pem))


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise BadSettings(f"Cannot read certificates from audit_export_ca {ca}: {error}.") from error
