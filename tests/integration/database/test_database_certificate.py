"""Regions verify the certificate of PostgreSQL, with the setting that docs/how-to/second-region.md names.

PostgreSQL of the Python wheel has no TLS, so a server in front of it ends TLS as PostgreSQL does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from attrs import frozen

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.pool import Database
from tests.support.certificate_pairs import make_pair

SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)


@frozen
class TlsServer:
    """On 127.0.0.1, which its certificate names."""

    port: int
    certificate: Path
    database_url: str

    async def connect(self, *, host: str = "127.0.0.1", certificate: Path | None = None) -> None:
        parts = urlsplit(self.database_url)
        root = quote(str(certificate or self.certificate))
        query = f"sslmode=verify-full&sslrootcert={root}"
        database = await Database.open(f"postgresql://{parts.username}@{host}:{self.port}{parts.path}?{query}")
        try:
            await database.ping()
        finally:
            await database.close()


@asynccontextmanager
async def tls_server(database_url: str, folder: Path) -> AsyncIterator[TlsServer]:
    certificate, key = make_pair("db.test").write(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    sockets = parse_qs(urlsplit(database_url).query)["host"][0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
        writer.write(b"S")
        try:
            await writer.start_tls(context)
        except (ssl.SSLError, ConnectionError):  # the client does not accept the certificate
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(f"{sockets}/.s.PGSQL.5432")
        await asyncio.gather(copied(reader, inner_writer), copied(inner_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield TlsServer(server.sockets[0].getsockname()[1], certificate, database_url)


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def test_a_region_connects_only_to_the_named_certificate(database_url: str, tmp_path: Path) -> None:
    if "host=" not in database_url:
        pytest.skip("requires a server on a Unix socket")
    other, _ = make_pair("db.test").write(tmp_path / "other")
    async with tls_server(database_url, tmp_path / "tls") as server:
        await server.connect()
        with pytest.raises(DatabaseUnavailable, match=r"certificate of the database .* not accepted: self-signed"):
            await server.connect(certificate=other)
        with pytest.raises(DatabaseUnavailable, match=r"not accepted: Hostname mismatch"):
            await server.connect(host="localhost")
        with pytest.raises(BadSettings, match=r"missing\.pem, which sslrootcert names, cannot be read: No such file"):
            await server.connect(certificate=tmp_path / "missing.pem")
