"""A TLS connection shared by a reading and several writing threads: only one is in OpenSSL, and none blocks there."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import pytest
from attrs import frozen

from rackd.drivers.lxd.connection.shared_tls import SharedTls
from rackd.drivers.lxd.connection.tls import context
from tests.lab.support.key_pair import KeyPair, make_key_pair

LONG_S = 60.0  # only a broken connection takes as long
LARGE = bytes(8 * 1024 * 1024)  # more than the kernel buffers


class Watched(ssl.SSLSocket):
    """Calls `while_writing` during a write, and counts the reads."""

    reads = 0
    while_writing: Callable[[], None] = staticmethod(lambda: None)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        self.reads += 1
        return super().recv(buflen, flags)

    def send(self, data: memoryview, flags: int = 0) -> int:  # type: ignore[override]
        self.while_writing()
        return super().send(data, flags)


@frozen
class SharedConnection:
    inner: Watched
    shared: SharedTls
    server: ssl.SSLSocket
    threads: ThreadPoolExecutor

    def reading(self) -> Future[bytes]:
        """Starts a read in another thread and returns once it waits for data."""
        before = self.inner.reads
        read = self.threads.submit(self.shared.recv, 65536)
        while self.inner.reads == before:
            threading.Event().wait(0.001)
        return read


@cache
def key_pair() -> KeyPair:
    return make_key_pair("ik-shared")


@pytest.fixture
def connection() -> Iterator[SharedConnection]:
    pair = key_pair()
    client = context(pinned_pem=pair.certificate_pem, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem)
    client.sslsocket_class = Watched
    near, far = socket.socketpair()
    with ThreadPoolExecutor(3) as threads:
        accepted = threads.submit(key_pair().server_context().wrap_socket, far, server_side=True)
        inner = client.wrap_socket(near)
        assert isinstance(inner, Watched)
        server = accepted.result(LONG_S)
        shared = SharedTls(inner)
        yield SharedConnection(inner, shared, server, threads)
        shared.close()
        server.close()


def test_reads_and_writes_never_overlap(connection: SharedConnection) -> None:
    read: list[Future[bytes]] = []

    def start_reader() -> None:
        before = connection.inner.reads
        read.append(connection.threads.submit(connection.shared.recv, 65536))
        threading.Event().wait(0.05)  # time for a wrong overlap to happen
        assert connection.inner.reads == before

    connection.inner.while_writing = start_reader
    connection.shared.sendall(b"ping")
    assert connection.server.recv(65536) == b"ping"
    connection.server.sendall(b"pong")
    assert read[0].result(LONG_S) == b"pong"


def test_a_waiting_reader_does_not_block_writers(connection: SharedConnection) -> None:
    read = connection.reading()
    connection.shared.sendall(b"ping")
    assert connection.server.recv(65536) == b"ping"
    connection.server.sendall(b"pong")
    assert read.result(LONG_S) == b"pong"


def test_large_writes_arrive_completely(connection: SharedConnection) -> None:
    written = connection.threads.submit(connection.shared.sendall, LARGE)
    arrived = 0
    while arrived < len(LARGE):
        arrived += len(connection.server.recv(65536))
    written.result(LONG_S)
    assert arrived == len(LARGE)


def test_a_stalled_write_times_out(connection: SharedConnection) -> None:
    connection.shared.settimeout(0.05)
    with pytest.raises(TimeoutError):
        connection.shared.sendall(LARGE)


def test_close_ends_a_waiting_read(connection: SharedConnection) -> None:
    read = connection.reading()
    connection.shared.close()
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        read.result(LONG_S)
    assert connection.shared.fileno() == -1


def test_a_close_by_the_peer_ends_a_read(connection: SharedConnection) -> None:
    read = connection.reading()
    connection.server.close()
    assert read.result(LONG_S) == b""
    connection.shared.close()
    connection.shared.close()
