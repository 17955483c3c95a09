"""A TLS connection that one thread reads and others write: one at a time is in OpenSSL, and none waits there."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import pytest
from attrs import frozen

from rackd.drivers.lxd.shared_tls import SharedTls
from rackd.drivers.lxd.tls import context
from tests.lab.key_pair import KeyPair, make_key_pair

LONG_S = 60.0  # only what is broken takes as long
MUCH = bytes(8 * 1024 * 1024)  # more than the kernel takes before somebody reads it


class Watched(ssl.SSLSocket):
    """Calls `while_writing` in the middle of a write, and counts who came to read."""

    reads = 0
    while_writing: Callable[[], None] = staticmethod(lambda: None)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        self.reads += 1
        return super().recv(buflen, flags)

    def send(self, data: memoryview, flags: int = 0) -> int:  # type: ignore[override]
        self.while_writing()
        return super().send(data, flags)


@frozen
class Line:
    inner: Watched
    ours: SharedTls
    server: ssl.SSLSocket
    elsewhere: ThreadPoolExecutor

    def reading(self) -> Future[bytes]:
        """Another thread's read, which has found nothing and waits."""
        before = self.inner.reads
        read = self.elsewhere.submit(self.ours.recv, 65536)
        while self.inner.reads == before:
            threading.Event().wait(0.001)
        return read


@cache
def key_pair() -> KeyPair:
    return make_key_pair("ik-shared")


def server_context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(key_pair().certificate_pem + key_pair().key_pem)
        file.flush()
        made.load_cert_chain(file.name)
    return made


@pytest.fixture
def line() -> Iterator[Line]:
    pair = key_pair()
    client = context(pinned_pem=pair.certificate_pem, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem)
    client.sslsocket_class = Watched
    near, far = socket.socketpair()
    with ThreadPoolExecutor(3) as elsewhere:
        accepted = elsewhere.submit(server_context().wrap_socket, far, server_side=True)
        inner = client.wrap_socket(near)
        assert isinstance(inner, Watched)
        server = accepted.result(LONG_S)
        ours = SharedTls(inner)
        yield Line(inner, ours, server, elsewhere)
        ours.close()
        server.close()


def test_nobody_reads_in_the_middle_of_a_write(line: Line) -> None:
    read: list[Future[bytes]] = []

    def a_reader_comes() -> None:
        before = line.inner.reads
        read.append(line.elsewhere.submit(line.ours.recv, 65536))
        threading.Event().wait(0.05)  # time for what is broken to show itself
        assert line.inner.reads == before

    line.inner.while_writing = a_reader_comes
    line.ours.sendall(b"ping")
    assert line.server.recv(65536) == b"ping"
    line.server.sendall(b"pong")
    assert read[0].result(LONG_S) == b"pong"


def test_a_reader_that_waits_keeps_nobody_from_writing(line: Line) -> None:
    read = line.reading()
    line.ours.sendall(b"ping")
    assert line.server.recv(65536) == b"ping"
    line.server.sendall(b"pong")
    assert read.result(LONG_S) == b"pong"


def test_more_than_the_other_side_has_room_for_arrives_whole(line: Line) -> None:
    written = line.elsewhere.submit(line.ours.sendall, MUCH)
    arrived = 0
    while arrived < len(MUCH):
        arrived += len(line.server.recv(65536))
    written.result(LONG_S)
    assert arrived == len(MUCH)


def test_a_write_that_nobody_takes_ends_in_time(line: Line) -> None:
    line.ours.settimeout(0.05)
    with pytest.raises(TimeoutError):
        line.ours.sendall(MUCH)


def test_closing_ends_a_read_that_waits(line: Line) -> None:
    read = line.reading()
    line.ours.close()
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        read.result(LONG_S)
    assert line.ours.fileno() == -1


def test_the_other_side_closing_ends_a_read(line: Line) -> None:
    read = line.reading()
    line.server.close()
    assert read.result(LONG_S) == b""
    line.ours.close()
    line.ours.close()
