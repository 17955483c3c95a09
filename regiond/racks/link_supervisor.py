"""Has each connected rack probe every host and one rack watch it; handles disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import structlog
from attrs import frozen

from common.certificates import Role
from common.errors import (
    DatabaseUnavailable,
    HostHung,
    HostUnreachable,
    InnkeeperError,
    LinkLost,
    ProtocolViolation,
    ResponseRejected,
)
from common.periodic import PeriodicTask
from common.rpc.commands import HOST_WATCH, REGION_ADDRESSES, HostCall, RegionAddresses
from common.rpc.link import Link
from common.rpc.peers import release_of
from common.values import HostAccess
from regiond.racks.access_guard import NotServed
from regiond.racks.heartbeat import Heartbeat
from regiond.racks.host_calls import Guard, HostCalls
from regiond.racks.host_event_receiver import GuestChanges, HostEventReceiver, RefreshRequests
from regiond.racks.live_links import LiveLinks
from regiond.racks.model import SupervisedHost
from regiond.racks.reach import RackReach
from regiond.racks.zone_changes import ZoneChanges

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")

_HOST_LOST = (HostUnreachable, HostHung)

HOST_DEADLINE_S = 20.0
MAX_CONCURRENT_HOSTS = 8
WATCH_EVERY_S = 5.0
PROBE_EVERY_S = 2.0
ZONES_EVERY_S = 2.0
ADDRESSES_EVERY_S = 5.0
SUSPECT_REFRESH_S = 1.0
DISCONNECT_GRACE_S = 10.0  # a restarted rack reconnects within this time; its hosts stay ready


@frozen
class _Watch:
    link: Link
    host: SupervisedHost

    def covers(self, host: SupervisedHost) -> bool:
        return self.link.is_open and _connection(self.host) == _connection(host)


class LinkSupervisor:
    """Serves the links of this region process. Other regions do the same with theirs."""

    def __init__(
        self,
        links: LiveLinks,
        heartbeat: Heartbeat,
        reach: RackReach,
        calls: HostCalls,
        guard: Guard,
        *,
        hosts: Callable[[], Awaitable[Sequence[SupervisedHost]]],
        access_of: Callable[[int], Awaitable[HostAccess]],
        changes: GuestChanges,
        refreshes: RefreshRequests,
        wake_waiting: Callable[[], Awaitable[None]],
    ) -> None:
        """`wake_waiting` retries at once the operations that wait for a rack or host.

        `hosts` returns all hosts; `access_of` the address and the secrets of one.
        """
        self._links = links
        self._heartbeat = heartbeat
        self._reach = reach
        self._calls = calls
        self._guard = guard
        self._zone_changes = ZoneChanges(reach, calls.disconnect_rack)
        self._hosts = hosts
        self._access_of = access_of
        self._refreshes = refreshes
        self._wake_waiting = wake_waiting
        self._watches: dict[int, _Watch] = {}
        self._unwatchable: set[int] = set()
        self._probed: set[tuple[UUID, int]] = set()
        self._sent_addresses: tuple[str, ...] | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._events = HostEventReceiver(changes, refreshes, reach)
        self._periodic = (
            PeriodicTask("host_watches", self._watch_hosts, every_s=WATCH_EVERY_S),
            PeriodicTask("host_probes", self._probe_new_hosts, every_s=PROBE_EVERY_S),
            PeriodicTask("rack_zones", self._apply_zones, every_s=ZONES_EVERY_S),
            PeriodicTask("region_addresses", self._send_new_addresses, every_s=ADDRESSES_EVERY_S),
        )

    @property
    def watched(self) -> frozenset[int]:
        """The hosts whose events this process receives, each through one rack."""
        return frozenset(host_id for host_id, watch in self._watches.items() if watch.link.is_open)

    @property
    def probed(self) -> frozenset[tuple[UUID, int]]:
        """The (rack, host) pairs whose probe has been started since the rack connected."""
        return frozenset(self._probed)

    @property
    def connected(self) -> frozenset[UUID]:
        """The racks that this process has an open link to."""
        return frozenset(self._links.open)

    async def settled(self) -> None:
        """Returns when the probes of newly connected racks have ended."""
        while self._spawned:
            await asyncio.wait(tuple(self._spawned))

    def start(self) -> None:
        for task in self._periodic:
            task.start()

    async def stop(self) -> None:
        await asyncio.gather(*(task.stop() for task in self._periodic))
        spawned = tuple(self._spawned)
        for task in spawned:
            task.cancel()
        await asyncio.gather(*spawned, return_exceptions=True)
        await self._events.stop()

    async def on_connect(self, link: Link) -> None:
        """Registers an admitted rack, sends it the region addresses and has it probe every host in the background."""
        if link.peer.role is not Role.RACK:
            return
        rack_id = UUID(link.peer.id)
        self._links.add(rack_id, link)
        await self._heartbeat.add_link(rack_id, release=release_of(link.capabilities))
        link.send_event(REGION_ADDRESSES, RegionAddresses(addresses=await self._heartbeat.addresses()))
        self._spawn(self._probe_all_hosts(rack_id))

    async def on_disconnect(self, link: Link) -> None:
        """Requests a refresh of hosts that no rack reaches now; it runs unless the rack reconnects before."""
        if link.peer.role is not Role.RACK:
            return
        rack_id = UUID(link.peer.id)
        self._links.remove(rack_id, link)
        if self._links.get(rack_id) is None:
            self._probed = {pair for pair in self._probed if pair[0] != rack_id}
        try:
            if isinstance(error := link.lost.result(), ProtocolViolation):
                await self._reach.record_rejection(link.peer.id, None, f"protocol error: {error.message}; link closed")
            await self._heartbeat.remove_link(rack_id)
            await self._refreshes.request_refresh_within(await self._reach.unreached_hosts(), DISCONNECT_GRACE_S)
        except DatabaseUnavailable:
            log.warning("disconnect_not_recorded", rack=link.peer.name)  # the heartbeat corrects the rows later

    def on_event(self, link: Link, name: str, body: Any) -> None:
        self._events.on_event(link, name, body)

    # Region addresses ---------------------------------------------------------------------------------------------

    async def _send_new_addresses(self) -> None:
        """A region that was added or removed is announced to every rack, so that each rack connects to all regions."""
        addresses = await self._heartbeat.addresses()
        if self._sent_addresses is not None and addresses != self._sent_addresses:
            for link in self._links.open.values():
                link.send_event(REGION_ADDRESSES, RegionAddresses(addresses=addresses))
        self._sent_addresses = addresses

    # Probes: which rack reaches which host ------------------------------------------------------------------------

    async def _probe_all_hosts(self, rack_id: UUID) -> None:
        await self._wake_waiting()
        served = (await self._reach.served_hosts()).get(rack_id)
        await self._probe_hosts(rack_id, served)
        await self._wake_waiting()

    async def _probe_hosts(self, rack_id: UUID, wanted: frozenset[int] | None) -> None:
        """None: all hosts."""
        hosts = [host for host in await self._hosts() if not host.is_removing and (wanted is None or host.id in wanted)]
        self._probed |= {(rack_id, host.id) for host in hosts}
        lost: set[int] = set()

        async def probe(host: SupervisedHost) -> None:
            error = await self._probe(rack_id, host.id)
            if error is None and not host.is_ready:
                await self._refreshes.request_refresh(host.id)
            elif isinstance(error, _HOST_LOST):
                lost.add(host.id)

        await _concurrently(probe, hosts)
        if lost:
            unreached = lost.intersection(await self._reach.unreached_hosts())
            await self._refreshes.request_refresh_within(sorted(unreached), SUSPECT_REFRESH_S)

    async def _probe_new_hosts(self) -> None:
        """Has each rack probe each host that was added since it connected, once.

        One rack discovers a new host; the others probe it here. A host that answers with an error that proves nothing
        about reach (it does not trust the certificate) is not probed again.
        """
        unprobed = set(await self._reach.untried_hosts())
        new, self._probed = unprobed - self._probed, unprobed

        async def probe(pair: tuple[UUID, int]) -> None:
            try:
                await self._probe(*pair)
            except BaseException:
                self._probed.discard(pair)
                raise

        await _concurrently(probe, new)

    async def _probe(self, rack_id: UUID, host_id: int) -> InnkeeperError | None:
        """Returns why the rack did not reach the host, None if it did. Raises DatabaseUnavailable."""
        try:
            await self._calls.check_reach(rack_id, host_id, deadline_s=HOST_DEADLINE_S)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            log.info("host_probe_failed", host=host_id, code=error.code, reason=error.message)
            return error
        return None

    # Watches: one rack reports the events of each host ------------------------------------------------------------

    async def _watch_hosts(self) -> None:
        """Watches hosts that are ready and not watched. Hosts are independent: a slow one delays no other."""
        hosts = await self._hosts()
        for host_id in self._watches.keys() - {host.id for host in hosts}:
            del self._watches[host_id]
        await _concurrently(self._watch, [host for host in hosts if host.is_ready and not self._is_watched(host)])

    def _is_watched(self, host: SupervisedHost) -> bool:
        watch = self._watches.get(host.id)
        return watch is not None and watch.covers(host)

    async def _watch(self, host: SupervisedHost) -> None:
        for rack in await self._reach.racks_for(host.id):
            link = self._links.get(rack.rack_id)
            if link is None or rack.reaches is False or not await self._watch_through(link, host):
                continue
            self._watches[host.id] = _Watch(link, host)
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
            log.info("host_watch_failed", host=host.id, rack=link.peer.name, code=error.code, reason=error.message)
            if isinstance(error, _HOST_LOST) and host.id not in self._unwatchable:
                self._unwatchable.add(host.id)  # the watch is attempted every few seconds, the refresh once
                await self._refreshes.request_refresh(host.id)
            return False
        return True

    # Zones: which rack may know which host ------------------------------------------------------------------------

    async def _apply_zones(self) -> None:
        """Has racks forget hosts that they no longer serve, and probe those that they serve newly."""
        hosts = [host.id for host in await self._hosts()]
        watched = {host_id: UUID(watch.link.peer.id) for host_id, watch in self._watches.items() if watch.link.is_open}
        change = await self._zone_changes.apply(hosts, watched)
        for rack_id, host_id in change.forgotten:
            if watched.get(host_id) == rack_id:
                self._watches.pop(host_id, None)
            if (link := self._links.get(rack_id)) is not None:
                self._events.reject(link, host_id)
        if change.forgotten:
            lost = {host_id for _, host_id in change.forgotten}.intersection(await self._reach.unreached_hosts())
            await self._refreshes.request_refresh_within(sorted(lost), SUSPECT_REFRESH_S)
        for rack_id, gained in change.served.items():
            self._spawn(self._probe_hosts(rack_id, gained))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._on_spawned_done)

    def _on_spawned_done(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DatabaseUnavailable | LinkLost):
            log.warning("host_probes_interrupted", reason=str(error))
        elif error is not None:
            log.error("host_probes_failed", exc_info=error)


async def _concurrently(work: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Runs `work` for all items, at most MAX_CONCURRENT_HOSTS at once; then raises the first error, if any."""
    semaphore = asyncio.Semaphore(MAX_CONCURRENT_HOSTS)

    async def run(item: T) -> None:
        async with semaphore:
            await work(item)

    for error in await asyncio.gather(*map(run, items), return_exceptions=True):
        if error is not None:
            raise error


def _connection(host: SupervisedHost) -> tuple[str, str | None, str | None]:
    return host.address, host.pinned_fingerprint, host.certificate_fingerprint
