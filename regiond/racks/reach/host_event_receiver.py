"""Receives the events of watched hosts from racks and rejects events of other hosts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import structlog
from attrs import define, field

from common.errors import DatabaseUnavailable, InvalidRequest
from common.rate_limit import RateLimiter
from common.rpc.commands.host_commands import HOST_EVENT, HOST_UNWATCHED, HostEvent, HostUnwatched
from common.rpc.link import Link
from common.serialization import from_dict
from common.trust.certificates import Role
from common.values import GuestChange

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_PENDING = 256  # events per link; beyond that one refresh per host replaces them
OVERLOAD_EVERY_S = 60.0
OWN_CHANGE_S = 30.0  # within which a host is refreshed after a change that an operation of this region has made there
OWN_CHANGES_FOR_S = 1.0  # whose requests are one


class GuestChanges(Protocol):
    """Applies the changes that events report."""

    async def guest_changed(self, host_id: int, change: GuestChange) -> bool:
        """Returns whether the host should be refreshed soon, as for a change that no operation here makes.

        Raises InvalidRequest for text that no column can hold.
        """


class RefreshRequests(Protocol):
    async def request_refresh(self, host_id: int) -> None: ...

    async def request_refresh_within(self, host_ids: Iterable[int], seconds: float) -> None: ...


class Rejections(Protocol):
    async def record_rejection(self, rack_id: str, host_id: int | None, reason: str) -> None: ...


@define(eq=False)
class _LinkState:
    watched_hosts: set[int] = field(factory=set)  # a watch that was moved to another rack still reports for a while
    unwatched: set[int] = field(factory=set)  # the rack has ended the watch; events that came before still count
    pending: set[asyncio.Task[None]] = field(factory=set)
    turns: defaultdict[int, asyncio.Lock] = field(factory=lambda: defaultdict(asyncio.Lock))  # by watched host


class HostEventReceiver:
    """Handles each event in its own task; the events of one host one after the other.

    Events are hints: the next refresh compensates for a lost one.
    """

    def __init__(self, changes: GuestChanges, refreshes: RefreshRequests, rejections: Rejections) -> None:
        self._changes = changes
        self._refreshes = refreshes
        self._rejections = rejections
        self._links: WeakKeyDictionary[Link, _LinkState] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._overload_limiter = RateLimiter(every_s=OVERLOAD_EVERY_S)
        self._later: set[int] = set()  # hosts for which a refresh will be requested, after the events of a second

    def expect(self, link: Link, host_id: int) -> None:
        """Accepts events of this host from now on. Called before the rack starts to watch it."""
        state = self._state(link)
        state.watched_hosts.add(host_id)
        state.unwatched.discard(host_id)

    def is_watched(self, link: Link, host_id: int) -> bool:
        """Whether the rack has not ended the watch since `expect`: this and other regions disconnect hosts."""
        return host_id not in self._state(link).unwatched

    def reject(self, link: Link, host_id: int) -> None:
        """Rejects events of this host from now on. Called after the rack has ended its watch."""
        state = self._state(link)
        state.watched_hosts.discard(host_id)
        state.unwatched.discard(host_id)
        state.turns.pop(host_id, None)

    async def stop(self) -> None:
        """Cancels pending events."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def on_event(self, link: Link, name: str, body: Any) -> None:
        """Ignores event kinds that it does not know, which a newer rack may send."""
        if name not in {HOST_EVENT, HOST_UNWATCHED} or link.peer.role is not Role.RACK:
            return
        state = self._state(link)
        if name == HOST_UNWATCHED:
            self._end_watch(link, state, body)
            return
        if len(state.pending) >= MAX_PENDING:
            self._drop(link, state)
            return
        self._spawn(self._receive(link, state, body), state.pending)

    def _end_watch(self, link: Link, state: _LinkState, body: Any) -> None:
        """At once, in the order of the link: it may arrive before the task that began the watch continues."""
        try:
            host_id = from_dict(body, HostUnwatched).host_id
        except InvalidRequest as error:
            log.warning("event_invalid", rack=link.peer.name, reason=error.message)
            return
        if host_id in state.watched_hosts:
            state.unwatched.add(host_id)

    async def _receive(self, link: Link, state: _LinkState, body: Any) -> None:
        try:
            event = from_dict(body, HostEvent)
        except InvalidRequest as error:
            await self._rejections.record_rejection(link.peer.id, None, f"invalid event: {error.message}")
            return
        if event.host_id not in state.watched_hosts:
            reason = f"event of VM host {event.host_id}, which the region did not ask this rack to watch"
            await self._rejections.record_rejection(link.peer.id, event.host_id, reason)
            return
        try:
            async with state.turns[event.host_id]:  # in the order of their arrival: the last power state counts
                needs_refresh = await self._changes.guest_changed(event.host_id, event.change)
            if needs_refresh:
                await self._refreshes.request_refresh(event.host_id)
            else:
                self._refresh_later(event.host_id)
        except InvalidRequest as error:
            await self._rejections.record_rejection(link.peer.id, event.host_id, f"invalid event: {error.message}")

    def _refresh_later(self, host_id: int) -> None:
        if host_id in self._later:
            return
        self._later.add(host_id)
        self._spawn(self._request_later(host_id), set())

    async def _request_later(self, host_id: int) -> None:
        try:
            await asyncio.sleep(OWN_CHANGES_FOR_S)
        finally:
            self._later.discard(host_id)
        await self._refreshes.request_refresh_within((host_id,), OWN_CHANGE_S)

    def _drop(self, link: Link, state: _LinkState) -> None:
        if not self._overload_limiter.allow(link.peer.id):
            return
        log.warning("host_events_dropped", rack=link.peer.name, pending=len(state.pending))
        self._spawn(self._refresh_instead(link, frozenset(state.watched_hosts)), state.pending)

    async def _refresh_instead(self, link: Link, hosts: frozenset[int]) -> None:
        reason = f"more than {MAX_PENDING} pending events; the region refreshes the hosts instead"
        await self._rejections.record_rejection(link.peer.id, None, reason)
        await self._refreshes.request_refresh_within(hosts, OVERLOAD_EVERY_S)

    def _state(self, link: Link) -> _LinkState:
        return self._links.setdefault(link, _LinkState())

    def _spawn(self, work: Coroutine[Any, Any, None], pending: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        pending.add(task)

        def on_done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            pending.discard(task)
            error = None if task.cancelled() else task.exception()
            if isinstance(error, DatabaseUnavailable):
                log.warning("host_event_lost", reason=str(error))  # the next refresh finds the same change
            elif error is not None:
                log.error("host_event_failed", exc_info=error)

        task.add_done_callback(on_done)
