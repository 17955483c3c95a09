"""Receives the reports of guests that cannot reach a region.

By HTTP: `POST /MAAS/report/DEPLOYMENT/SECRET`, and below it `/vm-host` with a form (`VmHostReport`). For networks of
guests, so strangers reach it: few connections, each for one short request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from common.errors import InnkeeperError, InvalidRequest, NotFound, WrongState
from common.report_url import ReportAddress, read_report_path
from common.vm_host_report import VmHostReport, read_vm_host_report

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Report = Callable[[int, str, VmHostReport | None], Awaitable[None]]

MAX_CONNECTIONS = 200
MAX_BODY_BYTES = 64 * 1024
REQUEST_S = 15.0
_STATUS = {InvalidRequest: 400, NotFound: 404, WrongState: 409}


class ReportListener:
    """Listens on `host` (empty: all addresses) and `port`; `report` passes a report on."""

    def __init__(self, host: str, port: int, report: Report) -> None:
        self._host = host
        self._port = port
        self._site = _ReportSite(report)
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
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_S, self.cut)
        HTTPChannel.connectionMade(self)

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        if self.length is None or self.length > MAX_BODY_BYTES:  # None: chunked, of any length
            self.cut()
            return
        HTTPChannel.allHeadersReceived(self)

    def checkPersistence(self, request: Any, version: bytes) -> bool:  # noqa: N802  # Twisted's name
        return False

    def cut(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # noqa: N802  # Twisted's name
        self._deadline.cancel()
        self.factory.remove(self)
        HTTPChannel.connectionLost(self, reason)


class _ReportSite(Site):
    def __init__(self, report: Report) -> None:
        Site.__init__(self, _ReportResource(report))
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
            channel.cut()

    def log(self, request: Any) -> None:
        """The path has a secret: the region records the report."""


class _ReportResource(Resource):
    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, report: Report) -> None:
        Resource.__init__(self)
        self._report = report
        self._running: set[asyncio.Task[None]] = set()

    def render(self, request: Request) -> Any:
        found = read_report_path(request.path.decode("ascii", "replace"))
        if request.method != b"POST" or found is None:
            return _answer(request, 404, "Not found.")
        task = asyncio.get_running_loop().create_task(self._pass_on(request, found))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        request.notifyFinish().addErrback(lambda _: task.cancel())
        return NOT_DONE_YET

    async def _pass_on(self, request: Request, address: ReportAddress) -> None:
        try:
            vm_host = read_vm_host_report(_form(request)) if address.of_vm_host else None
            await self._report(address.deployment_id, address.secret, vm_host)
        except InnkeeperError as error:
            log.info("report_not_accepted", deployment=address.deployment_id, code=error.code, reason=error.message)
            body = _answer(request, _STATUS.get(type(error), 503), error.message)
        else:
            body = _answer(request, 200, "Reported.")
        request.write(body)
        request.finish()


def _form(request: Request) -> dict[str, str]:
    """The first value of each field. Twisted has parsed the body, whose size is bounded."""
    fields: Mapping[bytes, list[bytes]] = request.args or {}
    return {name.decode(errors="replace"): values[0].decode(errors="replace") for name, values in fields.items()}


def _answer(request: Request, status: int, text: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    return f"{text}\n".encode()
