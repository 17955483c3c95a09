"""The HTTPS server around the double, its TLS with client certificates, and its event streams."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from attrs import evolve
from websockets.utils import accept_key

from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lxd_http.event_stream import EventStream
from tests.lxd_http.messages import Request
from tests.lxd_http.routes import answer
from tests.lxd_http.state import Lxd
from tests.lxd_http.trust import is_trusted

key_pair = cache(make_key_pair)


@contextmanager
def served(lxd: Lxd, client: KeyPair, *others: KeyPair) -> Iterator[tuple[str, str]]:
    """Yields the address and the certificate (PEM) of a server that trusts `client`.

    It may come to trust `others`. A TLS handshake with any further certificate fails.
    """
    own = key_pair("lxd-http")
    lxd.own_fingerprint = own.fingerprint
    lxd.certificates[client.fingerprint] = {"name": "client", "type": "client"}
    listener = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"lxd": lxd}))
    listener.daemon_threads = True
    # The handshake is part of the first read, in the connection's own thread.
    listener.socket = _context(own, client, *others).wrap_socket(
        listener.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{listener.server_address[1]}", own.certificate_pem
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def _context(own: KeyPair, *clients: KeyPair) -> ssl.SSLContext:
    """Asks for a certificate and accepts none; a handshake with another one than the clients' fails."""
    context = own.server_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata="".join(one.certificate_pem for one in clients))
    return context


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its head
    lxd: Lxd

    def handle(self) -> None:
        with suppress(OSError):  # the client has gone
            super().handle()

    def _answer(self) -> None:
        certificate = cast("ssl.SSLSocket", self.connection).getpeercert(binary_form=True)
        plain = Request.of(self.command, self.path, dict(self.headers.items()), b"").of_client(certificate)
        if self.headers.get("Upgrade") == "websocket" and is_trusted(self.lxd, plain):
            self._stream()
            return
        content = self._content()
        if content is None:  # broken off: nobody waits for an answer
            self.close_connection = True
            return
        found = answer(self.lxd, evolve(plain, content=content))
        self.send_response(found.status)
        for name, text in {"Content-Type": "application/json", **found.headers}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(found.content)))
        self.end_headers()
        self.wfile.write(found.content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

    def _content(self) -> bytes | None:
        """The body; None if the client has ended the connection before its end."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts: list[bytes] = []
        while head := self.rfile.readline():
            size = int(head, 16)
            part = self.rfile.read(size + len(b"\r\n"))
            if len(part) < size:
                return None
            if not size:
                return b"".join(parts)
            parts.append(part[:size])
        return None

    def _stream(self) -> None:
        """Sends events until the client closes the WebSocket."""
        self.close_connection = True
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept_key(self.headers["Sec-WebSocket-Key"]))
        project = Request.of(self.command, self.path, {}, b"").project
        with self.lxd.lock:  # no event is lost between the answer and the first one
            self.end_headers()
            stream = EventStream(cast("ssl.SSLSocket", self.connection), project)
            self.lxd.listeners.append(stream.send)
        try:
            stream.run()
        finally:
            with self.lxd.lock:
                self.lxd.listeners.remove(stream.send)

    def log_message(self, *_: object) -> None:
        """Prints nothing."""
