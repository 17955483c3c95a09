"""An installation whose region and racks can die as by SIGKILL, and come back with what was on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from attrs import define, evolve, field

from common.errors import DatabaseUnavailable
from common.rpc.link import Link
from common.systemd_notify import ServiceManager
from innkeeper.http import Api, api_url
from rackd.identity import load
from rackd.joining import join
from rackd.region_link import Backoff, Surroundings
from rackd.service import RackService
from rackd.settings import RackSettings
from regiond.db.pool import speak_json
from regiond.service import API_KEY_FILE, RegionService
from regiond.settings import RegionSettings
from tests.faults.matrix.door import Door
from tests.faults.matrix.seams import Watched
from tests.installation import Installation
from tests.waiting import eventually

RACK = "rack"
STORAGE_GB = 2000  # of each simulated host
AT_ONCE = Surroundings(backoff=Backoff(first_s=0.04, longest_s=0.3, refused_s=0.3))
NOBODYS_PID = 2**22 + 1  # above the largest that Linux gives
_HOST_OF_NEWEST = "select host_name from operation where id > $1 order by id limit 1"
_DEAD_PROCESS = "update region_process set pid = $1"


@define(kw_only=True)
class RunningRack:
    service: RackService
    task: asyncio.Task[None]


@define(kw_only=True)
class Inn:
    """`installed` asks the API; `db` are connections that no fault meets."""

    installed: Installation
    watched: Watched
    door: Door
    db: asyncpg.Pool[Any]
    racks: dict[str, RunningRack] = field(factory=dict)
    hosts: dict[str, int] = field(factory=dict)  # simulated ones: their ids by name
    passing: set[str] = field(factory=set)  # names of those that one cell adds and removes
    stopped: list[asyncio.Future[None]] = field(factory=list)  # where a region that was killed came to a stop
    named: int = 0  # so many names were given out
    _running: AsyncExitStack = field(factory=AsyncExitStack)

    @property
    def folder(self) -> Path:
        return self.installed.folder

    def new_name(self, what: str) -> str:
        self.named += 1
        return f"{what}-{self.named}"

    # Regions ----------------------------------------------------------------------------------------------------

    async def start_region(self) -> None:
        """On the ports of the one before."""
        settings = self.installed.settings
        self._running = AsyncExitStack()
        service = RegionService(settings, ServiceManager({}))
        region = await self._running.enter_async_context(service.running())
        self.installed.region = region
        port = int(region.api_url.split(":")[2].split("/")[0])
        self.installed.settings = evolve(settings, http_port=port, rpc_port=region.rpc_port)
        key = (settings.state / API_KEY_FILE).read_text().strip()
        self.installed.api = Api(api_url(region.api_url), key)

    def kill_region(self) -> None:
        """At once. Whatever of it still runs reaches neither database nor rack nor client any more."""
        parts = self.installed.region.parts
        parts.database._acquire = _dead  # type: ignore[method-assign]  # on this one alone
        parts.notifications._listen = _dead  # type: ignore[method-assign]  # on this one alone
        parts.database._pool.terminate()
        self.door.cut()
        sever(self.installed.settings.http_port, self.installed.settings.rpc_port)

    async def bury_region(self) -> None:
        """What is left of the one that was killed ends, and its process number is nobody's."""
        for standing in self.stopped:
            standing.cancel()
        self.stopped.clear()
        await self._running.aclose()
        await self.db.execute(_DEAD_PROCESS, NOBODYS_PID)

    async def stop_region(self) -> None:
        await self._running.aclose()

    # Racks ------------------------------------------------------------------------------------------------------

    def rack_settings(self, name: str = RACK) -> RackSettings:
        return RackSettings(state=self.folder / name, simulated_hosts=self.folder / "simulated")

    def all_links(self) -> list[Link]:
        """The region's, those too of who is not a member yet."""
        guests = self.installed.region.parts.listener._guests
        return [guest.link for guest in guests if guest.link is not None and guest.link.is_open]

    async def start_rack(self, name: str = RACK) -> None:
        """Join, if it has not, and run until linked."""
        settings = self.rack_settings(name)
        if not settings.identity_folder.exists():
            services = self.installed.region.parts.services
            token = await services.racks.make_token(self.installed.admin, lifetime_s=600)
            await join(token, settings.identity_folder, name)
        service = RackService(settings, load(settings.identity_folder), ServiceManager({}))
        service._links._around = AT_ONCE
        self.racks[name] = RunningRack(service=service, task=asyncio.create_task(service.serve()))
        await self.until_linked(name)

    def kill_rack(self, name: str = RACK) -> None:
        """At once: not a word more is heard of it."""
        rack = self.racks[name]
        for link in rack.service._links.links:
            link._carrier.abort()  # type: ignore[attr-defined]  # that of a connection has it
        rack.task.cancel()

    async def bury_rack(self, name: str = RACK) -> None:
        rack = self.racks.pop(name)
        rack.task.cancel()
        await asyncio.gather(rack.task, return_exceptions=True)

    async def until_linked(self, name: str = RACK) -> None:
        await eventually(lambda: self.is_linked(name), deadline_s=15.0)

    async def is_linked(self, name: str = RACK) -> bool:
        """Calls go through, too: of a link that has just broken the rows may still tell, and of a new one already."""
        live = self.installed.region.parts.attendance._links
        return await self.installed.is_linked(name) and any(live.get(rack_id) for rack_id in live.rack_ids)

    # The rest ---------------------------------------------------------------------------------------------------

    async def add_host(self, name: str, **hardware: Any) -> None:
        """A simulated one."""
        made = await self.installed.add_simulated(name, **hardware)
        self.hosts[name] = made["id"]

    async def host_of_newest(self) -> str | None:
        """That of the operation under way; None when the request has not opened it yet."""
        after = self.watched.trace.after if self.watched.trace is not None else 0
        found: str | None = await self.db.fetchval(_HOST_OF_NEWEST, after)
        return found

    async def newest_operation(self) -> int:
        return int(await self.db.fetchval("select coalesce(max(id), 0) from operation"))


async def _dead(*_: Any) -> Any:
    raise DatabaseUnavailable("this region was killed")


def sever(*ports: int) -> None:
    """What the kernel does for a process that is gone: those who listened or were connected on these ports."""
    from twisted.internet import reactor  # the entry module installs the reactor before

    every: set[Any] = {*reactor.getReaders(), *reactor.getWriters()}
    for found in every:
        place = getattr(found, "getHost", None)
        if place is None or getattr(place(), "port", None) not in ports:
            continue
        # Who is let in no more is turned away when the region is buried and closes the port.
        end = getattr(found, "abortConnection", None) or found.stopReading
        end()


@asynccontextmanager
async def inn(folder: Path, dsn: str, watched: Watched) -> AsyncIterator[Inn]:
    """A region and a linked rack on the empty database `dsn`, without a host."""
    simulated = folder / "simulated"
    simulated.mkdir(parents=True)
    door = Door.before(dsn)
    await door.open()
    db = await asyncpg.create_pool(dsn, min_size=1, max_size=4, init=speak_json)
    settings = RegionSettings(
        database=door.dsn, state=folder / "region", http_port=0, rpc_port=0, simulated_hosts=simulated,
        refresh_every_s=3600.0, reconciler_mends=False,  # no mend may hide a fault
    )  # fmt: skip
    installed = Installation(folder=folder, settings=settings, region=None, api=None)  # type: ignore[arg-type]  # both come with the first start
    made = Inn(installed=installed, watched=watched, door=door, db=db)
    try:
        await made.start_region()
        await made.start_rack()
        yield made
    finally:
        for name in tuple(made.racks):
            await made.bury_rack(name)
        await made.stop_region()
        await db.close()
        await door.remove()
