"""Runs Debian's nginx and HAProxy with the files of docs/examples/drop-in-address/; only addresses and paths differ."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from attrs import frozen

from tests.clients.environment import CHECKOUT
from tests.support.certificate_pairs import make_pair
from tests.support.ports import free_port
from tests.support.waiting import eventually

EXAMPLES = CHECKOUT / "docs/examples/drop-in-address"
HOST_NAME = "maas.example.net"
_NGINX = """
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
    include {folder}/drop-in.conf;
}}
"""


class Program(StrEnum):
    NGINX = "nginx"
    HAPROXY = "haproxy"


@frozen(kw_only=True)
class Sides:
    """The ports of both on the loopback address, and Innkeeper's machines with an id of MAAS's form that it knows.

    `lists` is the port of merge-lists, which the examples do not ask unless that is chosen.
    """

    innkeeper: int
    maas: int
    lists: int = 5290
    ids: Sequence[str] = ()


@frozen(kw_only=True)
class DropIn:
    """`port` speaks plain HTTP, `tls_port` HTTPS with a certificate of its own authority."""

    port: int
    tls_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/MAAS"


def replaced(text: str, words: Mapping[str, str]) -> str:
    """Returns the text with words replaced, each of which it has to contain."""
    for old, new in words.items():
        assert old in text, f"the example has no {old}"
        text = text.replace(old, new)
    return text


def _nginx(folder: Path, made: DropIn, sides: Sides, changes: Mapping[str, str]) -> list[str]:
    certificate, key = make_pair(HOST_NAME).write(folder)
    (folder / "innkeeper-ids.map").write_text("".join(f"{one} innkeeper;\n" for one in sides.ids))
    words = {
        "listen 443 ssl http2;": f"listen 127.0.0.1:{made.tls_port} ssl http2; listen 127.0.0.1:{made.port};",
        "/etc/ssl/maas/fullchain.pem": str(certificate),
        "/etc/ssl/maas/privkey.pem": str(key),
        "/etc/nginx/innkeeper-ids": str(folder / "innkeeper-ids"),
        "127.0.0.1:5240": f"127.0.0.1:{sides.innkeeper}",
        "192.0.2.10:5240": f"127.0.0.1:{sides.maas}",
        "127.0.0.1:5290": f"127.0.0.1:{sides.lists}",
    }
    (folder / "drop-in.conf").write_text(replaced((EXAMPLES / "nginx.conf").read_text(), {**changes, **words}))
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _haproxy(folder: Path, made: DropIn, sides: Sides, changes: Mapping[str, str]) -> list[str]:
    pair = make_pair(HOST_NAME)
    (folder / "maas.pem").write_bytes(pair.certificate_pem + pair.key_pem)
    (folder / "innkeeper-ids.lst").write_text("".join(f"{one}\n" for one in sides.ids))
    words = {
        "bind :443": f"bind 127.0.0.1:{made.port}\n    bind 127.0.0.1:{made.tls_port}",
        "/etc/haproxy/maas.pem": str(folder / "maas.pem"),
        "/etc/haproxy/innkeeper-ids.lst": str(folder / "innkeeper-ids.lst"),
        "127.0.0.1:5240": f"127.0.0.1:{sides.innkeeper}",
        "192.0.2.10:5240": f"127.0.0.1:{sides.maas}",
        "127.0.0.1:5290": f"127.0.0.1:{sides.lists}",
    }
    (folder / "haproxy.cfg").write_text(replaced((EXAMPLES / "haproxy.cfg").read_text(), {**changes, **words}))
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


@asynccontextmanager
async def drop_in(
    program: Program, folder: Path, sides: Sides, changes: Mapping[str, str] | None = None
) -> AsyncIterator[DropIn]:
    """Runs the proxy until the block ends. `changes` are words of the example that the page says to replace."""
    made = DropIn(port=free_port(), tls_port=free_port())
    process = _start(program, folder, made, sides, changes or {})
    try:
        await eventually(lambda: _is_up(made, process, folder))
        yield made
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, timeout=60)


def _start(
    program: Program, folder: Path, made: DropIn, sides: Sides, changes: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    folder.mkdir()
    argv = {Program.NGINX: _nginx, Program.HAPROXY: _haproxy}[program](folder, made, sides, changes)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)


@asynccontextmanager
async def lists_of_both(folder: Path, sides: Sides) -> AsyncIterator[None]:
    """Runs merge-lists at `sides.lists` until the block ends."""
    process = _merging(folder / "innkeeper-ids.lst", sides)
    try:
        await eventually(lambda: answers(sides.lists))
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, timeout=60)


def _merging(ids: Path, sides: Sides) -> subprocess.Popen[bytes]:
    ids.write_text("".join(f"{one}\n" for one in sides.ids))
    addresses = [f"127.0.0.1:{port}" for port in (sides.lists, sides.innkeeper, sides.maas)]
    return subprocess.Popen(["/usr/bin/python3", EXAMPLES / "merge-lists", *addresses, ids])


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _is_up(made: DropIn, process: subprocess.Popen[bytes], folder: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError((folder / "log").read_text())
    return await answers(made.port)
