"""merge-lists, beside two servers that answer as told: what it needs to start, and which headers it passes on."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import eventually

PROGRAM = Path(__file__).parents[4] / "docs/examples/drop-in-address/merge-lists"


@contextmanager
def answering(status: int, body: bytes, headers: Mapping[str, str]) -> Iterator[int]:
    """The port of a server that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def argv(ids: Path, innkeeper: int, maas: int, listen: int) -> list[str]:
    return ["/usr/bin/python3", str(PROGRAM), *(f"127.0.0.1:{port}" for port in (listen, innkeeper, maas)), str(ids)]


@contextmanager
def merging(ids: Path, innkeeper: int, maas: int, listen: int) -> Iterator[None]:
    with subprocess.Popen(argv(ids, innkeeper, maas, listen)) as program:
        try:
            yield
        finally:
            program.terminate()


def test_it_does_not_start_without_the_list_of_ids(tmp_path: Path) -> None:
    ended = subprocess.run(
        argv(tmp_path / "missing.lst", 1, 1, 0), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "missing.lst" in ended.stderr


async def test_a_redirect_of_a_side_says_where_to(tmp_path: Path) -> None:
    ids, listen = tmp_path / "ids.lst", free_port()
    ids.write_text("")
    with (
        answering(200, b"[]", {"Content-Type": "application/json"}) as innkeeper,
        answering(301, b"", {"Location": "https://maas/"}) as maas,
        merging(ids, innkeeper, maas, listen),
    ):
        await eventually(lambda: answer_of(listen) == (301, "https://maas/"))


def answer_of(port: int) -> tuple[int, str | None] | None:
    """The status and the address that a list is answered with; None while nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/MAAS/api/2.0/machines/")
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location")
    except OSError:
        return None
    finally:
        connection.close()
