"""The region behind the proxies of the guide to HTTPS: Debian's nginx and HAProxy run its examples."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attrs import frozen

from common.addresses.ip_networks import IpNetworks
from common.errors import NotAuthenticated
from regiond.api.http.forwarding import TrustedProxies
from regiond.api.http.site import SiteOptions
from tests.integration.support.api_over_http import BASE, Client, serve
from tests.pages.blocks import example
from tests.support.certificate_pairs import make_pair
from tests.support.ports import free_port
from tests.support.waiting import eventually, settle
from tests.unit.support.api_double import ApiDouble

PAGE = "docs/how-to/https.md"
NAME = "region.example.net"
CLIENT, FORGED = "127.0.0.5", "6.6.6.6"  # the proxy's own address is 127.0.0.1
FORGERIES = {
    "X-Forwarded-For": FORGED,
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "Forwarded": f"for={FORGED};host=evil.example",
}
NGINX = """
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{example}
}}
"""


@frozen
class Proxied:
    """A region behind a proxy."""

    region: Client
    port: int

    async def send(
        self, method: str, path: str, *, body: bytes = b"", signed: bool = False, kind: str = "text/plain"
    ) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = self.region.encode(method, path, body=body, signed=signed, host=NAME)
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**FORGERIES, "Content-Type": kind}.items())
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=NAME, local_addr=(CLIENT, 0)
        )
        try:
            writer.write(raw.replace(b"\r\n\r\n", b"\r\n" + lines.encode() + b"\r\n", 1))
            return await reader.read()
        finally:
            writer.close()

    async def is_ready(self) -> bool:
        try:
            return b"2.0" in await self.send("GET", "/MAAS/api/version/")
        except OSError:
            return False


def _nginx(folder: Path, port: int, region: int) -> list[str]:
    certificate, key = make_pair(NAME).write(folder)
    of_page = example(PAGE, "nginx", {
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/ssl/region/fullchain.pem": str(certificate),
        "/etc/ssl/region/privkey.pem": str(key),
        "127.0.0.1:5240": f"127.0.0.1:{region}",
    })  # fmt: skip
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, example=of_page))
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(file)]


def _haproxy(folder: Path, port: int, region: int) -> list[str]:
    pair = make_pair(NAME)
    both = folder / "region.pem"
    both.write_bytes(pair.certificate_pem + pair.key_pem)
    file = folder / "haproxy.cfg"
    file.write_text(example(PAGE, "haproxy", {
        "bind :443": f"bind 127.0.0.1:{port}",
        "/etc/haproxy/region.pem": str(both),
        "127.0.0.1:5240": f"127.0.0.1:{region}",
    }))  # fmt: skip
    return ["haproxy", "-db", "-f", str(file)]


@contextmanager
def _running(argv: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(params=[_nginx, _haproxy], ids=["nginx", "haproxy"])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    program = request.node.callspec.id
    if shutil.which(program) is None:
        pytest.skip(f"needs Debian's {program}: apt-get install {program}")
    configure: Callable[[Path, int, int], list[str]] = request.param
    proxies = TrustedProxies(networks=IpNetworks.parse(("127.0.0.1",)))
    region = serve(ApiDouble(), SiteOptions(proxies=proxies))
    port = free_port()
    with ExitStack() as running:
        log = tmp_path / "log"
        running.enter_context(_running(configure(tmp_path, port, region.port), log))
        made = Proxied(region, port)
        try:
            settle(eventually(made.is_ready))
        except AssertionError:
            raise AssertionError(log.read_text()) from None
        yield made
    settle(region.stop())


async def test_links_have_the_address_that_the_client_used(proxied: Proxied) -> None:
    answer = await proxied.send("GET", f"{BASE}describe/")
    described = json.loads(re.search(rb"\{.*\}", answer, re.DOTALL)[0])  # type: ignore[index]  # it fails if there is none
    assert {one["uri"].partition("/MAAS/")[0] for one in described["handlers"]} == {f"https://{NAME}"}
    assert answer.lower().count(b"strict-transport-security: max-age=31536000\r\n") == 1


async def test_a_client_cannot_forge_its_address(proxied: Proxied) -> None:
    proxied.region.api.answers["logins.log_in"] = NotAuthenticated("Wrong user name or password.")
    form = b"username=ann&password=wrong"
    answer = await proxied.send(
        "POST", "/MAAS/accounts/authenticate/", body=form, kind="application/x-www-form-urlencoded"
    )
    assert b" 401 " in answer.partition(b"\r\n")[0]
    assert proxied.region.api.call("logins.log_in").named["address"] == CLIENT


async def test_signed_requests_and_long_bodies_pass(proxied: Proxied) -> None:
    body = b"x=" + b"a" * 100_000
    kind = "application/x-www-form-urlencoded"
    answer = await proxied.send("POST", f"{BASE}vm-hosts/4/?op=refresh", body=body, signed=True, kind=kind)
    assert b" 200 " in answer.partition(b"\r\n")[0], answer[:500]
