"""An LXD server that rejects every trust request and repeats in its error what it was sent."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.support.certificate_pairs import make_pair

_EXTENSIONS = ["explicit_trust_token"]
_SERVER = {"api_version": "1.0", "auth": "untrusted", "api_extensions": _EXTENSIONS, "environment": {}}


@define
class EchoingLxd:
    """`received` has the bodies of requests. While `is_odd`, answers have a form that no LXD uses."""

    port: int
    fingerprint: str
    received: list[str] = field(factory=list)
    is_odd: bool = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, method: str, body: str) -> tuple[int, Any]:
        if self.is_odd:
            return 200, {"type": "sync", "status": "Success", "status_code": 200, "metadata": [body]}
        if method == "GET":
            return 200, {"type": "sync", "status": "Success", "status_code": 200, "metadata": _SERVER}
        self.received.append(body)
        return 403, {"type": "error", "error": f"not authorized: {body}", "error_code": 403, "metadata": {"sent": body}}


@contextmanager
def echoing_lxd(folder: Path) -> Iterator[EchoingLxd]:
    pair = make_pair("echo.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.write(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    lxd = EchoingLxd(port=server.server_address[1], fingerprint=pair.fingerprint)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"lxd": lxd})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield lxd
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lxd: EchoingLxd

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        status, plain = self.lxd.answer(self.command, body)
        text = json.dumps(plain).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Prints nothing."""
