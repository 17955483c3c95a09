"""A small HTTP server with a region's API description and configured replies, for tests of the client alone.

The end-to-end tests use a real region.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote

from attrs import define, field, frozen
from oauthlib.common import urldecode
from oauthlib.oauth1.rfc5849.utils import parse_authorization_header
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

KEY = "consumer:token:secret"
BASE = "/MAAS/api/2.0/"
POOLS = [
    {"id": "a1", "name": "default", "type": "dir", "path": "/var/pool", "total": 100, "used": 40, "available": 60,
     "capacity": {"free": 60}},
    {"id": "b2", "name": "fast", "type": "zfs", "path": "/tank", "total": 10, "used": 0, "available": 10,
     "capacity": {"free": 10}},
]  # fmt: skip
HOST: dict[str, Any] = {
    "id": 1,
    "name": "local",
    "type": "virsh",
    "tags": ["virtual"],
    "total": {"cores": 4, "memory": 8192, "local_storage": 100_000_000_000},
    "used": {"cores": 1, "memory": 1024, "local_storage": 40_000_000_000},
    "zone": {"id": 1, "name": "default"},
    "pool": {"id": 0, "name": "default"},
    "storage_pools": POOLS,
    "version": "9.0.0",
    "resource_uri": f"{BASE}vm-hosts/1/",
}
MACHINE = {"system_id": "abc123", "hostname": "kind-fox", "status_name": "Ready", "power_state": "off", "memory": 2048}
COMPOSE_DOC = (
    "Compose a machine.\n\n:param cores: int: how many cores.\n:param pinned_cores: which.\n:param memory: MiB.\n"
    ":param hostname: name."
)


def action(name: str, method: str, *, op: str | None = None, doc: str = "", **more: Any) -> dict[str, Any]:
    """`more`: `destructive`, `dry_run` and `formats`, which older regions do not have."""
    changes = method != "GET"
    return {
        "name": name, "method": method, "op": op, "restful": op is None, "doc": doc or name, "takes_key": changes,
        **more,
    }  # fmt: skip


def handler(name: str, path: str, *actions: dict[str, Any], params: tuple[str, ...] = ()) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "name": name,
        "doc": f"About {name}.",
        "path": BASE + path,
        "params": list(params),
        "uri": f"http://region.example{BASE}{path}",
        "actions": list(actions),
    }
    return {"name": name, "anon": None, "auth": resource}


def description(*, extra: tuple[dict[str, Any], ...] = (), stamp: str = "1" * 40) -> dict[str, Any]:
    resources = [
        handler(
            "VmHostsHandler", "vm-hosts/", action("read", "GET"), action("create", "POST", doc="Add.\n\n:param type: x")
        ),
        handler(
            "VmHostHandler",
            "vm-hosts/{id}/",
            action("read", "GET"),
            action("delete", "DELETE", doc="Delete.\n\n:param decompose: bool\n:param dry_run: bool"),
            action("compose", "POST", op="compose", doc=COMPOSE_DOC),
            action("refresh", "POST", op="refresh"),
            action("add_tag", "POST", op="add_tag", doc="Tag.\n\n:param tag: the tag"),
            params=("id",),
        ),
        handler("VmClusterHandler", "vm-clusters/{id}", action("delete", "DELETE"), params=("id",)),
        handler("ZoneHandler", "zones/{name}/", action("read", "GET"), params=("name",)),
        handler("MachinesHandler", "machines/", action("read", "GET", doc="List.\n\n:param hostname: name")),
        handler("OperationHandler", "operations/{id}/", action("read", "GET"), params=("id",)),
        handler("FilesHandler", "files/", action("create", "POST", doc="Add.\n\n:param file: bytes")),
        *extra,
    ]
    return {"doc": "MAAS API", "hash": stamp, "handlers": [], "resources": resources}


def deletion() -> dict[str, Any]:
    return action("delete", "DELETE", doc="Delete.\n\n:param dry_run: bool", destructive=True, dry_run=True, formats={})


# Resources of a region that says which actions are destructive.
DESTRUCTIVE = (
    handler("ZonesHandler", "zones/", action("read", "GET")),
    handler("ZoneHandler", "zones/{name}/", deletion(), params=("name",)),
    handler(
        "RpcClientHandler",
        "rpc-clients/{name}/",
        action("revoke", "POST", op="revoke", destructive=True, dry_run=False),
        params=("name",),
    ),
    handler(
        "MachineHandler",
        "machines/{system_id}/",
        action("read", "GET"),
        deletion(),
        action("release", "POST", op="release", doc="Release.\n\n:param dry_run: bool", destructive=True, dry_run=True),
        action("power_off", "POST", op="power_off", doc="Off.\n\n:param stop_mode: x"),
        params=("system_id",),
    ),
)


@frozen
class Seen:
    method: str
    path: str  # below the base, with its query
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode(), keep_blank_values=True)


@frozen
class Reply:
    """With `of_proxy` it is not the region that answers. The status 0 is a connection that breaks."""

    status: int
    plain: Any = None
    text: str | None = None
    headers: dict[str, str] = field(factory=dict)
    of_proxy: bool = False


LOST = Reply(0)


def operation(state: str, **more: object) -> Reply:
    plain = {"id": 7, "kind": "compose", "state": state, "step": "create_volumes", "system_id": "abc123", **more}
    accepted = state == "queued"
    return Reply(202 if accepted else 200, plain, headers={"Location": f"{BASE}operations/7/"} if accepted else {})


@define
class Region:
    """`answers` by `METHOD path?query`: one reply, or several in order, of which the last repeats."""

    described: dict[str, Any] = field(factory=description)
    answers: dict[str, list[Reply]] = field(factory=dict)
    seen: list[Seen] = field(factory=list)
    port: Any = None

    def start(self) -> None:
        from twisted.internet import reactor  # here: a conftest imports this module before pytest chooses the reactor

        site: Any = Site(_Root(self))  # mypy does not know that zope declares it an IProtocolFactory
        self.port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.give("GET users/?op=whoami", Reply(200, {"username": "admin"}))
        self.give("GET vm-hosts/", Reply(200, [HOST]))
        self.give("GET vm-hosts/1/", Reply(200, HOST))
        self.give("GET machines/", Reply(200, [MACHINE]))
        self.give("GET machines/abc123/", Reply(200, MACHINE))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port.getHost().port}"

    def give(self, what: str, *replies: Reply) -> None:
        self.answers[what] = list(replies)

    def requests_to(self, what: str) -> list[Seen]:
        """The received requests for `METHOD path?query`."""
        return [each for each in self.seen if f"{each.method} {each.path}" == what]

    def reply(self, seen: Seen) -> Reply:
        if seen.path == "describe/":
            return Reply(200, self.described)
        if not _signed(seen.headers.get("authorization", "")):
            return Reply(401, text="Authorization Error: Invalid API key.")
        replies = self.answers.get(f"{seen.method} {seen.path}")
        if not replies:
            return Reply(404, text="Not Found")
        return replies.pop(0) if len(replies) > 1 else replies[0]


class _Root(Resource):
    isLeaf = True  # noqa: N815  # Twisted's

    def __init__(self, region: Region) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's, without annotations
        self._region = region

    def render(self, request: Request) -> bytes | int:
        headers = {k.decode().lower(): v[0].decode() for k, v in request.requestHeaders.getAllRawHeaders()}
        path = request.uri.decode().removeprefix(BASE)
        body = request.content.read() if request.content else b""
        seen = Seen(request.method.decode(), path, headers, body)
        self._region.seen.append(seen)
        reply = self._region.reply(seen)
        if reply is LOST:
            transport: Any = request.transport
            transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(reply.status)
        if not reply.of_proxy:
            request.setHeader("X-MAAS-API-Hash", self._region.described["hash"])
        for name, value in reply.headers.items():
            request.setHeader(name, value)
        kind = "application/json" if reply.text is None else "text/plain; charset=utf-8"
        request.setHeader("Content-Type", kind)
        if reply.status == 204:
            return b""
        return (json.dumps(reply.plain, indent=4) if reply.text is None else reply.text).encode()


def _signed(authorization: str) -> bool:
    if not authorization:
        return False
    given = dict(parse_authorization_header(authorization))
    consumer, token, secret = KEY.split(":")
    signature = dict(urldecode(f"s={given['oauth_signature']}"))["s"] if "oauth_signature" in given else ""
    return (
        given.get("oauth_consumer_key") == consumer
        and given.get("oauth_token") == token
        and unquote(signature) == f"&{secret}"
        and given.get("oauth_signature_method") == "PLAINTEXT"
    )
