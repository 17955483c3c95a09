"""What happens when a rack comes, goes, or tells of a host: hosts are watched and tried, waiting work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID

import structlog
from attrs import frozen

from common.certificates import Role
from common.errors import AnswerRefused, DatabaseUnavailable, InnkeeperError, LinkLost, ProtocolBroken
from common.rpc.commands import HOST_WATCH, REGION_ADDRESSES, HostCall, RegionAddresses
from common.rpc.link import Link
from common.seldom import Seldom
from regiond.db.pool import Database
from regiond.hearing import Hearing
from regiond.hosts.model import HostStanding, HostState
from regiond.hosts.schedule import RefreshSchedule
from regiond.hosts.service import Hosts
from regiond.machines.service import Machines
from regiond.operations import store as operation_store
from regiond.racks.calls import HostCalls
from regiond.racks.links import LiveLinks
from regiond.racks.service import Racks

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

TRY_DEADLINE_S = 20.0
TRIED_AT_ONCE = 8
WATCH_EVERY_S = 5.0
TRY_EVERY_S = 2.0
ADDRESSES_EVERY_S = 5.0
UNREACHED_S = 10.0  # a rack that is restarted is back before, and its hosts were ready all the time


_Place = tuple[str, str | None, str | None]


@frozen(kw_only=True)
class _Watched:
    """Through which link, and where: a host that moved, or where a key was changed on either side, is watched anew."""

    link: Link
    place: _Place


def _place(host: HostStanding) -> _Place:
    return host.address, host.pinned_fingerprint, host.certificate_fingerprint


class Attendance:
    """Keeps, for this region process: which hosts each linked rack reaches, and one watch a host."""

    def __init__(
        self,
        database: Database,
        links: LiveLinks,
        racks: Racks,
        hosts: Hosts,
        machines: Machines,
        calls: HostCalls,
        schedule: RefreshSchedule,
    ) -> None:
        self._database = database
        self._links = links
        self._racks = racks
        self._hosts = hosts
        self._machines = machines
        self._calls = calls
        self._schedule = schedule
        self._watched: dict[int, _Watched] = {}
        self._tried: set[tuple[UUID, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._troubles = Seldom(every_s=60.0)
        self._hearing = Hearing(machines, schedule, racks)

    @property
    def watched(self) -> frozenset[int]:
        """The hosts whose events come in here, through one rack each."""
        return frozenset(host_id for host_id, found in self._watched.items() if found.link.is_open)

    def start(self) -> None:
        self._spawn(self._again_and_again(self._watch_all, WATCH_EVERY_S))
        self._spawn(self._again_and_again(self._try_untried, TRY_EVERY_S))
        self._spawn(self._tell_addresses())

    async def stop(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._hearing.stop()

    async def arrived(self, link: Link) -> None:
        """A link was admitted. A rack is tried with every host, so that a new one is of use at once."""
        if link.peer.role is not Role.RACK:
            return
        rack_id = UUID(link.peer.id)
        self._links.up(rack_id, link)
        self._tried = {pair for pair in self._tried if pair[0] != rack_id}
        await self._racks.link_up(link.peer.id)
        link.send_event(REGION_ADDRESSES, RegionAddresses(addresses=await self._racks.region_addresses()))
        self._spawn(self._try_hosts(rack_id))

    async def left(self, link: Link) -> None:
        """A link has ended. The hosts that nobody else reaches say so soon, unless the rack is back by then."""
        if link.peer.role is not Role.RACK:
            return
        self._links.down(UUID(link.peer.id), link)
        try:
            if isinstance(why := link.lost.result(), ProtocolBroken):
                await self._racks.refused(link.peer.id, None, f"{why.message}; its link was ended.")
            await self._racks.link_down(link.peer.id)
            await self._schedule.within(await self._racks.unreached_hosts(), UNREACHED_S)
        except DatabaseUnavailable:
            log.warning("link_down_not_recorded", rack=link.peer.name)  # its rows age by themselves

    def told(self, link: Link, name: str, body: Any) -> None:
        """An event of a rack."""
        self._hearing.told(link, name, body)

    async def wake_waiting(self) -> None:
        """What waits for a rack or a host is tried now."""
        async with self._database.connection() as db:
            await operation_store.wake_waiting(db)

    async def _tell_addresses(self) -> None:
        """A region that was added is told to every rack, so that each dials each."""
        told: tuple[str, ...] | None = None
        while True:
            try:
                addresses = await self._racks.region_addresses()
                if told is not None and addresses != told:
                    for rack_id in self._links.rack_ids:
                        if (link := self._links.get(rack_id)) is not None:
                            link.send_event(REGION_ADDRESSES, RegionAddresses(addresses=addresses))
                told = addresses
            except (DatabaseUnavailable, LinkLost) as error:
                if self._troubles.may("addresses", str(error)):
                    log.info("region_addresses_not_told", because=str(error))
            await asyncio.sleep(ADDRESSES_EVERY_S)

    async def _try_untried(self) -> None:
        """A host that is added is looked at through one rack; the others try it now: then it is known who gets there.

        Once only: what says neither yes nor no (a host that does not trust us any more) is no reason to go on asking.
        """
        gate = asyncio.Semaphore(TRIED_AT_ONCE)

        async def try_one(rack_id: UUID, host_id: int) -> None:
            async with gate:
                try:
                    await self._calls.try_from(rack_id, host_id, deadline_s=TRY_DEADLINE_S)
                except DatabaseUnavailable:
                    raise
                except InnkeeperError as error:
                    log.info("rack_tried_host", host=host_id, code=error.code, because=error.message)

        untried = set(await self._racks.untried())
        found, self._tried = tuple(untried - self._tried), untried
        results = await asyncio.gather(*(try_one(*pair) for pair in found), return_exceptions=True)
        self._tried -= {pair for pair, failed in zip(found, results, strict=True) if failed is not None}
        for failed in results:
            if failed is not None:
                raise failed

    async def _try_hosts(self, rack_id: UUID) -> None:
        await self.wake_waiting()
        gate = asyncio.Semaphore(TRIED_AT_ONCE)

        async def try_one(host: HostStanding) -> None:
            async with gate:
                try:
                    await self._calls.try_from(rack_id, host.id, deadline_s=TRY_DEADLINE_S)
                except InnkeeperError as error:
                    log.info("rack_tried_host", host=host.id, code=error.code, because=error.message)
                else:
                    if host.state is not HostState.READY:  # nobody got there before: look at it now
                        await self._schedule.soon(host.id)

        hosts = [host for host in await self._hosts.standings() if host.state is not HostState.REMOVING]
        self._tried |= {(rack_id, host.id) for host in hosts}
        await asyncio.gather(*(try_one(host) for host in hosts))
        await self.wake_waiting()

    async def _again_and_again(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        """Whatever was lost or is new is found at the next round."""
        while True:
            try:
                await work()
            except DatabaseUnavailable as error:
                if self._troubles.may(work.__name__, error.message):
                    log.info("attendance_not_checked", what=work.__name__, because=error.message)
            except Exception:
                log.exception("attendance_hit_a_bug", what=work.__name__)
            await asyncio.sleep(pause_s)

    async def _watch_all(self) -> None:
        """Every host through one of our racks; several at once: one that does not answer holds up no other."""
        hosts = await self._hosts.standings()
        for host_id in self._watched.keys() - {host.id for host in hosts}:
            del self._watched[host_id]
        gate = asyncio.Semaphore(TRIED_AT_ONCE)

        async def watch(host: HostStanding) -> None:
            async with gate:
                await self._watch(host)

        wanted = [host for host in hosts if host.state is HostState.READY and not self._is_watched(host)]
        for failed in await asyncio.gather(*map(watch, wanted), return_exceptions=True):
            if failed is not None:
                raise failed

    def _is_watched(self, host: HostStanding) -> bool:
        found = self._watched.get(host.id)
        return found is not None and found.link.is_open and found.place == _place(host)

    async def _watch(self, host: HostStanding) -> None:
        for rack in await self._racks.racks_for(host.id):
            link = self._links.get(rack.rack_id)
            if link is None or rack.reaches is False:
                continue
            try:
                access = await self._hosts.access(host.id)
                self._hearing.expect(link, host.id)
                await link.call(HOST_WATCH, HostCall(access=access), deadline_s=TRY_DEADLINE_S)
            except DatabaseUnavailable:
                raise
            except AnswerRefused as error:
                await self._racks.refused(link.peer.id, host.id, error.message)
                continue
            except InnkeeperError as error:
                log.info("host_not_watched", host=host.id, rack=rack.name, code=error.code, because=error.message)
                continue
            self._watched[host.id] = _Watched(link=link, place=_place(host))
            await self._schedule.soon(host.id)  # what happened since the last look was told to nobody
            return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, DatabaseUnavailable | LinkLost):
            log.warning("attendance_interrupted", because=str(error))
        elif error is not None:
            log.error("attendance_hit_a_bug", exc_info=error)
