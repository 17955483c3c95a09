"""A MAAS without VM hosts, over HTTP or HTTPS: it takes machines and switches them by its driver `webhook`."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from attrs import define, field

from tests.maas_api.machines import Form, MaasMachine, Machines, Refused
from tests.maas_api.webhook_driver import WebhookDriver

KEY = "maasConsumer:maasToken:maasSecret"
_BASE = "/MAAS/api/2.0/"
_ONE = re.compile(r"machines/([a-z0-9]+)/")
_GONE = re.compile(r"(vm-hosts|pods|vm-clusters|virtual-machines)/")


def _no_pause(_: float) -> None: ...


@define(kw_only=True)
class RecordedMaas:
    """`pause` is the wait of its driver. Faults hold until they are set back."""

    port: int = 0
    tls: bool = False
    machines: Machines = field(factory=Machines)
    username: str = "admin"
    is_admin: bool = True
    is_down: bool = False  # answers 503
    loses_answers: bool = False  # of POST: it does what is asked for, then closes the connection
    postpones: bool = False  # it closes the connection of POST, and does it only when `carry_out` is called
    postponed: list[Form] = field(factory=list)
    pause: Callable[[float], None] = _no_pause
    authorities: str | None = None  # a file with the CAs that its rack's system trusts
    starts_machines: bool = True  # it powers a machine on that it commissions
    requests: list[str] = field(factory=list)
    workers: list[threading.Thread] = field(factory=list)
    problems: list[str] = field(factory=list)  # why a machine could not be switched

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/MAAS"

    def driver(self, machine: MaasMachine) -> WebhookDriver:
        power = machine.power
        return WebhookDriver(
            on_uri=power["power_on_uri"], off_uri=power["power_off_uri"], query_uri=power["power_query_uri"],
            on_regex=power["power_on_regex"], off_regex=power["power_off_regex"], token=power["power_token"],
            verify=power["power_verify_ssl"] == "y", pause=self.pause, authorities=self.authorities,
        )  # fmt: skip

    def commission(self, machine: MaasMachine) -> None:
        """Begins to switch the machine on, as MAAS does beside the answer to the request."""

        def work() -> None:
            try:
                self.driver(machine).cycle()
            except Exception as error:  # noqa: BLE001  # MAAS shows it at the machine
                self.problems.append(repr(error))

        worker = threading.Thread(target=work, daemon=True)
        self.workers.append(worker)
        worker.start()

    def carry_out(self) -> None:
        """Does what it has postponed, each by itself: a second one of the same machine is refused."""
        for form in self.postponed:
            with suppress(Refused):
                self.machines.create(form)
        self.postponed.clear()

    @property
    def is_idle(self) -> bool:
        return not any(worker.is_alive() for worker in self.workers)


@contextmanager
def serving(maas: RecordedMaas, *, pair: tuple[Path, Path] | None = None) -> Iterator[RecordedMaas]:
    """Serves the MAAS on a free port; `pair` are the files of certificate and key for HTTPS."""

    class Handler(_Handler):
        state = maas

    server = ThreadingHTTPServer(("127.0.0.1", maas.port), Handler)
    server.daemon_threads = True
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        maas.tls = True
    maas.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield maas
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: RecordedMaas
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""

    def do_GET(self) -> None:
        self._serve("GET", {})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._serve("POST", parse_qs(self.rfile.read(length).decode()))

    def do_DELETE(self) -> None:
        self._serve("DELETE", {})

    def _serve(self, method: str, form: Form) -> None:
        parts = urlsplit(self.path)
        path, query = parts.path.removeprefix(_BASE), parse_qs(parts.query)
        self.state.requests.append(f"{method} {path}{f'?{parts.query}' if parts.query else ''}")
        try:
            self._check(path)
            if method == "POST" and self.state.postpones:
                self.state.postponed.append(form)
                self.close_connection = True
                self.connection.close()
                return
            body = self._answer(method, path, query, form)
        except Refused as refused:
            self._send(refused.status, refused.body)
            return
        if method == "POST" and self.state.loses_answers:
            self.close_connection = True
            self.connection.close()
            return
        self._send(204 if body is None else 200, body)

    def _check(self, path: str) -> None:
        if self.state.is_down:
            raise Refused(503, "The region is starting.")
        if path != "version/":
            self._authenticate()

    def _authenticate(self) -> None:
        header = self.headers.get("Authorization", "")
        given = dict(re.findall(r'oauth_(\w+)="([^"]*)"', header))
        consumer, token, secret = KEY.split(":")
        expected = {"consumer_key": consumer, "token": token, "signature": f"&{secret}"}
        if any(unquote(given.get(name, "")) != value for name, value in expected.items()):
            raise Refused(401, "Authorization Error: 'Invalid access token: '")

    def _answer(self, method: str, path: str, query: Form, form: Form) -> Any:
        state, op = self.state, query.get("op", [""])[-1]
        if _GONE.match(path):
            raise Refused(410, "KVM support has been removed from MAAS.")
        if (method, path) == ("GET", "version/"):
            return {"version": "4.0.0", "subversion": "18000-g.1", "capabilities": ["networks-management"]}
        if (method, path, op) == ("GET", "users/", "whoami"):
            return {"username": state.username, "email": "", "is_superuser": state.is_admin}
        if path == "machines/" and method == "GET":
            return [one.json() for one in state.machines.list(query.get("mac_address", []), query.get("id"))]
        if path == "machines/" and method == "POST" and not op:
            if not state.is_admin:
                raise Refused(403, "You do not have the required permission.")
            made, commission = state.machines.create(form)
            if commission and state.starts_machines:
                state.commission(made)
            return made.json()
        one = _ONE.fullmatch(path)
        if one is None:
            raise Refused(404, "Not Found")
        if method == "DELETE":
            state.machines.delete(one[1])
            return None
        machine = state.machines.find(one[1])
        return dict(machine.power) if op == "power_parameters" else machine.json()

    def _send(self, status: int, body: Any) -> None:
        text = isinstance(body, str)
        content = b"" if body is None else (body if text else json.dumps(body)).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "text/plain; charset=utf-8" if text else "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
