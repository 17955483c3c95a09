"""No secret is sent over loopback outside TLS, logged or stored in rows while hosts are added and removed.

The API's connection is excluded: it is plain HTTP here and carries the secrets that users send. The responses of the
API are searched; only the token for a new rack is in them.
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

from common.rpc.tokens import decode_token
from development import postgres
from innkeeper.request_body import Body
from rackd.identity import load
from regiond.credentials.key_pairs import KEY_NAME
from regiond.credentials.master_key import FILE, open_key_file
from regiond.credentials.seal import unseal
from regiond.db.pool import connect
from tests.lab.credentials.capture import Capture, capturing
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import LAB_DIR
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lab.support.secret_search import SecretSearch
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment

PREFIX = "iktrust-"
SMALL = {"cores": 1, "memory": 1024, "storage": "1"}
TLS_HANDSHAKE = b"\x16\x03"
JOIN_TOKEN, TRUST_TOKEN, PASSWORD, WRONG, OWN_KEY = "join token", "trust token", "password", "wrong password", "own key"


@asynccontextmanager
async def database_over_tcp(deployment: Deployment) -> AsyncIterator[int]:
    """The port through which the region connects to its database, so that the capture includes that connection."""
    sockets = parse_qs(urlsplit(deployment.dsn).query)["host"][0]

    forwarding: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forwarding.add(asyncio.create_task(forward(reader, writer)))

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(f"{sockets}/.s.PGSQL.5432")
        await asyncio.gather(copied(reader, inner_writer), copied(inner_reader, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        deployment.processes.dsn = f"postgresql://{postgres.ROLE}@127.0.0.1:{port}/{postgres.DATABASE}"
        yield port
    deployment.processes.kill_all()  # this ends the forwarded connections
    await asyncio.gather(*forwarding)


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


async def put(deployment: Deployment, host_id: int, **fields: str) -> None:
    await deployment.api.send("PUT", f"vm-hosts/{host_id}/", body=Body(fields=list(fields.items())))


async def do(deployment: Deployment, host_id: int, op: str) -> None:
    await deployment.api.send("POST", f"vm-hosts/{host_id}/", query=[("op", op)])


async def is_ready(deployment: Deployment, host_id: int) -> bool:
    return bool((await deployment.get(f"vm-hosts/{host_id}/"))["state"] == "ready")


async def add_key_pairs(deployment: Deployment, search: SecretSearch) -> None:
    """The keys that the region created or received, unsealed."""
    key = open_key_file(deployment.folder / "state" / FILE)
    db = await connect(deployment.processes.dsn, application_name="test")
    try:
        for row in await db.fetch("select id, sealed_key from key_pair where not imported"):
            search.add_key(f"key pair {row['id']}", unseal(key, row["id"], KEY_NAME, row["sealed_key"]))
    finally:
        await db.close()


def add_files(deployment: Deployment, servers: Iterable[LxdServer], search: SecretSearch) -> None:
    """The secrets of region, rack and LXD servers."""
    state = deployment.folder / "state"
    search.add_key("rack", load(deployment.folder / "rack-rack" / "rackd").key_pem)
    search.add_key("authority", (state / "authority" / "authority.pem").read_text())
    search.add_text("master key", (state / FILE).read_text().strip())
    for server in servers:
        search.add_key(server.name, (LAB_DIR / f"lxd-{server.name}" / "server.key").read_text())


async def rows(deployment: Deployment) -> bytes:
    """Every row of every table, as text; bytes in hex."""
    db = await connect(deployment.processes.dsn, application_name="test")
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
    """The secret in the token of the API's response."""
    return decode_token(sent.partition(b'"token": "')[2].partition(b'"')[0].decode()).secret


async def add_and_remove_hosts(
    deployment: Deployment, servers: tuple[LxdServer, LxdServer], own: KeyPair, search: SecretSearch, phrase: str
) -> bytes:
    """Adds hosts by token, password and user's key pair; composes, rotates, removes. Returns the tables' rows."""
    first, second = servers
    token = await asyncio.to_thread(first.token, "innkeeper")
    search.add_text(TRUST_TOKEN, secret_of(token))
    wrong = token_hex(16)
    search.add_text(WRONG, wrong)
    here = await deployment.add_host(type="lxd", power_address=first.address, password=token, name="here")
    there = await deployment.add_host(
        type="lxd", power_address=second.address, password=wrong, trust_on_first_use="true", name="there"
    )
    await put(deployment, there, password=phrase)
    await eventually(partial(is_ready, deployment, there))
    await add_key_pairs(deployment, search)
    await asyncio.to_thread(second.add_trust, own)
    await put(deployment, there, certificate=own.certificate_pem, key=own.key_pem)
    await do(deployment, there, "refresh")
    await do(deployment, here, "rotate")
    await add_key_pairs(deployment, search)
    machines: list[Any] = [
        await deployment.compose(host, hostname=f"{PREFIX}{host}", **SMALL) for host in (here, there)
    ]
    held = await rows(deployment)
    for machine in machines:
        await deployment.api.send("DELETE", f"machines/{machine['system_id']}/")
    await deployment.get("operations/")
    await deployment.get("events/", op="query")
    for host in (here, there):
        await deployment.api.send("DELETE", f"vm-hosts/{host}/")
    return held + await rows(deployment)


def tls_only(seen: Capture, port: int) -> bool:
    """Whether both ends of each connection begin with a TLS handshake."""
    flows = [payload for flow, payload in seen.payloads.items() if port in (flow.source, flow.target) and payload]
    return len(flows) >= 2 and all(payload.startswith(TLS_HANDSHAKE) for payload in flows)


async def test_no_secret_is_outside_tls_or_in_logs_or_rows(
    deployment: Deployment, servers: tuple[LxdServer, LxdServer]
) -> None:
    search, own, phrase = SecretSearch(), make_key_pair("ikown"), token_hex(16)
    search.add_key(OWN_KEY, own.key_pem)
    search.add_text(PASSWORD, phrase)
    deployment.processes.start_postgres()
    with trust_password(servers[1], phrase), capturing() as seen:
        async with database_over_tcp(deployment) as database_port:
            await deployment.runner.start_region()
            await deployment.processes.start_rack("rack")
            held = await add_and_remove_hosts(deployment, servers, own, search, phrase)
    add_files(deployment, servers, search)
    given, answered = seen.to_port(deployment.processes.http_port), seen.from_port(deployment.processes.http_port)
    search.add_text(JOIN_TOKEN, secret_to_join(answered))

    assert b"update vm_host" in seen.to_port(database_port), "the capture sees unencrypted traffic"
    assert search.found_in(given) == {TRUST_TOKEN, PASSWORD, WRONG, OWN_KEY}, "the search finds what the API received"
    assert search.found_in(answered) == {JOIN_TOKEN}, "the search finds the rack token"
    assert len(search.names) == 13, "three pairs of Innkeeper, one of the user, five others; four texts"
    logs = {path.name: path.read_bytes() for path in deployment.folder.glob("*.log")}
    assert len(logs) == 2
    assert own.fingerprint.encode() in held, "the rows belong to these hosts"
    places = {"network": seen.without_port(deployment.processes.http_port), "rows": held, **logs}
    assert search.found_among(places) == {}
    ports = (deployment.processes.rpc_port, *(int(one.address.rpartition(":")[2]) for one in servers))
    assert [port for port in ports if not tls_only(seen, port)] == []
