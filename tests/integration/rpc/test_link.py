"""Links over TLS on loopback between a region and its racks, RPC clients and anonymous peers that want to join."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.errors import (
    DeadlineExceeded,
    DriverFailed,
    InnkeeperError,
    InternalError,
    InvalidRequest,
    LinkLost,
    NotAllowed,
    NotTrusted,
    Unsupported,
    VersionMismatch,
)
from common.rpc.commands.command import Command
from common.rpc.connection import MAX_UNSENT_BYTES, LinkProtocol, connect
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Address
from common.rpc.session import Limits
from common.rpc.tls import MemberTls
from common.trust.certificates import Credentials, Role, Subject
from regiond.racks.enrolment.authority import Authority
from regiond.racks.enrolment.listener import MAX_LINKS_OF_RACK
from tests.integration.support.rigs.linked import (
    BUG,
    COUNT,
    ECHO,
    FAIL,
    HUGE,
    JOIN,
    RACKS_ONLY,
    STUCK,
    UNKNOWN,
    Dialled,
    Region,
    Text,
    dial,
    dial_anonymously,
    echo,
    make_region,
)
from tests.support.clock import advance, in_no_time
from tests.support.waiting import eventually, settle


@pytest.fixture
def rack(region: Region) -> Iterator[Dialled]:
    """A rack that is linked to the region until the end of the test."""
    dialled = settle(dial(region))
    yield dialled
    settle(dialled.end())


@pytest.fixture
def link(region: Region, rack: Dialled) -> Link:
    """The region's end of the link of `rack`."""
    settle(eventually(lambda: region.links))
    return region.links[0]


async def test_calls_go_both_ways_over_one_link(region: Region, rack: Dialled, link: Link) -> None:
    assert await echo(rack.link, "up") == "up"
    assert await echo(link, "down") == "down"
    assert (link.peer.role, link.peer.name, rack.link.peer.role) == (Role.RACK, "r1", Role.REGION)
    await rack.end()
    assert await eventually(lambda: region.lost) == [link]


@pytest.mark.parametrize(
    ("command", "text", "error", "message"),
    [
        (FAIL, "no", DriverFailed, "the host reported: no"),
        (BUG, "hunter2", InternalError, "reference"),
        (UNKNOWN, "", Unsupported, r"test\.unknown"),
        (ECHO, "x" * 2_000_000, InvalidRequest, "a frame holds"),
        (HUGE, "", InternalError, "a frame holds"),
    ],
    ids=["error of the handler", "bug in the handler", "unknown command", "large request", "large response"],
)
async def test_a_failing_call_raises_its_error_and_keeps_the_link(
    rack: Dialled, command: Command[Text, Text], text: str, error: type[InnkeeperError], message: str
) -> None:
    with pytest.raises(error, match=message) as failed:
        await rack.link.call(command, Text(text=text), deadline_s=30)
    assert "hunter2" not in str(failed.value)
    assert failed.value.details.get("host") == ("h1" if error is DriverFailed else None)
    assert await echo(rack.link, "still here")


async def test_cancelling_the_caller_cancels_the_handler(region: Region, rack: Dialled) -> None:
    call = asyncio.create_task(rack.link.call(STUCK, Text(text="a"), deadline_s=60))
    await eventually(lambda: region.behaviour.started)
    call.cancel()
    assert await eventually(lambda: region.behaviour.stopped) == ["a"]
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await eventually(lambda: rack.link.is_idle)


async def test_the_deadline_ends_the_call_on_both_ends(region: Region, rack: Dialled) -> None:
    call = asyncio.create_task(rack.link.call(STUCK, Text(text="late"), deadline_s=30))
    await eventually(lambda: region.behaviour.started)
    await advance(30)
    with pytest.raises(DeadlineExceeded):
        await call
    assert await eventually(lambda: region.behaviour.stopped) == ["late"]
    assert await eventually(lambda: rack.link.is_idle)


async def test_a_lost_link_fails_the_call_and_cancels_the_handler(region: Region, rack: Dialled) -> None:
    call = asyncio.create_task(rack.link.call(STUCK, Text(text="lost"), deadline_s=60))
    await eventually(lambda: region.behaviour.started)
    region.links[0].close("connection reset")
    with pytest.raises(LinkLost, match="connection reset"):
        await call
    await region.links[0].closed()
    assert region.behaviour.stopped == ["lost"]
    with pytest.raises(LinkLost):
        await echo(rack.link, "too late")
    await rack.link.closed()


async def test_a_large_stream_arrives_in_order_and_delays_no_other_call(link: Link) -> None:
    replies = 0

    async def call_repeatedly(stop: asyncio.Event) -> None:
        nonlocal replies
        while not stop.is_set():
            await echo(link, "quick")
            replies += 1

    stop = asyncio.Event()
    other_calls = asyncio.create_task(call_repeatedly(stop))
    numbers = [int(item.text.split()[0]) async for item in link.stream(COUNT, Text(text="300 10000"), deadline_s=30)]
    stop.set()
    await other_calls
    assert numbers == list(range(300))
    assert replies >= 30


async def test_a_stream_waits_for_its_reader_and_ends_with_it(region: Region, rack: Dialled) -> None:
    async with aclosing(rack.link.stream(COUNT, Text(text="1000 10"), deadline_s=30)) as items:
        assert (await anext(items)).text.strip("x ") == "0"
        assert await echo(rack.link, "meanwhile")
        assert region.behaviour.sent <= 10
    assert await eventually(lambda: region.behaviour.stopped) == ["count"]
    assert await eventually(lambda: rack.link.is_idle)


async def test_events_cross_both_ways(region: Region, rack: Dialled, link: Link) -> None:
    rack.link.send_event("host.event", Text(text="up"))
    link.send_event("host.event", Text(text="down"))
    assert await eventually(lambda: region.behaviour.events) == [("host.event", {"text": "up"})]
    assert await eventually(lambda: rack.behaviour.events) == [("host.event", {"text": "down"})]


async def test_a_client_cannot_call_rack_commands(region: Region) -> None:
    client = await dial(region, role=Role.CLIENT)
    with pytest.raises(NotAllowed, match="client"):
        await client.link.call(RACKS_ONLY, Text(text=""), deadline_s=30)
    assert await echo(client.link, "allowed")
    await client.end()


async def test_an_anonymous_peer_gets_only_one_call(region: Region) -> None:
    link = await dial_anonymously(region)
    assert await link.call(JOIN, Text(text="first"), deadline_s=30)
    with pytest.raises(NotAllowed):
        await link.call(JOIN, Text(text="second"), deadline_s=30)
    link.close("done")
    await link.closed()
    assert region.links == []


async def test_an_anonymous_peer_can_only_join(region: Region) -> None:
    link = await dial_anonymously(region)
    with pytest.raises(NotAllowed, match="anonymous"):
        await link.call(ECHO, Text(text=""), deadline_s=30)
    link.close("done")
    await link.closed()


async def test_a_joining_peer_rejects_a_region_of_another_authority(region: Region) -> None:
    with pytest.raises(NotTrusted, match="not the region of the token"):
        await dial_anonymously(region, fingerprint="ab" * 32)


async def test_peers_of_different_authorities_reject_each_other(region: Region, tmp_path: Path) -> None:
    other = Authority.open(tmp_path / "other")
    stranger = other.credentials_for(Subject(role=Role.RACK, id="r9", name="r9"), timedelta(days=1))
    with pytest.raises(NotTrusted, match="not signed by this installation's authority"):
        await dial(region, stranger)
    member = region.member()
    mixed = Credentials(
        key_pem=stranger.key_pem, certificate_pem=stranger.certificate_pem, authority_pem=member.authority_pem
    )
    with pytest.raises(NotTrusted):
        await dial(region, mixed)
    assert region.links == []


async def test_a_removed_rack_is_disconnected_and_not_admitted_again(region: Region) -> None:
    credentials = region.member()
    rack = await dial(region, credentials)
    [link] = await eventually(lambda: region.links)
    region.removed.add(link.peer.id)
    assert region.listener.drop(lambda peer: peer.id == link.peer.id, "this rack was removed") == 1
    with pytest.raises(LinkLost, match="removed"):
        await echo(rack.link, "after removal")
    assert isinstance(await rack.link.closed(), NotAllowed)
    with pytest.raises(NotAllowed, match="was removed"):
        await dial(region, credentials)


async def test_readmission_drops_a_rack_whose_removal_was_missed(region: Region, rack: Dialled, link: Link) -> None:
    await region.listener.admit_again()
    assert link.is_open
    region.admit_errors.append("the database is unavailable")
    region.removed.add(link.peer.id)
    await in_no_time(region.listener.admit_again())
    assert isinstance(await rack.link.closed(), NotAllowed)


async def test_readmission_ends_no_link_of_a_rack_with_many(region: Region) -> None:
    credentials = region.member()
    racks = [await dial(region, credentials) for _ in range(MAX_LINKS_OF_RACK)]
    for _ in range(20):
        await region.listener.admit_again()
    for rack in racks:
        assert await echo(rack.link, "fine")
        await rack.end()


async def test_a_version_mismatch_is_reported_at_both_ends(region: Region) -> None:
    newer = Side(role=Role.RACK, name="newer", versions=(7, 9))
    with capture_logs() as logs, pytest.raises(VersionMismatch, match="7 to 9"):
        await connect(region.address, MemberTls(region.member()), newer)
    rejected = await eventually(lambda: [entry for entry in logs if entry["event"] == "link_rejected"])
    assert rejected[0]["code"] == "version_mismatch"
    assert "rack newer" in rejected[0]["reason"]


async def test_garbage_after_the_handshake_ends_that_link_only(region: Region) -> None:
    rack, other = await dial(region), await dial(region)
    rack.link.carrier.send([b"\xc1garbage"])
    assert "protocol error" in (await rack.link.closed()).message
    assert await echo(other.link, "fine")
    await other.end()


async def test_a_stopped_listener_ends_every_link_with_a_reason(tmp_path: Path) -> None:
    region = make_region(tmp_path / "authority")
    rack = await dial(region)
    await region.listener.stop()
    assert "the region is stopping" in (await rack.link.closed()).message
    assert region.lost == region.links
    with pytest.raises(LinkLost, match="cannot connect"):
        await dial(region)


async def test_a_refused_connection_raises_link_lost(region: Region) -> None:
    side = Side(role=Role.RACK, name="r1")
    with pytest.raises(LinkLost, match="cannot connect"):
        await connect(Address(host="127.0.0.1", port=1), MemberTls(region.member()), side)


async def test_a_frame_over_the_limit_ends_the_link(region: Region) -> None:
    link = await dial_anonymously(region)
    link.carrier.send([b"x" * (Limits().max_frame_bytes - 1)])  # the limit for an anonymous peer is lower
    assert "protocol error" in (await link.closed()).message


async def test_a_peer_that_stops_reading_is_disconnected_eventually(rack: Dialled, link: Link) -> None:
    assert isinstance(rack.link.carrier, LinkProtocol)
    transport: Any = rack.link.carrier.transport
    transport.pauseProducing()
    sent = 0
    while link.is_open and sent < 4_000:
        link.send_event("host.event", "x" * 50_000)
        sent += 1
        await asyncio.sleep(0)  # lets the event loop write to the socket
    assert MAX_UNSENT_BYTES < sent * 50_000 < 3 * MAX_UNSENT_BYTES
    await link.closed()
    transport.resumeProducing()
    await rack.link.closed()


async def test_a_connection_without_a_handshake_affects_no_other(region: Region) -> None:
    _, writer = await asyncio.open_connection(region.address.host, region.address.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    rack = await dial(region)
    assert await echo(rack.link, "fine")
    await rack.end()
    await rack.end()
    writer.close()


@pytest.mark.slow
async def test_many_concurrent_calls_succeed_despite_the_limit(rack: Dialled) -> None:
    replies = await asyncio.gather(
        *(rack.link.call(ECHO, Text(text=str(number)), deadline_s=30) for number in range(1000))
    )
    assert [reply.text for reply in replies] == [str(number) for number in range(1000)]
    assert await eventually(lambda: rack.link.is_idle)


async def test_a_handler_cancelled_before_it_starts_still_ends_its_call(region: Region, rack: Dialled) -> None:
    with pytest.raises(DeadlineExceeded):
        await rack.link.call(STUCK, Text(text="no time at all"), deadline_s=0.0)
    assert await eventually(lambda: rack.link.is_idle)
    assert await eventually(lambda: region.links[0].is_idle)


async def test_an_anonymous_peer_cannot_send_events(region: Region) -> None:
    link = await dial_anonymously(region)
    link.send_event("host.event", None)
    assert "protocol error" in (await link.closed()).message
    assert region.behaviour.events == []
