"""Opens and closes the port of a small HTTP site of a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog
from attrs import frozen
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.web.server import NOT_DONE_YET, Request

from common.addresses.host_names import bracketed
from common.errors import BadSettings
from common.process.deferreds import from_deferred

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CLOSE_DEADLINE_S = 5.0


class ClosableSite(Protocol):
    """A factory for `listenTCP` that knows its connections."""

    def close(self) -> None:
        """Cuts all connections. Idempotent."""


@frozen(kw_only=True)
class ListenAddress:
    """An address of the settings. An empty `host` means all addresses, port 0 any free one."""

    purpose: str  # such as "metrics", for the log and for errors
    host: str
    port: int
    advice: str  # names the settings that change it


class HttpListener:
    """Listens from `start` to `stop`."""

    def __init__(self, site: ClosableSite, address: ListenAddress) -> None:
        self._site = site
        self._address = address
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, also if the system chose it."""
        if self._listening is None:
            raise AssertionError("the listener was not started")
        return int(self._listening.getHost().port)  # type: ignore[attr-defined]  # an IPv4Address or IPv6Address

    def start(self) -> None:
        """Requires the reactor. Raises BadSettings if the address cannot be used."""
        from twisted.internet import reactor  # noqa: PLC0415  # after the reactor was chosen

        address = self._address
        site: Any = self._site
        try:
            self._listening = reactor.listenTCP(address.port, site, interface=address.host)
        except CannotListenError as error:
            where = f"{bracketed(address.host)}:{address.port}"
            raise BadSettings(
                f"Cannot listen on {where} for {address.purpose}: {error.socketError}. {address.advice}"
            ) from error
        log.info("listening", purpose=address.purpose, host=address.host, port=self.port)

    async def stop(self) -> None:
        """Closes the port and all connections. Idempotent."""
        listening, self._listening = self._listening, None
        stopped = None if listening is None else listening.stopListening()
        self._site.close()
        if stopped is not None:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await from_deferred(stopped)


class AnswerTasks:
    """Answers requests in tasks. The task of a request ends with its connection."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()  # asyncio itself keeps no reference

    def start(self, request: Request, answer: Coroutine[Any, Any, None]) -> Any:
        """Returns what `render` has to return while the answer is due."""
        task = asyncio.get_running_loop().create_task(answer, name=f"answer {request.path!r}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        request.notifyFinish().addErrback(lambda _: task.cancel())
        return NOT_DONE_YET
