"""The API over TLS: versions, deadlines and limits of connections, HSTS, renewal of the certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import frozen

from common.addresses.ip_networks import IpNetworks
from common.errors import BadSettings
from common.process.open_connections import ConnectionLimits
from regiond.api.http import channel
from regiond.api.http.site import SiteOptions
from regiond.api.pipeline.authentication import ANONYMOUS_BODY_BYTES
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.https.certificate_files import CertificateFiles
from regiond.https.service import HttpsCertificate
from tests.integration.support.api_over_http import BASE, Client, HeldCall, serve
from tests.support.certificate_pairs import DAY, Pair, make_pair
from tests.support.clock import advance
from tests.support.waiting import eventually, settle
from tests.unit.support.api_double import ApiDouble

VERSION = f"{BASE}version/"
OPTIONS = SiteOptions(connections=ConnectionLimits(total=3, per_address=2, proxies=IpNetworks()), hsts_s=600)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@frozen
class Served:
    client: Client
    https: HttpsCertificate
    folder: Path
    clock: Clock

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    @asynccontextmanager
    async def connected(
        self, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.client.port, ssl=context or self.context())
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def shown(self) -> bytes:
        """The certificate that a new connection is shown, DER."""
        async with self.connected() as (_, writer):
            found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return found

    async def get(self, path: str = VERSION, **headers: str) -> bytes:
        raw = self.client.encode("GET", path, body=b"", signed=False, host="region:5240", **headers)
        async with self.connected() as (reader, writer):
            writer.write(raw)
            return await reader.read()


@pytest.fixture
def first() -> Pair:
    return make_pair()


@pytest.fixture
def served(database: Database, tmp_path: Path, first: Pair) -> Iterator[Served]:
    certificate, key = first.write(tmp_path / "tls")
    clock = Clock()
    https = HttpsCertificate(CertificateFiles(certificate=certificate, key=key), database, clock=clock)
    client = serve(ApiDouble(), OPTIONS, tls=https)
    yield Served(client, https, tmp_path / "tls", clock)
    settle(client.stop())


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())


# Protocol ------------------------------------------------------------------------------------------------------------


async def test_answers_by_tls_carry_hsts_and_an_https_origin(served: Served) -> None:
    answer = await served.get(f"{BASE}describe/")
    assert b"Strict-Transport-Security: max-age=600\r\n" in answer
    assert b"https://region:5240/MAAS/" in answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_versions_before_1_2_and_weak_ciphers_are_refused(served: Served) -> None:
    old, weak = served.context(), served.context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE+AES+SHA:AES128-SHA:@SECLEVEL=0")
    for context in (old, weak):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with served.connected(context):
                pass
    good = served.context()
    good.maximum_version = ssl.TLSVersion.TLSv1_2
    async with served.connected(good) as (_, writer):
        assert writer.get_extra_info("cipher")[0].startswith("ECDHE-ECDSA-")


async def test_a_long_body_by_tls_is_read_only_after_a_login(served: Served) -> None:
    path, body = f"{BASE}vm-hosts/4/?op=refresh", b"x=" + b"a" * (2 * ANONYMOUS_BODY_BYTES)
    signed = served.client.encode("POST", path, body=body, signed=True, host="r")
    async with served.connected() as (reader, writer):
        writer.write(signed)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    unsigned = served.client.encode("POST", path, body=b"", signed=False, host="r")
    async with served.connected() as (reader, writer):
        writer.write(unsigned.replace(b"Length: 0", b"Length: 4000000"))
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")


# Connections ---------------------------------------------------------------------------------------------------------


async def test_a_handshake_has_a_deadline_however_slowly_it_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "HANDSHAKE_S", 0.3)
    hello = b"\x16\x03\x01\x02\x00" + b"\x01\x00\x01\xfc" + b"\x03\x03" + b"a" * 500
    reader, writer = await asyncio.open_connection("127.0.0.1", served.client.port)
    ended = asyncio.ensure_future(reader.read())
    sent = 0
    while not ended.done():
        writer.write(hello[sent : sent + 1])
        sent += 1
        await asyncio.wait([ended], timeout=0.05)
        assert sent < len(hello)
    await asyncio.gather(ended, return_exceptions=True)
    writer.close()
    await eventually(lambda: len(served.client.connections) == 0)


async def test_a_connection_outlives_the_deadline_of_its_handshake(served: Served) -> None:
    async with served.connected() as (reader, writer):
        await advance(2 * channel.HANDSHAKE_S)
        writer.write(served.client.encode("GET", VERSION, body=b"", signed=False, host="r"))
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


async def test_unfinished_handshakes_of_one_address_are_limited(served: Served) -> None:
    streams = [await asyncio.open_connection("127.0.0.1", served.client.port) for _ in range(5)]
    await eventually(lambda: len(served.client.connections) <= 2)
    assert (await served.get()).startswith(b"HTTP/1.1 200 ")
    for _, writer in streams:
        writer.close()


async def test_health_is_answered_by_tls_beyond_the_limits(served: Served) -> None:
    served.client.api.answers["groups.zones"] = HeldCall(())
    async with served.connected() as (_, first), served.connected() as (_, second):
        for writer in (first, second):
            writer.write(served.client.encode("GET", f"{BASE}zones/", body=b"", signed=True, host="r"))
        await eventually(lambda: len(served.client.api.done()) == 2)
        assert (await served.get("/healthz/live")).endswith(b"\r\n\r\nlive")
        assert (await served.get()).startswith(b"HTTP/1.1 503 ")


# Renewal -------------------------------------------------------------------------------------------------------------


async def test_a_renewed_certificate_serves_new_connections_only(served: Served, first: Pair) -> None:
    second = make_pair()
    calls: list[str] = []

    async def note() -> None:
        calls.append(served.https.current.fingerprint)

    served.https.on_change(note)
    async with served.connected() as (reader, writer):
        second.write(served.folder)
        await served.https.check()
        assert (await served.shown()) == der(second)
        writer.write(served.client.encode("GET", VERSION, body=b"", signed=False, host="r"))
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        assert writer.get_extra_info("ssl_object").getpeercert(binary_form=True) == der(first)
    assert calls == [second.fingerprint]


async def test_the_files_are_watched_while_the_region_runs(served: Served) -> None:
    served.https.start()
    try:
        second = make_pair()
        second.write(served.folder)
        served.https.reload()
        await eventually(lambda: served.https.current.fingerprint == second.fingerprint)
    finally:
        await served.https.stop()


async def test_a_bad_new_pair_keeps_the_old_one_and_is_reported_once(
    served: Served, first: Pair, database: Database
) -> None:
    (served.folder / "certificate.pem").write_bytes(make_pair().certificate_pem)
    await served.https.check()
    assert await Events(database).list() == (), "the second file may follow"
    for _ in range(3):
        await served.https.check()
    assert (await served.shown()) == der(first)
    (event,) = await Events(database).list()
    assert event.kind == "tls_certificate_rejected"
    assert "not for this private key" in event.message
    assert f"keeps the certificate {first.fingerprint}" in event.message
    second = make_pair()
    second.write(served.folder)
    await served.https.check()
    assert (await served.shown()) == der(second)


async def test_a_missing_or_expired_new_pair_keeps_the_old_one(served: Served, first: Pair) -> None:
    (served.folder / "key.pem").unlink()
    await served.https.check()
    make_pair(starts_at=served.clock.now - 20 * DAY, lifetime=10 * DAY).write(served.folder)
    await served.https.check()
    assert (await served.shown()) == der(first)


async def test_a_region_starts_with_an_expired_certificate_and_says_so(database: Database, tmp_path: Path) -> None:
    certificate, key = make_pair(starts_at=datetime.now(UTC) - 20 * DAY, lifetime=10 * DAY).write(tmp_path / "old")
    https = HttpsCertificate(CertificateFiles(certificate=certificate, key=key), database)
    for _ in range(2):
        await https.check()
    (event,) = await Events(database).list()
    assert "it expired on" in event.message


def test_a_region_without_a_usable_pair_does_not_start(database: Database, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="Cannot read tls_certificate"):
        HttpsCertificate(CertificateFiles(certificate=tmp_path / "a", key=tmp_path / "b"), database)


async def test_each_notice_of_the_expiry_is_given_once(served: Served, database: Database) -> None:
    for left in (timedelta(days=8), timedelta(days=6), timedelta(days=5), timedelta(hours=3), timedelta(days=-1)):
        served.clock.now = served.https.current.expires_at - left
        await served.https.report_expiry()
    found = [one.message for one in await Events(database).list()]
    assert len(found) == 3
    assert "has expired" in found[0]
    assert "expires within a day" in found[1]
    assert "expires within 7 days" in found[2]
