"""The API on a real socket: what only shows on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from attrs import evolve, frozen
from twisted.internet import reactor

from common.bridge import from_deferred
from common.errors import DatabaseUnavailable
from regiond.api.bodies import MAX_BODY_BYTES
from regiond.api.catalogue import SERVED
from regiond.api.describe import description_hash
from regiond.api.endpoint import SiteInfo
from regiond.api.services import Services
from regiond.api.site import make_site
from tests.unit.api_double import ADMIN_KEY, NOW_S, World, authorization
from tests.unit.api_samples import HOST, OPERATION, RUNNING
from tests.waiting import eventually

BASE = "/MAAS/api/2.0/"


@frozen
class Heard:
    status: int
    headers: Mapping[str, str]
    body: bytes


@frozen
class Client:
    world: World
    port: int
    stop: Callable[[], Awaitable[None]]

    async def send(self, raw: bytes) -> Heard:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return Heard(int(first.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, body)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        signed: bool = True,
        host: str = "region:5240",
        **headers: str,
    ) -> Heard:
        return await self.send(self.request(method, path, body=body, signed=signed, host=host, **headers))

    def request(self, method: str, path: str, *, body: bytes, signed: bool, host: str, **headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", f"Content-Length: {len(body)}"]
        if signed:
            lines.append(f"Authorization: {self.world.signed()}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def serving(
    world: World | None = None, info: SiteInfo | None = None, services: Services | None = None
) -> AsyncIterator[Client]:
    world = world or World()
    site = make_site(services or world.services(), info or world.info, now_s=lambda: NOW_S)
    port: Any = cast(Any, reactor).listenTCP(0, site, interface="127.0.0.1")

    async def stop() -> None:
        stopped = port.stopListening()
        if stopped is not None:
            await from_deferred(stopped)
        await site.close()

    try:
        yield Client(world, port.getHost().port, stop)
    finally:
        await stop()


async def test_every_answer_says_what_it_is_even_an_empty_one() -> None:
    async with serving() as client:
        heard = await client.ask("DELETE", f"{BASE}vm-hosts/4/")
    assert (heard.status, heard.body) == (204, b"")
    assert heard.headers["content-type"] == "text/plain; charset=utf-8"
    assert heard.headers["x-maas-api-hash"] == description_hash(SERVED)
    assert heard.headers["vary"] == "Authorization"
    assert heard.headers["x-content-type-options"] == "nosniff"
    assert heard.headers["x-request-id"]


async def test_the_description_is_plain_json_and_names_the_address_asked() -> None:
    async with serving() as client:
        heard = await client.ask("GET", f"{BASE}describe/", signed=False, X_Forwarded_Proto="https")
    assert heard.headers["content-type"] == "application/json"
    found = json.loads(heard.body)
    assert found["hash"] == heard.headers["x-maas-api-hash"]
    assert all(one["uri"].startswith("https://region:5240/MAAS/api/2.0/") for one in found["handlers"])


async def test_only_a_get_is_redirected_to_the_final_slash() -> None:
    async with serving() as client:
        heard = await client.ask("GET", f"{BASE}vm-hosts?op=&x=1")
        assert (heard.status, heard.headers["location"]) == (301, f"{BASE}vm-hosts/?op=&x=1")
        heard = await client.ask("POST", f"{BASE}vm-hosts/4?op=refresh")
        assert heard.status == 200


async def test_nobody_is_redirected_to_another_host() -> None:
    async with serving() as client:
        heard = await client.ask("GET", f"/{BASE}vm-hosts")
        assert (heard.status, heard.headers["location"]) == (301, f"{BASE}vm-hosts/")


async def test_single_virtual_machines_and_clusters_are_found_with_and_without_a_final_slash() -> None:
    async with serving() as client:
        for path in ("virtual-machines/17", "virtual-machines/17/"):
            assert (await client.ask("GET", BASE + path)).status == 200
        for path in ("vm-clusters/1", "vm-clusters/1/"):
            assert (await client.ask("GET", BASE + path)).status == 200
        for path in ("virtual-machines/99", "vm-clusters/2", "vm-clusters/2/"):
            assert (await client.ask("GET", BASE + path)).status == 404


async def test_an_op_may_stand_in_the_path() -> None:
    async with serving() as client:
        heard = await client.ask("GET", f"{BASE}vm-hosts/4/op-parameters")
        assert json.loads(heard.body)["power_address"] == "qemu:///system"
        assert (await client.ask("GET", f"{BASE}users/op-whoami")).status == 200


async def test_head_is_a_get_without_its_body() -> None:
    async with serving() as client:
        got = await client.ask("GET", f"{BASE}zones/")
        heard = await client.ask("HEAD", f"{BASE}zones/")
    assert (heard.status, heard.body) == (200, b"")
    assert heard.headers["content-length"] == str(len(got.body))


async def test_unknown_paths_and_methods_are_told_in_plain_text() -> None:
    async with serving() as client:
        heard = await client.ask("GET", f"{BASE}nothing/")
        assert (heard.status, heard.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        heard = await client.ask("PATCH", f"{BASE}vm-hosts/")
        assert (heard.status, heard.headers["allow"]) == (405, "GET, POST")
        assert (await client.ask("GET", "/MAAS/api/1.0/nodes/")).status == 410
        assert (await client.ask("GET", "/MAAS/api/version/", signed=False)).body == b"2.0"


async def test_a_request_without_a_signature_is_unauthorised() -> None:
    async with serving() as client:
        heard = await client.ask("GET", f"{BASE}vm-hosts/", signed=False)
    assert (heard.status, heard.body) == (401, b"Forbidden")
    assert heard.headers["www-authenticate"] == 'OAuth realm="OAuth"'


async def test_a_body_that_is_too_large_is_refused_without_being_kept() -> None:
    async with serving() as client:
        heard = await client.ask("POST", f"{BASE}zones/", body=b"x" * (MAX_BODY_BYTES + 1))
        assert heard.status == 413
        assert not client.world.done()


async def test_hosts_and_paths_that_are_no_text_are_bad_requests() -> None:
    async with serving() as client:
        assert (await client.ask("GET", f"{BASE}version/", host="..")).status == 400
        assert (await client.ask("GET", f"{BASE}version/", host="a" * 70)).status == 400
        assert (await client.ask("GET", f"{BASE}zones/%ff%fe/")).status == 400
        assert (await client.ask("GET", f"{BASE}version/", host="[::1]:5240")).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\xff\r\n",
        b"GET /MAAS/api/2.0/zones/ HTTP/1.0\r\n",
        b"GET /MAAS/api/2.0/zones/?a=%ff&\xff HTTP/1.1\r\nHost: a\r\n",
        b"GET /MAAS/api/2.0/zones/\xff/ HTTP/1.1\r\nHost: a\r\n",
        b"GET /MAAS/api/2.0/zones/%00/ HTTP/1.1\r\nHost: a\r\n",
        b"GET /MAAS//api/2.0/../zones HTTP/1.1\r\nHost: a\r\n",
        b"GET http://a/MAAS/ HTTP/1.1\r\nHost: a\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        b"\xff\xfe /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: \xff\r\nPrefer: \xff\r\n",
        b'POST /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\r\nContent-Type: \xff\r\nAuthorization: OAuth \xff="\xff"\r\n',
        b"GET /MAAS/api/2.0/describe/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: \xff\r\n",
        b"POST /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n",
    ],
)
async def test_no_bytes_break_the_server(raw: bytes) -> None:
    async with serving() as client:
        heard = await client.send(raw + b"Connection: close\r\n\r\n")
    assert heard.status < 500
    assert b"Traceback" not in heard.body


async def test_names_in_paths_are_decoded_once() -> None:
    world = World()
    world.answers["groups.zone"] = lambda name: {"a b%20c": world.answers["groups.zones"][0]}[name]
    async with serving(world) as client:
        assert (await client.ask("GET", f"{BASE}zones/a%20b%2520c/")).status == 200


async def test_a_bug_is_told_with_the_request_id_and_without_a_traceback() -> None:
    world = World()
    world.answers["groups.zones"] = RuntimeError("the secret inside")
    async with serving(world) as client:
        heard = await client.ask("GET", f"{BASE}zones/", X_Request_Id="abc-1")
    assert heard.status == 500
    assert b"abc-1" in heard.body
    assert b"secret" not in heard.body
    assert heard.headers["x-request-id"] == "abc-1"


async def test_a_database_that_is_away_asks_to_come_again() -> None:
    world = World()
    world.answers["accounts.authenticate"] = DatabaseUnavailable("The database cannot be reached.")
    async with serving(world) as client:
        heard = await client.ask("GET", f"{BASE}zones/")
    assert (heard.status, heard.headers["retry-after"]) == (503, "5")


async def test_health_pages_need_no_key_and_readiness_tells_why_not() -> None:
    async def away() -> str:
        return "the database cannot be reached"

    async with serving(info=SiteInfo(not_ready=away)) as client:
        assert (await client.ask("GET", "/healthz/live", signed=False)).status == 200
        heard = await client.ask("GET", "/healthz/ready", signed=False)
        assert heard.status == 503
        assert b"database" in heard.body
    async with serving() as client:
        assert (await client.ask("GET", "/healthz/ready", signed=False)).status == 200


async def _leave_during(client: Client, method: str, path: str, running: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(client.request(method, path, body=b"", signed=True, host="h"))
    await running.wait()
    writer.close()
    await writer.wait_closed()
    del reader


class Held:
    """An answer of a service that takes until it is let go."""

    def __init__(self, answer: Any) -> None:
        self.began, self.let_go = asyncio.Event(), asyncio.Event()
        self.ended = ""
        self._answer = answer

    async def __call__(self, *_: Any, **__: Any) -> Any:
        self.began.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "finished"
        return self._answer


async def test_a_client_that_leaves_cancels_its_reading() -> None:
    world, held = World(), Held(())
    services = evolve(world.services(), groups=cast(Any, type("Groups", (), {"zones": held})()))
    async with serving(world, services=services) as client:
        await _leave_during(client, "GET", f"{BASE}zones/", held.began)
        await eventually(lambda: held.ended == "cancelled")


async def test_a_client_that_leaves_does_not_stop_a_change() -> None:
    world, held = World(), Held(OPERATION)
    world.answers["hosts.read"] = HOST
    hosts = type("Hosts", (), {"start_refresh": held, "read": staticmethod(world.services().hosts.read)})()
    services = evolve(world.services(), hosts=cast(Any, hosts))
    async with serving(world, services=services) as client:
        await _leave_during(client, "POST", f"{BASE}vm-hosts/4/?op=refresh", held.began)
        held.let_go.set()
        await eventually(lambda: held.ended == "finished")


async def test_closing_ends_what_still_waits_and_tells_the_client() -> None:
    world, held = World(), Held(OPERATION)
    world.answers["hosts.start_refresh"] = RUNNING
    operations = type("Operations", (), {"wait": held})()
    services = evolve(world.services(), operations=cast(Any, operations))
    async with serving(world, services=services) as client:
        asking = asyncio.ensure_future(client.ask("POST", f"{BASE}vm-hosts/4/?op=refresh"))
        await held.began.wait()
        await client.stop()
        heard = await asking
    assert heard.status == 503
    assert held.ended == "cancelled"


async def test_a_used_nonce_is_refused() -> None:
    async with serving() as client:
        signature = authorization(ADMIN_KEY, nonce="once", timestamp_s=NOW_S)
        first = await client.ask("GET", f"{BASE}zones/", signed=False, Authorization=signature)
        again = await client.ask("GET", f"{BASE}zones/", signed=False, Authorization=signature)
    assert (first.status, again.status) == (200, 401)
    assert again.body.startswith(b"Authorization Error: 'Nonce already used")
