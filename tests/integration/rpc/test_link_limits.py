"""What one peer may send and open, and that a flood of one does not keep others out."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from common.errors import (
    LinkLost,
    NotAllowed,
)
from common.rpc import connection
from common.rpc.connection import connect
from common.rpc.handlers import Side
from common.rpc.tls import MemberTls
from common.trust.certificates import Role, load_certificate, subject_of
from regiond.racks.enrolment import listener
from regiond.racks.enrolment.handshake_queue import HandshakeRates
from regiond.racks.enrolment.listener import MAX_LINKS_OF_RACK
from tests.abuse.rpc_wire import tls
from tests.integration.support.rigs.linked import JOIN, Region, Text, dial, dial_anonymously, echo, make_region


async def test_a_client_sends_frames_of_64_kib_at_most(region: Region) -> None:
    client = await dial(region, role=Role.CLIENT)
    assert await echo(client.link, "x" * 60_000)
    await asyncio.gather(echo(client.link, "x" * 70_000), return_exceptions=True)
    assert "a frame of" in (await client.link.closed()).message
    await client.end()


async def test_the_oldest_link_of_a_rack_ends_when_it_opens_too_many(region: Region) -> None:
    credentials = region.member()
    racks = [await dial(region, credentials) for _ in range(MAX_LINKS_OF_RACK + 1)]
    assert "newer links" in (await racks[0].link.closed()).message
    assert await echo(racks[-1].link, "fine")
    for rack in racks:
        await rack.end()


async def test_a_client_with_too_many_links_is_rejected(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_LINKS_OF_CLIENT", 2)
    credentials = region.member(Role.CLIENT)
    clients = [await dial(region, credentials, Role.CLIENT) for _ in range(2)]
    with pytest.raises(LinkLost, match="2 links to this region"):
        await dial(region, credentials, Role.CLIENT)
    assert await echo(clients[0].link, "fine")
    for client in clients:
        await client.end()


@pytest.mark.slow
async def test_a_peer_over_its_budget_of_frames_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FRAMES_PER_S", 1)
    monkeypatch.setattr(listener, "BURST_FRAMES", 5)
    region = make_region(tmp_path / "budget")
    flooding, other = await dial(region), await dial(region)
    calls = [asyncio.ensure_future(echo(flooding.link, str(number))) for number in range(60)]
    await asyncio.gather(*calls[:4])  # and the hello
    assert await echo(other.link, "fine")
    assert not calls[-1].done()
    await calls[5]
    await flooding.end()
    assert (await asyncio.gather(*calls, return_exceptions=True))[:6] == ["0", "1", "2", "3", "4", "5"]
    await other.end()
    await region.listener.stop()


async def test_a_peer_that_opens_link_after_link_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LINKS_PER_S", {Role.RACK: (0.01, 2)})
    region = make_region(tmp_path / "budget")
    credentials = region.member()
    for _ in range(2):
        await (await dial(region, credentials)).end()
    with pytest.raises(LinkLost, match=r"has opened too many links in a short time; retry in \d+ s"):
        await dial(region, credentials)
    await (await dial(region)).end()
    await region.listener.stop()


async def test_rejected_handshakes_delay_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = HandshakeRates(per_s=1000, burst=100, per_s_of_address=0.01, burst_of_address=2)
    monkeypatch.setattr(listener, "HANDSHAKES", rates)
    region = make_region(tmp_path / "handshakes")
    for _ in range(5):
        await (await dial(region)).end()  # accepted
    removed = region.member()
    region.removed.add(subject_of(load_certificate(removed.certificate_pem)).id)
    for _ in range(2):
        with pytest.raises(NotAllowed):
            await dial(region, removed)
    side = Side(role=Role.RACK, name="r1")
    waiting = asyncio.create_task(connect(region.address, MemberTls(region.member()), side, deadline_s=60))
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await region.listener.stop()


async def test_a_peer_that_sends_on_after_its_rejection_is_cut(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 3600.0)
    removed = region.member()
    region.removed.add(subject_of(load_certificate(removed.certificate_pem)).id)

    def send_on() -> None:
        """Without reading anything, hence also not that the region ends the connection."""
        plain = socket.create_connection((region.address.host, region.address.port), timeout=30)
        with tls(removed).wrap_socket(plain) as wire:
            for _ in range(1000):
                wire.sendall(bytes(65536))

    with pytest.raises(OSError, match=r"reset|[Bb]roken pipe|EOF"):
        await asyncio.to_thread(send_on)


async def test_a_flood_of_joining_peers_does_not_keep_others_out(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_ANONYMOUS", 2)
    links = [await dial_anonymously(region) for _ in range(4)]
    assert "too many peers are joining" in (await links[0].closed()).message
    answer = await links[-1].call(JOIN, Text(text="me"), deadline_s=30)
    assert answer.text
    for link in links:
        link.close("enough")
        await link.closed()


async def test_a_flood_without_handshakes_ends_its_own_connections(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_UNIDENTIFIED", 2)
    opened = [await asyncio.open_connection(region.address.host, region.address.port) for _ in range(3)]
    with suppress(ConnectionResetError):
        assert await opened[0][0].read() == b""
    for _, writer in opened:
        writer.close()
