"""All that passes on this machine's loopback while hosts come and go: no secret outside TLS, nor in logs or rows.

The one connection that is left out is the API's own: it is plain HTTP here, and what a person gives to the API, or asks
it for, is on it by nature. What the API sends is looked at, but for the token that a new rack is to have.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from common.rpc.tokens import decode_token
from innkeeper.http import Body
from rackd.identity import load
from regiond.credentials.key_pairs import KEY_NAME
from regiond.credentials.master_key import FILE, open_key_file
from regiond.credentials.seal import unseal
from regiond.db.pool import connect
from tests.lab.capture import Capture, capturing
from tests.lab.key_pair import KeyPair, make_key_pair
from tests.lab.lxd_server import LxdServer
from tests.lab.needs import LAB_DIR
from tests.lab.secret_search import SecretSearch
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.daemons import Daemons

PREFIX = "iktrust-"
SMALL = {"cores": 1, "memory": 1024, "storage": "1"}
TLS_HANDSHAKE = b"\x16\x03"
JOIN_TOKEN, TRUST_TOKEN, PASSWORD, REFUSED, OWN_KEY = "join token", "trust token", "password", "refused", "own key"


@asynccontextmanager
async def database_over_tcp(daemons: Daemons) -> AsyncIterator[int]:
    """The port through which the region speaks to its database, so that the capture sees that link, too."""
    sockets = parse_qs(urlsplit(daemons.dsn).query)["host"][0]

    forwarding: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forwarding.add(asyncio.create_task(forward(reader, writer)))

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(f"{sockets}/.s.PGSQL.5432")
        await asyncio.gather(pumped(reader, inner_writer), pumped(inner_reader, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        daemons.dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        yield port
    daemons.stop()  # its connections end, and what forwards them
    await asyncio.gather(*forwarding)


async def pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the daemons are killed at the end
    finally:
        writer.close()


@contextmanager
def trust_password(server: LxdServer, phrase: str) -> Iterator[None]:
    server.lxc("config", "set", "core.trust_password", phrase)
    try:
        yield
    finally:
        server.lxc("config", "unset", "core.trust_password")


async def put(daemons: Daemons, host_id: int, **fields: str) -> None:
    await daemons.api.send("PUT", f"vm-hosts/{host_id}/", body=Body(fields=list(fields.items())))


async def do(daemons: Daemons, host_id: int, op: str) -> None:
    await daemons.api.send("POST", f"vm-hosts/{host_id}/", query=[("op", op)])


async def is_ready(daemons: Daemons, host_id: int) -> bool:
    return bool((await daemons.get(f"vm-hosts/{host_id}/"))["state"] == "ready")


async def learn_pairs(daemons: Daemons, search: SecretSearch) -> None:
    """The keys that the region has made or was given, as only it can open them."""
    key = open_key_file(daemons.folder / "state" / FILE)
    db = await connect(daemons.dsn, application_name="test")
    try:
        for row in await db.fetch("select id, sealed_key from key_pair where not imported"):
            search.add_key(f"key pair {row['id']}", unseal(key, row["id"], KEY_NAME, row["sealed_key"]))
    finally:
        await db.close()


def learn_files(daemons: Daemons, servers: Iterable[LxdServer], search: SecretSearch) -> None:
    """What region, rack and LXD servers keep to themselves."""
    state = daemons.folder / "state"
    search.add_key("rack", load(daemons.folder / "rack-rack" / "rackd").key_pem)
    search.add_key("authority", (state / "authority" / "authority.pem").read_text())
    search.add_text("master key", (state / FILE).read_text().strip())
    for server in servers:
        search.add_key(server.name, (LAB_DIR / f"lxd-{server.name}" / "server.key").read_text())


async def rows(daemons: Daemons) -> bytes:
    """Every row of every table, as text; bytes in hex."""
    db = await connect(daemons.dsn, application_name="test")
    try:
        names = [row[0] for row in await db.fetch("select tablename from pg_tables where schemaname = 'public'")]
        found = [row[0] for name in names for row in await db.fetch(f'select t::text from "{name}" t')]  # noqa: S608  # our own tables
    finally:
        await db.close()
    return "\n".join(found).encode()


def secret_of(token: str) -> str:
    secret: str = json.loads(base64.b64decode(token))["secret"]
    return secret


def secret_to_join(sent: bytes) -> str:
    """Of the token that the API answered."""
    return decode_token(sent.partition(b'"token": "')[2].partition(b'"')[0].decode()).secret


async def come_and_go(
    daemons: Daemons, servers: tuple[LxdServer, LxdServer], own: KeyPair, search: SecretSearch, phrase: str
) -> bytes:
    """Hosts by token, by password, by a pair of one's own; composed on, rotated, removed. What the tables held."""
    first, second = servers
    token = await asyncio.to_thread(first.token, "innkeeper")
    search.add_text(TRUST_TOKEN, secret_of(token))
    refused = token_hex(16)
    search.add_text(REFUSED, refused)
    here = await daemons.add_host(type="lxd", power_address=first.address, password=token, name="here")
    there = await daemons.add_host(type="lxd", power_address=second.address, password=refused, name="there")
    await put(daemons, there, password=phrase)
    await eventually(partial(is_ready, daemons, there))
    await learn_pairs(daemons, search)
    await asyncio.to_thread(second.add_trust, own)
    await put(daemons, there, certificate=own.certificate_pem, key=own.key_pem)
    await do(daemons, there, "refresh")
    await do(daemons, here, "rotate")
    await learn_pairs(daemons, search)
    made: list[Any] = [await daemons.compose(host, hostname=f"{PREFIX}{host}", **SMALL) for host in (here, there)]
    held = await rows(daemons)
    for machine in made:
        await daemons.api.send("DELETE", f"machines/{machine['system_id']}/")
    await daemons.get("operations/")
    await daemons.get("events/")
    for host in (here, there):
        await daemons.api.send("DELETE", f"vm-hosts/{host}/")
    return held + await rows(daemons)


def tls_only(seen: Capture, port: int) -> bool:
    """Whether both ends of each connection there begin with a handshake."""
    flows = [payload for flow, payload in seen.payloads.items() if port in (flow.source, flow.target) and payload]
    return len(flows) >= 2 and all(payload.startswith(TLS_HANDSHAKE) for payload in flows)


@pytest.mark.deadline(180)
async def test_no_secret_is_on_any_link_but_tls_nor_in_logs_nor_in_rows(
    daemons: Daemons, servers: tuple[LxdServer, LxdServer]
) -> None:
    search, own, phrase = SecretSearch(), make_key_pair("ikown"), token_hex(16)
    search.add_key(OWN_KEY, own.key_pem)
    search.add_text(PASSWORD, phrase)
    daemons.start_postgres()
    with trust_password(servers[1], phrase), capturing() as seen:
        async with database_over_tcp(daemons) as database_port:
            await daemons.start_region()
            await daemons.start_another_rack("rack")
            held = await come_and_go(daemons, servers, own, search, phrase)
    learn_files(daemons, servers, search)
    given, answered = seen.to_port(daemons.http_port), seen.from_port(daemons.http_port)
    search.add_text(JOIN_TOKEN, secret_to_join(answered))

    assert b"update vm_host" in seen.to_port(database_port), "it sees what is plain"
    assert search.found_in(given) == {TRUST_TOKEN, PASSWORD, REFUSED, OWN_KEY}, "it finds what was given to the API"
    assert search.found_in(answered) == {JOIN_TOKEN}, "it finds the token of the rack"
    assert len(search.names) == 13, "three pairs that we made, one brought, five of others; four words"
    logs = {path.name: path.read_bytes() for path in daemons.folder.glob("*.log")}
    assert len(logs) == 2
    assert own.fingerprint.encode() in held, "the rows are those of these hosts"
    places = {"network": seen.without_port(daemons.http_port), "rows": held, **logs}
    assert search.found_among(places) == {}
    ports = (daemons.rpc_port, *(int(one.address.rpartition(":")[2]) for one in servers))
    assert [port for port in ports if not tls_only(seen, port)] == []
