"""The rack passes on the reports of guests that cannot reach a region."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from attrs import define, field

from common.errors import LinkLost, NotFound
from common.vm_host_report import VmHostReport
from rackd.report_listener import MAX_BODY_BYTES, ReportListener

SECRET = "s" * 43


@define
class Region:
    """Accepts the secret `SECRET` of deployment 7, once the rack is linked."""

    linked: bool = True
    reported: list[int] = field(factory=list)
    vm_hosts: list[VmHostReport] = field(factory=list)

    async def report(self, deployment_id: int, secret: str, vm_host: VmHostReport | None = None) -> None:
        if not self.linked:
            raise LinkLost("The rack has no link to any region.")
        if (deployment_id, secret) != (7, SECRET):
            raise NotFound("There is no such deployment.")
        if vm_host is not None:
            self.vm_hosts.append(vm_host)
            return
        self.reported.append(deployment_id)


@asynccontextmanager
async def listening(region: Region) -> AsyncIterator[int]:
    listener = ReportListener("127.0.0.1", 0, region.report)
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
        assert await status_of(port, f"/MAAS/report/7/{SECRET}", "-H", f"Content-Length: {MAX_BODY_BYTES + 1}") == 0
    assert region.reported == []


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
    async with asyncio.timeout(10):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
