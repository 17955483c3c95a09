"""The rack passes on the reports of guests that cannot reach a region, and brings them their user data."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from attrs import define, field

from common.errors import DatabaseUnavailable, DeadlineExceeded, InnkeeperError, LinkLost, NotFound, TooManyAttempts
from common.hosts.vm_host_report import VmHostReport
from common.rpc.commands.region_commands import ContentPart
from rackd.reports import guest_reports, report_channel
from rackd.reports.guest_reports import GuestReports
from rackd.reports.report_channel import MAX_CONNECTIONS_PER_ADDRESS, MAX_REFUSED_PER_ADDRESS
from rackd.reports.report_listener import report_listener
from rackd.reports.report_request import MAX_BODY_BYTES
from tests.support.waiting import eventually

SECRET = "s" * 43
CLOUD_INIT_TIMEOUT_S = 5.0  # for an answer
PARTS = (b"a" * 500_000, b"b" * 500_000)


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@define
class Region:
    """Accepts the secret `SECRET` of deployment 7, once the rack is linked. Loses the link after `sends` parts.

    It answers a report once `answers` is set, as it is at first.
    """

    linked: bool = True
    sends: int = len(PARTS)
    answers: asyncio.Event = field(factory=_set)
    reported: list[int] = field(factory=list)
    waiting: int = 0
    vm_hosts: list[VmHostReport] = field(factory=list)

    async def report(self, deployment_id: int, secret: str, vm_host: VmHostReport | None = None) -> None:
        self.waiting += 1
        await self.answers.wait()
        self.check(deployment_id, secret)
        if vm_host is not None:
            self.vm_hosts.append(vm_host)
            return
        self.reported.append(deployment_id)

    async def user_data(self, deployment_id: int, secret: str) -> AsyncGenerator[bytes, None]:
        self.check(deployment_id, secret)
        for part in PARTS[: self.sends]:
            yield part
        if self.sends < len(PARTS):
            raise LinkLost("The link was lost.")

    def check(self, deployment_id: int, secret: str) -> None:
        if not self.linked:
            raise LinkLost("The rack has no link to any region.")
        if (deployment_id, secret) != (7, SECRET):
            raise NotFound("There is no such deployment.")


@pytest.fixture(autouse=True)
def refusals_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_channel, "REFUSAL_DELAY_S", 0.0)


@asynccontextmanager
async def listening(region: Region) -> AsyncIterator[int]:
    listener = report_listener("127.0.0.1", 0, region)
    listener.start()
    try:
        yield listener.port
    finally:
        await listener.stop()


async def status_of(port: int, path: str, *more: str) -> int:
    """What `curl` gets, as cloud-init would; 0 if the connection is cut."""
    program = await asyncio.create_subprocess_exec(
        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "hostname=vm", *more,
        f"http://127.0.0.1:{port}{path}", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await program.communicate()
    return int(output)


async def test_a_report_reaches_the_region() -> None:
    region = Region()
    async with listening(region) as port:
        assert await status_of(port, f"/MAAS/report/7/{SECRET}") == 200
    assert region.reported == [7]


async def test_other_requests_are_refused() -> None:
    region = Region()
    async with listening(region) as port:
        assert await status_of(port, f"/MAAS/report/8/{SECRET}") == 404
        assert await status_of(port, "/") == 404
        assert await status_of(port, f"/MAAS/report/7/{SECRET}", "-X", "GET") == 404
    assert region.reported == []


REPORT = f"/MAAS/report/7/{SECRET}"
FORM = "application/x-www-form-urlencoded"


@asynccontextmanager
async def connected(port: int, data: bytes = b"", address: str = "127.0.0.1") -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which this has been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(data)
    try:
        async with asyncio.timeout(60):
            yield reader
    finally:
        writer.transport.abort()


def post(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: rack", *headers, "", "")).encode()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", ("Content-Type: multipart/form-data; boundary=b", "Content-Length: 65536"), 404),
        ("/", (f"Content-Type: {FORM}", "Content-Length: 10"), 404),
        (REPORT, ("Content-Type: multipart/form-data; boundary=b", "Content-Length: 100"), 415),
        (f"{REPORT}/vm-host", (f"Content-Type: {FORM}", f"Content-Length: {MAX_BODY_BYTES + 1}"), 413),
        (REPORT, (f"Content-Type: {FORM}", "Transfer-Encoding: chunked"), 411),
    ],
)
async def test_a_body_that_nobody_reads_is_refused_before_it_comes(
    path: str, headers: tuple[str, ...], status: int
) -> None:
    region = Region()
    async with listening(region) as port, connected(port, post(path, *headers)) as reader:
        assert (await reader.read()).startswith(f"HTTP/1.1 {status} ".encode())
    assert region.reported == []


@pytest.mark.parametrize("path", ["/", f"/MAAS/report/8/{SECRET}"])
async def test_refusals_are_late(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(report_channel, "REFUSAL_DELAY_S", 0.2)
    began = time.monotonic()
    async with listening(Region()) as port, connected(port, post(path)) as reader:
        assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    assert time.monotonic() - began >= 0.2


async def test_a_refused_request_without_a_body_changes_nothing() -> None:
    region = Region()
    two = post(f"{REPORT}/more") + post(REPORT)
    async with listening(region) as port, connected(port, two) as reader:
        answer = await reader.read()
    assert (answer.startswith(b"HTTP/1.1 404 "), answer.count(b"HTTP/1.1")) == (True, 1)
    assert region.reported == []


async def test_an_address_has_ten_connections_that_wait_for_an_answer() -> None:
    region = Region(answers=asyncio.Event())
    async with AsyncExitStack() as held:
        port = await held.enter_async_context(listening(region))
        readers = [
            await held.enter_async_context(connected(port, post(REPORT))) for _ in range(MAX_CONNECTIONS_PER_ADDRESS)
        ]
        await eventually(lambda: region.waiting == MAX_CONNECTIONS_PER_ADDRESS)
        one_more = await held.enter_async_context(connected(port, post(REPORT)))
        with suppress(ConnectionResetError):
            assert await one_more.read() == b""
        other = await held.enter_async_context(connected(port, post(REPORT), "127.0.0.2"))
        region.answers.set()
        for reader in (*readers, other):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


WRONG = f"/MAAS/report/8/{SECRET}"


@asynccontextmanager
async def refused(
    port: int, count: int, region: Region, path: str = WRONG
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections of one address whose refusal is due."""
    async with AsyncExitStack() as held:
        readers = [await held.enter_async_context(connected(port, post(path))) for _ in range(count)]
        await eventually(lambda: region.waiting == (count if path == WRONG else 0))
        yield readers


@pytest.mark.parametrize("path", [WRONG, "/"])
async def test_refused_guests_do_not_keep_one_behind_their_address_waiting(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(report_channel, "REFUSAL_DELAY_S", 60.0)
    region = Region()
    async with listening(region) as port, refused(port, MAX_REFUSED_PER_ADDRESS, region, path):
        assert await status_of(port, REPORT) == 200


async def test_refused_guests_get_their_answer_although_others_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_channel, "REFUSAL_DELAY_S", 1.0)
    region = Region()
    async with listening(region) as port, refused(port, MAX_CONNECTIONS_PER_ADDRESS + 1, region) as readers:
        assert await status_of(port, REPORT) == 200
        for reader in readers:
            assert (await reader.read()).startswith(b"HTTP/1.1 404 ")


async def test_an_address_is_not_refused_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_channel, "REFUSAL_DELAY_S", 60.0)
    region = Region()
    count = MAX_REFUSED_PER_ADDRESS + MAX_CONNECTIONS_PER_ADDRESS
    async with listening(region) as port, refused(port, count, region):
        async with connected(port, post(REPORT)) as one_more:
            with suppress(ConnectionResetError):
                assert await one_more.read() == b""
        async with connected(port, post(REPORT), "127.0.0.2") as other:
            assert (await other.read()).startswith(b"HTTP/1.1 200 ")


async def test_an_address_that_opens_more_loses_those_that_send_nothing() -> None:
    async with AsyncExitStack() as held:
        port = await held.enter_async_context(listening(Region()))
        silent = [
            await held.enter_async_context(connected(port, b"POST /")) for _ in range(MAX_CONNECTIONS_PER_ADDRESS)
        ]
        assert await status_of(port, REPORT) == 200
        with suppress(ConnectionResetError):
            assert await silent[0].read() == b""


async def test_a_guest_reports_its_hypervisor() -> None:
    region = Region()
    path = f"/MAAS/report/7/{SECRET}/vm-host"
    async with listening(region) as port:
        assert await status_of(port, path, "-d", "address=10.0.0.5", "-d", "fingerprint=ab12") == 200
        assert await status_of(port, path, "-d", "address=fd00::5", "--data-urlencode", "problem=no\x1b LXD\n") == 200
        assert await status_of(port, path, "-d", "address=everywhere", "-d", "fingerprint=ab12") == 400
        assert await status_of(port, path, "-d", "address=10.0.0.5", "-d", "fingerprint=a%20b") == 400
        assert await status_of(port, f"{path}/more", "-d", "address=10.0.0.5", "-d", "fingerprint=ab12") == 404
    assert region.vm_hosts == [
        VmHostReport(address="10.0.0.5", fingerprint="ab12"),
        VmHostReport(address="fd00::5", fingerprint="", problem="no LXD"),
    ]
    assert region.reported == []


USER_DATA = f"/MAAS/report/7/{SECRET}/user-data"


async def got(port: int, path: str = USER_DATA, *more: str) -> tuple[int, bytes]:
    """Exit status and output of `curl`."""
    program = await asyncio.create_subprocess_exec(
        "curl", "-s", *more, f"http://127.0.0.1:{port}{path}", stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, _ = await program.communicate()
    assert program.returncode is not None
    return program.returncode, output


async def test_a_guest_gets_its_user_data() -> None:
    async with listening(Region()) as port:
        assert await got(port) == (0, b"".join(PARTS))
        head = (await got(port, USER_DATA, "-i"))[1].partition(b"\r\n\r\n")[0]
        assert b"HTTP/1.1 200 OK" in head
        assert b"Cache-Control: no-store" in head
        assert await got(port, f"/MAAS/report/8/{SECRET}/user-data") == (0, b"There is no such deployment.\n")
        assert await status_of(port, USER_DATA) == 404, "by POST"


@pytest.mark.parametrize("sends", [0, 1])
async def test_user_data_that_are_cut_off_are_not_taken_for_the_whole(sends: int) -> None:
    async with listening(Region(sends=sends)) as port:
        status, output = await got(port, USER_DATA, "-f")
    assert status != 0
    assert len(output) <= sends * len(PARTS[0])


@define
class Link:
    """A link to a region, which fails with `errors` before it sends the parts, and with `after` after the first."""

    errors: list[InnkeeperError] = field(factory=list)
    after: InnkeeperError | None = None

    async def call(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("not called")

    async def stream(self, _: Any, call: Any, *, deadline_s: float) -> AsyncGenerator[Any, None]:
        assert (call.deployment_id, call.secret) == (7, SECRET)
        if self.errors:
            raise self.errors.pop(0)
        for part in PARTS:
            yield ContentPart(data=part)
            if self.after is not None:
                raise self.after


async def parts_through(*links: Link) -> list[bytes]:
    return [part async for part in GuestReports(lambda: links).user_data(7, SECRET)]


async def test_user_data_wait_for_a_region_that_is_briefly_away() -> None:
    away = [LinkLost("restarts"), DatabaseUnavailable("restarts"), DeadlineExceeded("slow")]
    assert await parts_through(Link(away)) == list(PARTS)
    assert await parts_through(Link([LinkLost("gone")] * 100), Link()) == list(PARTS)


@pytest.mark.parametrize("error", [NotFound("no such deployment"), TooManyAttempts("often", retry_after_s=60)])
async def test_a_regions_refusal_is_final(error: InnkeeperError) -> None:
    with pytest.raises(type(error)):
        await parts_through(Link([error]), Link())


async def test_a_link_lost_on_the_way_is_an_error() -> None:
    with pytest.raises(LinkLost):
        await parts_through(Link(after=LinkLost("restarts")), Link())


async def test_without_any_region_the_guest_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert guest_reports.WAIT_S < CLOUD_INIT_TIMEOUT_S
    monkeypatch.setattr(guest_reports, "WAIT_S", 0.1)
    with pytest.raises(LinkLost):
        await parts_through()


async def test_a_guest_may_try_again_while_no_region_is_linked() -> None:
    region = Region(linked=False)
    async with listening(region) as port:
        assert await status_of(port, f"/MAAS/report/7/{SECRET}") == 503
        region.linked = True
        assert await status_of(port, f"/MAAS/report/7/{SECRET}") == 200


async def test_the_listener_closes_its_connections_when_it_stops() -> None:
    async with listening(Region()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /MAAS/")
        await writer.drain()
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
