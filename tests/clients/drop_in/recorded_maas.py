"""A MAAS 4.0 as far as a proxy in front of it can tell: it knows one machine, no VM hosts, and records each request.

Where its answers are from: 410 of VM hosts, after 401 without a key, and `describe/` without them: MAAS's sources after
its commit 08f65b9c1, which removes VM hosts. Keys of objects, 404, 409 and 400 as text, and the ids that a release
answers: what gomaasapi, gomaasclient and Ansible's collection read (docs/reference/clients.md). Its machine,
zones, networks and domains are of `tests.maas_api`. The rest is a list.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import define, field, frozen

from tests.clients.drop_in.metal import METAL, Metal
from tests.maas_api import messages
from tests.maas_api.routes import ROUTES
from tests.maas_api.state import MAAS_4_0, Maas

BY_MAAS = "x-answered-by-maas"
HASH = "0123456789abcdef0123456789abcdef01234567"
API = "/MAAS/api/2.0/"
_OPEN = (f"{API}version/", f"{API}describe/")
_VM_HOSTS = re.compile(rf"{re.escape(API)}(vm-hosts|pods|vm-clusters|virtual-machines)(/|$)")
_MACHINE = re.compile(rf"{re.escape(API)}(?:machines|nodes)/(?!op-)([^/]+)/([a-z]*)")

_PARTS = {"interfaces": "interface_set", "blockdevices": "blockdevice_set"}
_OF_ALL: dict[str, object] = {
    "version": {"version": "4.0.0", "subversion": "", "capabilities": ["networks-management"]},
    "describe": {"doc": "", "hash": HASH, "handlers": [], "resources": []},
    "users": {"username": "admin", "email": "", "is_superuser": True, "is_local": True},
}


@frozen(kw_only=True)
class Request:
    method: str
    target: str  # as it was sent
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return re.sub("/{2,}", "/", urlsplit(self.target).path)

    @property
    def fields(self) -> dict[str, list[str]]:
        """Those of the query, and of a form or its parts."""
        kind = self.headers.get("content-type", "")
        found = parse_qs(urlsplit(self.target).query)
        if kind.startswith("application/x-www-form-urlencoded"):
            return {**found, **parse_qs(self.body.decode())}
        if kind.startswith("multipart/form-data"):
            whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + self.body)
            for part in whole.walk():
                if name := part.get_param("name", header="content-disposition"):
                    content = part.get_payload(decode=True)
                    assert isinstance(content, bytes)
                    found.setdefault(str(name), []).append(content.decode())
        return found

    @property
    def op(self) -> str:
        suffix = re.search(r"/op-([a-z_]+)/?$", self.path)
        return suffix[1] if suffix else self.fields.get("op", [""])[0]


@define
class RecordedMaas:
    """`port` is that of its plain HTTP on the loopback address."""

    port: int = 0
    requests: list[Request] = field(factory=list)
    begun: list[str] = field(factory=list)  # the targets of those whose header was read
    metal: Metal = field(factory=Metal)
    more: list[dict[str, Any]] = field(factory=list)  # other records in its list of machines
    site: Maas = field(factory=lambda: Maas(release=MAAS_4_0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader, self.begun)) is not None:
                self.requests.append(request)
                if request.headers.get("upgrade") == "websocket":
                    writer.write(_opened_websocket(request.headers["sec-websocket-key"]))
                    writer.write(await reader.readexactly(4))
                    return
                status, kind, body = self._answer(request)
                writer.write(
                    f"HTTP/1.1 {status} Answer\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                    f"{BY_MAAS}: yes\r\nX-MAAS-API-Hash: {HASH}\r\n\r\n".encode()
                    + body
                )
        finally:
            writer.close()

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        if request.path.startswith(API) and request.path not in _OPEN and "authorization" not in request.headers:
            return _text(401, "No key.")
        if _VM_HOSTS.match(request.path):
            return _text(410, "There are no VM hosts any more.")
        if not request.path.startswith(API):
            return 200, "text/html", b"<!doctype html>"
        if found := _MACHINE.match(request.path):
            return self._of_machine(found[2], request) if found[1] == METAL else _text(404, "Not found.")
        return self._of_collection(request)

    def _of_machine(self, part: str, request: Request) -> tuple[int, str, bytes]:
        if part:
            return _json(self.metal.json[_PARTS[part]] if part in _PARTS else [])
        match request.method, request.op:
            case "POST", "deploy":
                return _json(self.metal.deploy())
            case "POST", "release":
                return _json(self.metal.release())
            case "POST", "set_owner_data":
                self.metal.owner_data |= {name: values[0] for name, values in request.fields.items() if name != "op"}
            case "GET", "power_parameters":
                return _json({"power_address": "192.0.2.9"})
        return _json(self.metal.read())

    def _of_collection(self, request: Request) -> tuple[int, str, bytes]:
        found: object = []
        match request.path.removeprefix(API).split("/")[0], request.method, request.op:
            case ("version" | "describe") as name, _, _:
                found = _OF_ALL[name]
            case "users", "GET", "whoami":
                found = _OF_ALL["users"]
            case "machines", "POST", "allocate":
                found = self.metal.allocate(request.fields)
                if found is None:
                    return _text(409, "No machine.")
            case "machines", "POST", "release":
                found = request.fields.get("machines", [])
                if found != [METAL]:
                    return _text(400, "Unknown machine.")
                self.metal.release()
            case "machines" | "nodes", "GET", "power_parameters":
                found = {METAL: {"power_address": "192.0.2.9"}}
            case "machines" | "nodes", "GET", "is_registered":
                found = False
            case "machines", "GET", "list_allocated":
                found = [self.metal.json] if self.metal.status == "Allocated" else []
            case "machines" | "nodes", "GET", _:
                found = [*self.metal.list(request.fields), *self.more]
            case _, "POST", _:
                found = {"resource_uri": request.path}
            case _, "GET", _:
                return self._of_site(request)
        return _json(found)

    def _of_site(self, request: Request) -> tuple[int, str, bytes]:
        path = request.path.removeprefix(API)
        for pattern, operations in ROUTES.items():
            handler = operations.get(("GET", request.op or None))
            if (found := re.fullmatch(pattern, path)) and handler:
                admin = next(one for one in self.site.rows.all("auth_user") if one["is_superuser"])
                asked = messages.Request(
                    method="GET", path=path, query=request.fields, user=admin, arguments=found.groups()
                )
                answer = handler(self.site, asked)
                return answer.status, answer.content_type, answer.body
        return _json([])


def _opened_websocket(key: str) -> bytes:
    proof = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False)  # RFC 6455, 1.3
    accept = base64.b64encode(proof.digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()


def _text(status: int, text: str) -> tuple[int, str, bytes]:
    return status, "text/plain; charset=utf-8", text.encode()


def _json(found: object) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(found).encode()


async def _read(reader: asyncio.StreamReader, begun: list[str]) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    assert "transfer-encoding" not in headers, "no client of these tests sends chunks"
    begun.append(target)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, target=target, headers=headers, body=body)


@asynccontextmanager
async def recorded_maas() -> AsyncIterator[RecordedMaas]:
    """Serves until the block ends."""
    maas = RecordedMaas()
    connections: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.ensure_future(maas.serve(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=2**20)
    maas.port = server.sockets[0].getsockname()[1]
    try:
        yield maas
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
