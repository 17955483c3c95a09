"""Receives the reports of guests that cannot reach a region, and gives them their user data.

By HTTP: `POST /MAAS/report/DEPLOYMENT/SECRET`, and below it `POST /vm-host` with a form (`VmHostReport`) and `GET
/user-data`. For networks of guests, so strangers reach it: few connections, each for one short request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import structlog
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from common.body_stream import send
from common.errors import InnkeeperError, InvalidRequest, NotFound, TooManyAttempts, WrongState
from common.report_url import ReportAddress, ReportPage, read_report_path
from common.vm_host_report import VmHostReport, read_vm_host_report

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_CONNECTIONS = 200
MAX_BODY_BYTES = 64 * 1024
REQUEST_S = 15.0
USER_DATA_S = 120.0  # 22 MiB at 1.5 Mbit/s
_STATUS = {InvalidRequest: 400, NotFound: 404, WrongState: 409, TooManyAttempts: 429}


class Region(Protocol):
    """See `rackd.guest_reports.GuestReports`."""

    def report(self, deployment_id: int, secret: str, vm_host: VmHostReport | None = None) -> Awaitable[None]: ...

    def user_data(self, deployment_id: int, secret: str) -> AsyncGenerator[bytes, None]: ...


class ReportListener:
    """Listens on `host` (empty: all addresses) and `port`."""

    def __init__(self, host: str, port: int, region: Region) -> None:
        self._host = host
        self._port = port
        self._site = _ReportSite(region)
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, also if the system chose it."""
        if self._listening is None:
            raise AssertionError("the listener was not started")
        return int(self._listening.getHost().port)  # type: ignore[attr-defined]  # an IPv4Address or IPv6Address

    def start(self) -> None:
        """Raises twisted.internet.error.CannotListenError. Requires the reactor."""
        from twisted.internet import reactor  # noqa: PLC0415  # after the reactor was chosen

        site: Any = self._site
        self._listening = reactor.listenTCP(self._port, site, interface=self._host)
        log.info("reports_listening", host=self._host, port=self.port)

    async def stop(self) -> None:
        """Idempotent."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await asyncio.wait_for(_stopped(listening), REQUEST_S)
        self._site.close()


async def _stopped(listening: IListeningPort) -> None:
    stopping = listening.stopListening()
    if stopping is not None:
        await stopping.asFuture(asyncio.get_running_loop())


class _ReportChannel(HTTPChannel):
    """One request, and not a long one."""

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_S, self.abort)
        HTTPChannel.connectionMade(self)

    def extend(self, seconds: float) -> None:
        """The connection may take this long from now on."""
        self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        if self.length is None or self.length > MAX_BODY_BYTES:  # None: chunked, of any length
            self.abort()
            return
        HTTPChannel.allHeadersReceived(self)

    def checkPersistence(self, request: Any, version: bytes) -> bool:  # noqa: N802  # Twisted's name
        return False

    def abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # noqa: N802  # Twisted's name
        self._deadline.cancel()
        self.factory.remove(self)
        HTTPChannel.connectionLost(self, reason)


class _ReportSite(Site):
    def __init__(self, region: Region) -> None:
        Site.__init__(self, _ReportResource(region))
        self.displayTracebacks = False
        self.protocol = _ReportChannel  # type: ignore[assignment]  # the generic channel only adds HTTP/2
        self._open: set[_ReportChannel] = set()

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802  # Twisted's name
        """None refuses the connection."""
        if len(self._open) >= MAX_CONNECTIONS:
            return None
        channel: Any = Site.buildProtocol(self, addr)
        self._open.add(channel)
        return channel

    def remove(self, channel: _ReportChannel) -> None:
        self._open.discard(channel)

    def close(self) -> None:
        for channel in tuple(self._open):
            channel.abort()

    def log(self, request: Any) -> None:
        """The path has a secret: the region records the report."""


class _ReportResource(Resource):
    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, region: Region) -> None:
        Resource.__init__(self)
        self._region = region
        self._running: set[asyncio.Task[None]] = set()

    def render(self, request: Request) -> Any:
        found = read_report_path(request.path.decode("ascii", "replace"))
        if found is None or request.method != (b"GET" if found.page is ReportPage.USER_DATA else b"POST"):
            return _answer(request, 404, "Not found.")
        work = self._deliver if found.page is ReportPage.USER_DATA else self._pass_on
        task = asyncio.get_running_loop().create_task(work(request, found))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        request.notifyFinish().addErrback(lambda _: task.cancel())
        return NOT_DONE_YET

    async def _pass_on(self, request: Request, address: ReportAddress) -> None:
        try:
            vm_host = read_vm_host_report(_form(request)) if address.page is ReportPage.VM_HOST else None
            await self._region.report(address.deployment_id, address.secret, vm_host)
        except InnkeeperError as error:
            body = _refused(request, address, error)
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
            request.write(_refused(request, address, error))
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


def _refused(request: Request, address: ReportAddress, error: InnkeeperError) -> bytes:
    log.info(
        "report_not_accepted", deployment=address.deployment_id, page=address.page.value, code=error.code,
        reason=error.message,
    )  # fmt: skip
    return _answer(request, _STATUS.get(type(error), 503), error.message)


def _form(request: Request) -> dict[str, str]:
    """The first value of each field. Twisted has parsed the body, whose size is bounded."""
    fields: Mapping[bytes, list[bytes]] = request.args or {}
    return {name.decode(errors="replace"): values[0].decode(errors="replace") for name, values in fields.items()}


def _answer(request: Request, status: int, text: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    return f"{text}\n".encode()
