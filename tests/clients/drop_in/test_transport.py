"""What the proxies of the drop-in address keep of a request, and what they add."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest

from tests.clients.drop_in.metal import METAL
from tests.clients.drop_in.proxies import HOST_NAME, Program
from tests.clients.drop_in.recorded_maas import BY_MAAS, HASH
from tests.clients.drop_in.site import INNKEEPER, KEPT, MAAS, Call, Site, site
from tests.clients.exact_bytes import ClusterApi
from tests.clients.scenarios.cluster_api import hmac_key
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

API = "api/2.0/"
BOTH = pytest.mark.parametrize("program", list(Program))
CLIENT, FORGED = "127.0.0.5", "6.6.6.6"
GONE = (502, 503)  # of nginx and of HAProxy
LONG = "x" * 300_000  # of user data


def get(target: str) -> Call:
    return Call(method="GET", target=target)


async def _over_tls(made: Site, target: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", made.address.tls_port, ssl=context, server_hostname=HOST_NAME, local_addr=(CLIENT, 0)
    )
    try:
        writer.write(
            f"GET /MAAS/{target} HTTP/1.1\r\nHost: {HOST_NAME}\r\nX-Forwarded-For: {FORGED}\r\n"
            "X-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n"
            f"Authorization: {made.authorization()}\r\n\r\n".encode()
        )
        await reader.read()
    finally:
        writer.close()


@BOTH
async def test_the_target_is_unchanged_and_the_client_is_named(
    innkeeper: Deployment, tmp_path: Path, program: Program
) -> None:
    targets = (f"{API}files/a%2Fb%20c/?op=&prefix=%C3%A9", f"{API}subnets//5/?op=", f"{API}tags/x?id=a&id=b")
    async with site(innkeeper, program, tmp_path) as made:
        for target in targets:
            await _over_tls(made, target)
        assert [one.target for one in made.maas.requests] == [f"/MAAS/{target}" for target in targets]
        seen = made.maas.requests[-1].headers
        assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == (CLIENT, "https")
        assert (seen["host"], seen["x-forwarded-host"]) == (HOST_NAME, HOST_NAME)
        assert seen["authorization"].startswith("OAuth ")


@BOTH
async def test_innkeeper_knows_the_client(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    async with site(innkeeper, program, tmp_path) as made:
        await _over_tls(made, f"{API}vm-hosts/{made.host_id}/?op=parameters")
        (newest, *_) = await innkeeper.get("audit/")
        assert (newest["action"], newest["address"]) == ("VmHost.parameters", CLIENT)


@BOTH
async def test_requests_signed_by_hmac_pass(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    async with site(innkeeper, program, tmp_path) as made:
        client = ClusterApi.to(made.address.url, await hmac_key(innkeeper))
        for path in ("vm-hosts/", f"machines/{made.own}/", f"machines/{KEPT}/"):
            assert (await client.get(path)).status == 200
        taken = await client.post("machines/", [("system_id", made.own)], op="allocate")
        assert (taken.status, taken.json["status_name"], BY_MAAS in taken.headers) == (200, "Allocated", False)
        freed = await client.post(f"machines/{made.own}/", op="release")
        assert (freed.status, BY_MAAS in freed.headers) == (200, False)


@BOTH
async def test_an_upload_reaches_maas_while_it_is_sent(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    half = bytes(range(256)) * 16_000
    async with site(innkeeper, program, tmp_path) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.address.port)
        writer.write(
            f"PUT /MAAS/{API}boot-resources/7/upload/9/ HTTP/1.1\r\nHost: {HOST_NAME}\r\nConnection: close\r\n"
            f"Content-Length: {2 * len(half)}\r\nAuthorization: {made.authorization()}\r\n\r\n".encode()
            + half
        )
        await eventually(lambda: made.maas.begun)
        writer.write(half)
        await reader.read()
        writer.close()
        (upload,) = made.maas.requests
        assert hashlib.sha256(upload.body).digest() == hashlib.sha256(half + half).digest()


@BOTH
async def test_long_user_data_reaches_either_side(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    async with site(innkeeper, program, tmp_path) as made:
        for system_id, side in ((METAL, MAAS), (made.own, INNKEEPER), (KEPT, INNKEEPER)):
            call = Call(method="POST", target=f"{API}machines/{system_id}/?op=set_owner_data", body=f"note={LONG}")
            assert await made.side_of(call) == side
        assert made.maas.requests[-1].body == f"note={LONG}".encode()


@BOTH
async def test_a_websocket_of_maas_opens(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    async with site(innkeeper, program, tmp_path) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.address.port)
        writer.write(
            f"GET /MAAS/ws HTTP/1.1\r\nHost: {HOST_NAME}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()


@BOTH
async def test_only_the_side_of_the_description_sends_its_hash(
    innkeeper: Deployment, tmp_path: Path, program: Program
) -> None:
    async with site(innkeeper, program, tmp_path) as made:
        described = await made.send(get(f"{API}describe/"), signed=False)
        assert described.json["hash"] == described.headers["x-maas-api-hash"] == HASH
        assert described.headers["content-type"] == "application/json"
        assert "x-maas-api-hash" not in (await made.send(get(f"{API}vm-hosts/"))).headers


@BOTH
async def test_maas_works_while_innkeeper_is_down(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    async with site(innkeeper, program, tmp_path, without=INNKEEPER) as made:
        for target in (f"{API}machines/", f"{API}machines/{METAL}/", f"{API}users/?op=whoami", "r/machines"):
            assert (await made.send(get(target))).status == 200
        for target in (f"{API}vm-hosts/", f"{API}machines/{made.own}/", f"{API}machines/{KEPT}/"):
            assert (await made.send(get(target))).status in GONE, "not 404: Terraform would forget the machine"


@BOTH
async def test_innkeeper_works_while_maas_is_down(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    async with site(innkeeper, program, tmp_path, without=MAAS) as made:
        for target in (f"{API}vm-hosts/", f"{API}machines/{made.own}/", f"{API}machines/{KEPT}/"):
            assert (await made.send(get(target))).status == 200
        for target in (f"{API}machines/", f"{API}machines/{METAL}/", "r/machines"):
            assert (await made.send(get(target))).status in GONE
