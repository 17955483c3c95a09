"""Receives the reports of guests that cannot reach a region, and gives them their user data.

By HTTP: `POST /MAAS/report/DEPLOYMENT/SECRET`, and below it `POST /vm-host` with a form (`VmHostReport`) and `GET
/user-data`. For networks of guests, so strangers reach it: few connections, each for one short request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, Protocol

import structlog
from twisted.web.resource import Resource
from twisted.web.server import Request

from common.addresses.report_url import ReportAddress, ReportPage
from common.bodies.body_stream import send
from common.errors import InnkeeperError, InvalidRequest, NotFound, TooManyAttempts, WrongState
from common.hosts.vm_host_report import VmHostReport, read_vm_host_report
from common.process.http_listener import AnswerTasks, HttpListener, ListenAddress
from rackd.reports import report_channel
from rackd.reports.report_channel import ReportSite
from rackd.reports.report_request import read_form

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

USER_DATA_S = 120.0  # 22 MiB at 1.5 Mbit/s
_STATUS = {InvalidRequest: 400, NotFound: 404, WrongState: 409, TooManyAttempts: 429}


class Region(Protocol):
    """The part of `rackd.reports.guest_reports.GuestReports` that the listener uses."""

    def report(self, deployment_id: int, secret: str, vm_host: VmHostReport | None = None) -> Awaitable[None]: ...

    def user_data(self, deployment_id: int, secret: str) -> AsyncGenerator[bytes, None]: ...


def report_listener(host: str, port: int, region: Region) -> HttpListener:
    """Listens on `host` (empty: all addresses) and `port`."""
    advice = "Set report_host and report_port to a free address; with report_port 0 guests report to the region only."
    return HttpListener(
        ReportSite(_ReportResource(region)), ListenAddress(purpose="reports", host=host, port=port, advice=advice)
    )


class _ReportResource(Resource):
    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, region: Region) -> None:
        Resource.__init__(self)
        self._region = region
        self._answers = AnswerTasks()

    def render(self, request: Request) -> Any:
        channel: Any = request.channel
        found: ReportAddress = channel.wanted
        work = self._deliver if found.page is ReportPage.USER_DATA else self._pass_on
        return self._answers.start(request, work(request, found))

    async def _pass_on(self, request: Request, address: ReportAddress) -> None:
        try:
            content: Any = request.content
            is_vm_host = address.page is ReportPage.VM_HOST
            vm_host = read_vm_host_report(read_form(content.read())) if is_vm_host else None
            await self._region.report(address.deployment_id, address.secret, vm_host)
        except InnkeeperError as error:
            body = await _refused(request, address, error)
        else:
            body = _answer(request, 200, "Reported.")
        request.write(body)
        request.finish()

    async def _deliver(self, request: Request, address: ReportAddress) -> None:
        """Sends the user data as they come from the region. The secret is known to be right when the first part is."""
        parts = self._region.user_data(address.deployment_id, address.secret)
        try:
            first = await anext(parts, b"")
        except InnkeeperError as error:
            request.write(await _refused(request, address, error))
        else:
            channel: Any = request.channel
            channel.extend(USER_DATA_S)
            request.setHeader(b"Content-Type", b"application/octet-stream")
            request.setHeader(b"Cache-Control", b"no-store")
            await send(request, _with_first(first, parts), whole_s=USER_DATA_S)
        request.finish()


async def _with_first(first: bytes, parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        yield first
        async for part in parts:
            yield part


async def _refused(request: Request, address: ReportAddress, error: InnkeeperError) -> bytes:
    """Returns the refusal, late, except while no region can be reached: guests then try again."""
    log.info(
        "report_not_accepted", deployment=address.deployment_id, page=address.page.value, code=error.code,
        reason=error.message,
    )  # fmt: skip
    status = _STATUS.get(type(error))
    if status is not None:
        channel: Any = request.channel
        channel.set_apart()
        await asyncio.sleep(report_channel.REFUSAL_DELAY_S)
    return _answer(request, status or 503, error.message)


def _answer(request: Request, status: int, text: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    return f"{text}\n".encode()
