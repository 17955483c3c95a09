"""Has one linked rack watch every ready host and report the events of the host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import structlog
from attrs import frozen

from common.errors import DatabaseUnavailable, HostHung, HostUnreachable, InnkeeperError, ResponseRejected
from common.rpc.commands.host_commands import HOST_WATCH, HostCall
from common.rpc.link import Link
from common.values import HostAccess
from regiond.racks.calls.access_guard import AccessGuard, NotServed
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.model import SupervisedHost
from regiond.racks.reach.concurrent_calls import concurrently
from regiond.racks.reach.host_event_receiver import HostEventReceiver, RefreshRequests
from regiond.racks.reach.service import RackReach

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

HOST_LOST = (HostUnreachable, HostHung)
HOST_DEADLINE_S = 20.0


@frozen
class _Watch:
    rack_id: UUID
    link: Link
    host: SupervisedHost

    def covers(self, host: SupervisedHost) -> bool:
        return self.link.is_open and _connection(self.host) == _connection(host)


class HostWatches:
    """The watches of one region process. `events` receives what the racks report."""

    def __init__(
        self,
        links: LiveLinks,
        reach: RackReach,
        guard: AccessGuard,
        events: HostEventReceiver,
        *,
        access_of: Callable[[int], Awaitable[HostAccess]],
        refreshes: RefreshRequests,
    ) -> None:
        self._links = links
        self._reach = reach
        self._guard = guard
        self._events = events
        self._access_of = access_of
        self._refreshes = refreshes
        self._watches: dict[int, _Watch] = {}
        self._unwatchable: set[int] = set()

    @property
    def racks(self) -> Mapping[int, UUID]:
        """The rack that watches each watched host."""
        return {
            host_id: watch.rack_id
            for host_id, watch in self._watches.items()
            if watch.link.is_open and self._events.is_watched(watch.link, host_id)
        }

    def end(self, rack_id: UUID, host_id: int) -> None:
        """Rejects, from now on, events of the host from this rack, which no longer knows the host."""
        watch = self._watches.get(host_id)
        if watch is not None and watch.rack_id == rack_id:
            del self._watches[host_id]
        if (link := self._links.get(rack_id)) is not None:
            self._events.reject(link, host_id)

    async def watch(self, hosts: Sequence[SupervisedHost]) -> None:
        """Has racks watch those of `hosts`, which are all hosts, that are ready and not watched.

        A slow host delays no other.
        """
        for host_id in self._watches.keys() - {host.id for host in hosts}:
            del self._watches[host_id]
        await concurrently(self._watch, [host for host in hosts if host.is_ready and not self._is_watched(host)])

    def _is_watched(self, host: SupervisedHost) -> bool:
        watch = self._watches.get(host.id)
        return watch is not None and watch.covers(host) and self._events.is_watched(watch.link, host.id)

    async def _watch(self, host: SupervisedHost) -> None:
        for rack in await self._reach.racks_for(host.id):
            link = self._links.get(rack.rack_id)
            if link is None or rack.reaches is False or not await self._watch_through(link, host):
                continue
            self._watches[host.id] = _Watch(rack.rack_id, link, host)
            self._unwatchable.discard(host.id)
            await self._refreshes.request_refresh(host.id)  # events since the last refresh were lost
            return

    async def _watch_through(self, link: Link, host: SupervisedHost) -> bool:
        """Returns whether the rack watches the host now. Raises DatabaseUnavailable."""
        try:
            access = await self._access_of(host.id)
            call = HostCall(access=access)
            await self._guard.admit(UUID(link.peer.id), link, host.id, call)
            self._events.expect(link, host.id)
            await link.call(HOST_WATCH, call, deadline_s=HOST_DEADLINE_S)
        except DatabaseUnavailable:
            raise
        except NotServed:
            return False
        except ResponseRejected as error:
            await self._reach.record_rejection(link.peer.id, host.id, error.message)
            return False
        except InnkeeperError as error:
            log.info("host_watch_failed", host_id=host.id, rack=link.peer.name, code=error.code, reason=error.message)
            if isinstance(error, HOST_LOST) and host.id not in self._unwatchable:
                self._unwatchable.add(host.id)  # the watch is attempted every few seconds, the refresh once
                await self._refreshes.request_refresh(host.id)
            return False
        return True


def _connection(host: SupervisedHost) -> tuple[str, str | None, str | None]:
    return host.address, host.pinned_fingerprint, host.certificate_fingerprint
