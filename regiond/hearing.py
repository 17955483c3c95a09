"""What racks tell unasked: events of the hosts that they were asked to watch, and of no others."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import structlog
from attrs import define, field

from common.certificates import Role
from common.errors import DatabaseUnavailable, InvalidRequest
from common.rpc.commands import HOST_EVENT, HostEvent
from common.rpc.link import Link
from common.seldom import Seldom
from common.values import GuestChange
from common.wire import from_plain
from regiond.hosts.schedule import RefreshSchedule

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

UNDER_WAY = 256  # events of one link; beyond that a look at the host tells all of them at once
SAME_AGAIN_S = 60.0


class Changes(Protocol):
    """See `regiond.machines.service.Machines`."""

    async def guest_changed(self, host_id: int, change: GuestChange) -> bool: ...


class Refusals(Protocol):
    """See `regiond.racks.service.Racks`."""

    async def refused(self, rack_id: str, host_id: int | None, why: str) -> None: ...


@define(eq=False)
class _Heard:
    """Of one link."""

    hosts: set[int] = field(factory=set)  # that it was ever asked to watch: a watch that was moved tells for a while
    under_way: set[asyncio.Task[None]] = field(factory=set)


class Hearing:
    """A link's memory goes with the link."""

    def __init__(self, machines: Changes, schedule: RefreshSchedule, refusals: Refusals) -> None:
        self._machines = machines
        self._schedule = schedule
        self._refusals = refusals
        self._links: WeakKeyDictionary[Link, _Heard] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._floods = Seldom(every_s=SAME_AGAIN_S)

    def expect(self, link: Link, host_id: int) -> None:
        """The rack is about to be asked to watch this host."""
        self._of(link).hosts.add(host_id)

    async def stop(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def told(self, link: Link, name: str, body: Any) -> None:
        """An event of a link. One of a kind that is not known (of a newer rack) is nothing to us."""
        if name != HOST_EVENT or link.peer.role is not Role.RACK:
            return
        heard = self._of(link)
        if len(heard.under_way) >= UNDER_WAY:
            self._flooded(link, heard)
            return
        self._spawn(self._take(link, heard, body), heard)

    async def _take(self, link: Link, heard: _Heard, body: Any) -> None:
        try:
            event = from_plain(body, HostEvent)
        except InvalidRequest as error:
            await self._refusals.refused(link.peer.id, None, f"it told of {error.message}.")
            return
        if event.host_id not in heard.hosts:
            why = f"it told of VM host {event.host_id}, which it was not asked to watch."
            await self._refusals.refused(link.peer.id, event.host_id, why)
            return
        try:
            if await self._machines.guest_changed(event.host_id, event.change):
                await self._schedule.soon(event.host_id)
        except InvalidRequest as error:  # a text that no column holds
            await self._refusals.refused(link.peer.id, event.host_id, f"it told of what cannot be: {error.message}")

    def _flooded(self, link: Link, heard: _Heard) -> None:
        """Nothing is lost: events are hints, and the next look says what is true."""
        if not self._floods.may(link.peer.id):
            return
        log.warning("host_events_dropped", rack=link.peer.name, under_way=len(heard.under_way))
        self._spawn(self._look_instead(link, frozenset(heard.hosts)), heard)

    async def _look_instead(self, link: Link, hosts: frozenset[int]) -> None:
        why = f"it told of more than {UNDER_WAY} events at once; its hosts are looked at instead."
        await self._refusals.refused(link.peer.id, None, why)
        await self._schedule.within(hosts, SAME_AGAIN_S)

    def _of(self, link: Link) -> _Heard:
        return self._links.setdefault(link, _Heard())

    def _spawn(self, work: Any, heard: _Heard) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        heard.under_way.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            heard.under_way.discard(task)
            error = None if task.cancelled() else task.exception()
            if isinstance(error, DatabaseUnavailable):
                log.warning("host_event_not_kept", because=str(error))  # the next look at the host tells the same
            elif error is not None:
                log.error("hearing_hit_a_bug", exc_info=error)

        task.add_done_callback(ended)
