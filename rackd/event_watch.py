"""Forwards a host's guest changes to every region that watches the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import structlog
from attrs import define, field

from common.errors import Busy, InnkeeperError, LinkLost
from common.rpc.commands.host_commands import HOST_EVENT, HOST_UNWATCHED, HostEvent, HostUnwatched
from common.rpc.commands.host_method import CallClass
from common.values import GuestChange, HostAccess
from rackd.executor import Executor

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class EventLink(Protocol):
    """The part of a `common.rpc.link.Link` that the watcher uses."""

    lost: asyncio.Future[InnkeeperError]

    def send_event(self, name: str, body: Any) -> None: ...


@define(eq=False)
class _Watch:
    access: HostAccess | None = None  # None while the driver does not watch
    links: set[EventLink] = field(factory=set)
    starting: asyncio.Lock = field(factory=asyncio.Lock)


class EventWatcher:
    """Watches each host once for all links that requested it; the watch ends with the last of them."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._watches: dict[int, _Watch] = {}

    async def watch(self, link: EventLink, access: HostAccess, *, deadline_s: float) -> None:
        """Returns when `link` receives the host's events. Idempotent; restarts the watch if `access` changed.

        Raises Busy if the host is disconnected meanwhile.
        """
        host_id = access.host_id
        watch = self._watches.setdefault(host_id, _Watch())
        watch.links.add(link)
        try:
            async with watch.starting:
                if watch.access != access:
                    await self._start(watch, access, deadline_s)
        except BaseException:
            self._remove_link(host_id, watch, link)
            raise
        if self._watches.get(host_id) is not watch:  # `unwatch` has removed all its links
            raise Busy(f"VM host {host_id} was disconnected while its watch began.")
        link.lost.add_done_callback(lambda _: self._remove_link(host_id, watch, link))

    @property
    def watched(self) -> Mapping[int, HostAccess]:
        """The hosts that are watched now, with what the rack needs to call them."""
        return {host_id: watch.access for host_id, watch in self._watches.items() if watch.access is not None}

    def unwatch(self, host_id: int) -> None:
        """Sends no more events of this host, and tells that to the regions that watch it. Idempotent.

        Only one of them disconnects the host, and its removal may fail afterwards: each has to ask for a watch again.
        """
        watch = self._watches.pop(host_id, None)
        if watch is not None:
            self._send_all(watch, HOST_UNWATCHED, HostUnwatched(host_id=host_id))
            watch.links.clear()
            self._executor.close_connections(host_id, CallClass.WATCH)

    async def _start(self, watch: _Watch, access: HostAccess, deadline_s: float) -> None:
        loop = asyncio.get_running_loop()
        watch.access = None

        def notify(change: GuestChange) -> None:
            """Runs in a thread of the driver."""
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._send, watch, access, change)

        def begin(driver: Any) -> Callable[[], None]:
            stop: Callable[[], None] = driver.watch(notify)
            return stop

        try:
            await self._executor.run(access, begin, what="watch", deadline_s=deadline_s, call_class=CallClass.WATCH)
        except BaseException:
            # The driver may have started the watch nevertheless: closing its connection ends it.
            self._executor.close_connections(access.host_id, CallClass.WATCH)
            raise
        watch.access = access
        log.info("host_watch_started", host_id=access.host_id)

    def _send(self, watch: _Watch, access: HostAccess, change: GuestChange) -> None:
        if watch.access is not None and watch.access != access:
            return  # from the previous watch
        self._send_all(watch, HOST_EVENT, HostEvent(host_id=access.host_id, change=change))

    def _send_all(self, watch: _Watch, name: str, body: Any) -> None:
        for link in list(watch.links):
            with suppress(LinkLost):  # its done callback removes it
                link.send_event(name, body)

    def _remove_link(self, host_id: int, watch: _Watch, link: EventLink) -> None:
        watch.links.discard(link)
        if not watch.links and self._watches.get(host_id) is watch:
            self.unwatch(host_id)
