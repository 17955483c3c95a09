"""Has each connected rack probe every host and one rack watch it; handles disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from common.errors import DatabaseUnavailable, InnkeeperError, LinkLost, ProtocolViolation
from common.process.periodic import PeriodicTask
from common.rpc.commands.region_commands import REGION_ADDRESSES, RegionAddresses
from common.rpc.link import Link
from common.rpc.peers import idle_timeout_of, release_of
from common.trust.certificates import Role
from common.values import HostAccess
from regiond.racks.calls.access_guard import AccessGuard
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.model import SupervisedHost
from regiond.racks.reach.concurrent_calls import concurrently
from regiond.racks.reach.heartbeat import Heartbeat
from regiond.racks.reach.heartbeat_store import RackReport
from regiond.racks.reach.host_event_receiver import GuestChanges, HostEventReceiver, RefreshRequests
from regiond.racks.reach.host_watches import HOST_DEADLINE_S, HOST_LOST, HostWatches
from regiond.racks.reach.service import RackReach
from regiond.racks.reach.zone_changes import ZoneChanges

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

WATCH_EVERY_S = 5.0
PROBE_EVERY_S = 2.0
ZONES_EVERY_S = 2.0
ADDRESSES_EVERY_S = 5.0
SUSPECT_REFRESH_S = 1.0
DISCONNECT_GRACE_S = 10.0  # a restarted rack reconnects within this time; its hosts stay ready


class LinkSupervisor:
    """Serves the links of this region process. Other regions do the same with theirs."""

    def __init__(
        self,
        links: LiveLinks,
        heartbeat: Heartbeat,
        reach: RackReach,
        calls: HostCalls,
        guard: AccessGuard,
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
        self._zone_changes = ZoneChanges(reach, calls.disconnect_rack)
        self._hosts = hosts
        self._refreshes = refreshes
        self._wake_waiting = wake_waiting
        self._probed: set[tuple[UUID, int]] = set()
        self._sent_addresses: tuple[str, ...] | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._events = HostEventReceiver(changes, refreshes, reach)
        self._watches = HostWatches(links, reach, guard, self._events, access_of=access_of, refreshes=refreshes)
        self._periodic = (
            PeriodicTask("host_watches", self._watch_hosts, every_s=WATCH_EVERY_S),
            PeriodicTask("host_probes", self._probe_new_hosts, every_s=PROBE_EVERY_S),
            PeriodicTask("rack_zones", self._apply_zones, every_s=ZONES_EVERY_S),
            PeriodicTask("region_addresses", self._send_new_addresses, every_s=ADDRESSES_EVERY_S),
        )

    @property
    def watched(self) -> frozenset[int]:
        """The hosts whose events this process receives, each through one rack."""
        return frozenset(self._watches.racks)

    @property
    def watching(self) -> Mapping[int, UUID]:
        """The rack through which this process watches each of these hosts; that rack measures their usage."""
        return self._watches.racks

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
        reported = RackReport(
            release=release_of(link.capabilities),
            link_idle_timeout_s=idle_timeout_of(link.capabilities),
            versions=link.versions or (None, None),
        )
        await self._heartbeat.add_link(rack_id, reported)
        link.send_event(REGION_ADDRESSES, RegionAddresses(addresses=await self._heartbeat.addresses()))
        self._spawn(self._probe_all_hosts(rack_id))

    async def on_disconnect(self, link: Link) -> None:
        """Requests a refresh of hosts that no rack reaches now; the refresh runs unless a rack reconnects before."""
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
        """Announces regions that were added or removed to every rack, so that each rack connects to all regions."""
        addresses = await self._heartbeat.addresses()
        if self._sent_addresses is not None and addresses != self._sent_addresses:
            for link in self._links.open.values():
                link.send_event(REGION_ADDRESSES, RegionAddresses(addresses=addresses))
        self._sent_addresses = addresses

    # Probes: which rack reaches which host ------------------------------------------------------------------------

    async def _probe_all_hosts(self, rack_id: UUID) -> None:
        await self._wake_waiting()
        zones = await self._reach.zones_of(rack_id)
        await self._probe_hosts(rack_id, [one for one in await self._hosts() if zones is None or one.zone_id in zones])
        await self._wake_waiting()

    async def _probe_hosts(self, rack_id: UUID, served: Iterable[SupervisedHost]) -> None:
        hosts = [host for host in served if not host.is_removing]
        self._probed |= {(rack_id, host.id) for host in hosts}
        lost: set[int] = set()

        async def probe(host: SupervisedHost) -> None:
            error = await self._probe(rack_id, host.id)
            if error is None and not host.is_ready:
                await self._refreshes.request_refresh(host.id)
            elif isinstance(error, HOST_LOST):
                lost.add(host.id)

        await concurrently(probe, hosts)
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

        await concurrently(probe, new)

    async def _probe(self, rack_id: UUID, host_id: int) -> InnkeeperError | None:
        """Returns why the rack did not reach the host, None if it did. Raises DatabaseUnavailable."""
        try:
            await self._calls.check_reach(rack_id, host_id, deadline_s=HOST_DEADLINE_S)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            log.info("host_probe_failed", host_id=host_id, code=error.code, reason=error.message)
            return error
        return None

    async def _watch_hosts(self) -> None:
        await self._watches.watch(await self._hosts())

    # Zones: which rack may know which host ------------------------------------------------------------------------

    async def _apply_zones(self) -> None:
        """Has racks forget hosts that they no longer serve, and probe those that they serve newly."""
        hosts: Sequence[SupervisedHost] = ()

        async def zones_of_hosts() -> Mapping[int, int]:
            nonlocal hosts
            hosts = await self._hosts()
            return {host.id: host.zone_id for host in hosts}

        change = await self._zone_changes.apply(zones_of_hosts, self._watches.racks)
        for rack_id, host_id in change.forgotten:
            self._watches.end(rack_id, host_id)
        if change.forgotten:
            lost = {host_id for _, host_id in change.forgotten}.intersection(await self._reach.unreached_hosts())
            await self._refreshes.request_refresh_within(sorted(lost), SUSPECT_REFRESH_S)
        for rack_id, gained in change.served.items():
            self._spawn(self._probe_hosts(rack_id, [host for host in hosts if host.id in gained]))

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
