"""An LXD server that lies: a redirect is not followed, plain HTTP not spoken, an answer without end not read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from common.addresses.lxd import LxdAddress
from common.errors import DriverFailed, HostUnreachable, InnkeeperError
from rackd.drivers.lxd.connection import response_body
from rackd.drivers.lxd.connection.client import Client, Scope
from rackd.drivers.lxd.connection.events import listen
from rackd.drivers.lxd.connection.response_body import MAX_BODY_BYTES, LargeBodies
from rackd.drivers.lxd.connection.tls import context
from tests.bench.machine import peak_from_now, status_mib
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.support.loop_pauses import LONGEST_S, watched_loop

PASSWORD = "only-for-this-server"  # noqa: S105 - of a server that exists in this test only


@cache
def key_pair() -> KeyPair:
    return make_key_pair("ik-redirects")


class _Redirecting(BaseHTTPRequestHandler):
    """Redirects every request to `target` and keeps what it received."""

    protocol_version = "HTTP/1.1"
    target: str
    received: list[str]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.received.append(f"{self.command} {self.path} {body}")
        self.send_response(307)
        self.send_header("Location", self.target + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


class _Endless(_Redirecting):
    """Answers with zeros until the client goes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(bytes(1024 * 1024))


@contextmanager
def served(
    *, target: str = "unused", tls: bool, kind: type[_Redirecting] = _Redirecting
) -> Iterator[tuple[int, list[str]]]:
    """Yields the port and what the server receives."""
    received: list[str] = []
    handler = type("Handler", (kind,), {"target": target, "received": received})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls:
        server.socket = key_pair().server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class PlainAddress(LxdAddress):
    """Where a server serves plain HTTP, which no address that is parsed can name."""

    @property
    def normalised(self) -> str:
        return f"http://{self.host_and_port}"


def client_of(port: int, large_bodies: LargeBodies | None = None, *, kind: type[LxdAddress] = LxdAddress) -> Client:
    pair = key_pair()
    tls = context(pinned_pem=pair.certificate_pem, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem)
    return Client(
        kind(host="127.0.0.1", port=port), tls, pair.certificate_pem, closing=threading.Event(), read_s=10.0,
        large_body=(large_bodies or LargeBodies()).lock_of(pair.certificate_pem),
    )  # fmt: skip


@pytest.mark.parametrize("tls", [False, True], ids=["plain HTTP", "the pinned certificate elsewhere"])
def test_a_redirect_is_an_error_and_nothing_is_sent_on(tls: bool) -> None:
    with served(tls=tls) as (other_port, leaked):
        target = f"{'https' if tls else 'http'}://127.0.0.1:{other_port}"
        with served(target=target, tls=True) as (port, received):
            client = client_of(port)
            try:
                with pytest.raises(HostUnreachable, match=f"The server at .*{port} redirects to {target}"):
                    client.post("certificates", {"password": PASSWORD})
            finally:
                client.close()
            assert received != []
        assert leaked == []


def test_a_redirect_of_the_event_stream_is_an_error() -> None:
    with served(tls=True) as (other_port, leaked):
        with served(target=f"wss://127.0.0.1:{other_port}", tls=True) as (port, _):
            client = client_of(port)
            try:
                with pytest.raises(InnkeeperError, match="redirect"):
                    listen(client, Scope(project="default"))
            finally:
                client.close()
        assert leaked == []


@pytest.mark.parametrize("ask", [Client.server, lambda client: client.get("instances")], ids=["server", "get"])
def test_the_client_has_no_way_to_speak_plain_http(ask: Callable[[Client], object]) -> None:
    with served(tls=False) as (port, received):
        client = client_of(port, kind=PlainAddress)
        try:
            with pytest.raises(DriverFailed, match="No connection adapters"):
                ask(client)
        finally:
            client.close()
        assert received == []


def test_an_answer_without_end_is_an_error() -> None:
    with served(tls=True, kind=_Endless) as (port, _):
        client = client_of(port)
        try:
            with pytest.raises(HostUnreachable, match="an answer has at most 64 MiB"):
                client.server()
        finally:
            client.close()


class _Dripping(_Redirecting):
    """Announces a body, and sends a byte of it now and then."""

    server_ended = threading.Event()  # never set: the client ends the connection

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with suppress(OSError):
            while not self.server_ended.wait(0.02):
                self.wfile.write(b" ")


def test_an_answer_that_drips_ends_at_the_deadline_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_body, "BODY_S", 0.3)
    with served(tls=True, kind=_Dripping) as (port, _):
        client = client_of(port)
        try:
            with pytest.raises(HostUnreachable, match="and no end in time"):
                client.server()
            with pytest.raises(HostUnreachable, match="and no end in time"):
                client.beginning_of("metrics")
        finally:
            client.close()


class _ManyValues(_Redirecting):
    """Answers with a list that has more values than a server has objects."""

    def do_GET(self) -> None:
        body = b'{"type": "sync", "metadata": [' + b"[]," * (2**24 // 3) + b"[]]}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


async def test_an_answer_of_too_many_values_delays_nothing_else() -> None:
    with served(tls=True, kind=_ManyValues) as (port, _):
        client = client_of(port)
        before_mib = peak_from_now("self")
        try:
            async with watched_loop() as pauses:
                with pytest.raises(DriverFailed, match="lists of more than 100000 values without an object"):
                    await asyncio.to_thread(client.get, "instances")
        finally:
            client.close()
    assert pauses.longest_s < LONGEST_S
    assert status_mib("self", "VmHWM") - before_mib < MAX_BODY_BYTES / 1024**2


@pytest.mark.slow
def test_answers_without_end_at_the_same_time_take_the_memory_of_one() -> None:
    large_bodies = LargeBodies()
    raised: list[HostUnreachable] = []

    def connect(port: int) -> None:
        client = client_of(port, large_bodies)
        try:
            client.server()
        except HostUnreachable as error:
            raised.append(error)
        finally:
            client.close()

    with served(tls=True, kind=_Endless) as (port, _):
        before_mib = peak_from_now("self")
        calls = [threading.Thread(target=connect, args=(port,)) for _ in range(6)]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
    assert len(raised) == len(calls)
    # All at once take six times the body at least; one takes up to three in a process that has run for long.
    assert status_mib("self", "VmHWM") - before_mib < 4 * MAX_BODY_BYTES / 1024**2
