"""Events of hosts, to the regions that asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import structlog
from attrs import define, field

from common.errors import InnkeeperError, LinkLost
from common.rpc.commands import HOST_EVENT, HostEvent
from common.values import GuestChange, HostAccess
from rackd.executor import Executor
from rackd.lanes import Track

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class EventLink(Protocol):
    """What is needed of a `common.rpc.link.Link`."""

    lost: asyncio.Future[InnkeeperError]

    def send_event(self, name: str, body: Any) -> None: ...


@define(eq=False)
class _Watched:
    access: HostAccess | None = None  # None while no watch stands
    links: set[EventLink] = field(factory=set)
    starting: asyncio.Lock = field(factory=asyncio.Lock)


class Watching:
    """One watch for each host, shared by the links that asked; it ends with the last of them."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._hosts: dict[int, _Watched] = {}

    async def watch(self, link: EventLink, access: HostAccess, *, deadline_s: float) -> None:
        """Return once events of the host follow on `link`. Asking again is harmless; other credentials start anew."""
        host_id = access.host_id
        watched = self._hosts.setdefault(host_id, _Watched())
        watched.links.add(link)
        try:
            async with watched.starting:
                if watched.access != access:
                    await self._start(watched, access, deadline_s)
        except BaseException:
            self._leave(host_id, watched, link)
            raise
        link.lost.add_done_callback(lambda _: self._leave(host_id, watched, link))

    def forget(self, host_id: int) -> None:
        """No event of this host follows after this."""
        watched = self._hosts.pop(host_id, None)
        if watched is not None:
            watched.links.clear()
            self._executor.drop(host_id, Track.WATCH)

    async def _start(self, watched: _Watched, access: HostAccess, deadline_s: float) -> None:
        loop = asyncio.get_running_loop()
        watched.access = None

        def notify(change: GuestChange) -> None:
            """Called in a thread of the driver's."""
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._tell, watched, access, change)

        def begin(driver: Any) -> Callable[[], None]:
            stop: Callable[[], None] = driver.watch(notify)
            return stop

        try:
            await self._executor.run(access, begin, what="watch", deadline_s=deadline_s, track=Track.WATCH)
        except BaseException:
            # It may have begun all the same: closing the connection ends it.
            self._executor.drop(access.host_id, Track.WATCH)
            raise
        watched.access = access
        log.info("host_watched", host_id=access.host_id)

    def _tell(self, watched: _Watched, access: HostAccess, change: GuestChange) -> None:
        if watched.access is not None and watched.access != access:
            return  # from the watch before this one
        event = HostEvent(host_id=access.host_id, change=change)
        for link in list(watched.links):
            with suppress(LinkLost):  # its own end takes it off the list
                link.send_event(HOST_EVENT, event)

    def _leave(self, host_id: int, watched: _Watched, link: EventLink) -> None:
        watched.links.discard(link)
        if not watched.links and self._hosts.get(host_id) is watched:
            self.forget(host_id)
