"""Runs region and racks as tasks of this process, over real mutual TLS; both can be killed as by SIGKILL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from common.process.systemd_notify import ServiceManager
from common.rpc.link import Link
from common.trust.server_trust import BY_THE_COMPUTER, ServerTrust
from innkeeper.http import Api, api_url
from rackd.drivers.registry import DriverRegistry
from rackd.enrolment import join
from rackd.identity import load, save
from rackd.region_link import Environment
from rackd.service import RackService
from rackd.settings import RackSettings
from regiond.accounts.local_access import LOCAL_FILE
from regiond.db.pool import connect
from regiond.process.settings import RegionSettings
from regiond.requests.caller import Caller
from regiond.service import Region, RegionService
from tests.deployment.db_proxy import DbProxy
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK, REGION
from tests.support.administrators import API_KEY_FILE, write_first_key
from tests.support.waiting import eventually

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
TOKEN_LIFETIME_S = 600
UNUSED_PID = 2**22 + 1  # above the largest process id of Linux
_END_PROCESS = "update region_process set pid = $1"

Drivers = Callable[[RackSettings], DriverRegistry]


@define(kw_only=True)
class _Rack:
    service: RackService
    task: asyncio.Task[None]


@define(kw_only=True)
class InProcess:
    """One region and its racks.

    `drivers` replaces the racks' drivers. A `killable` region reaches its database, which must listen on a Unix
    socket, through a proxy of its own, and a new region takes over its ports.
    """

    folder: Path
    dsn: str
    settings: RegionSettings
    drivers: Drivers | None = None
    environment: Environment | None = None
    killable: bool = False
    usage_interval_s: float = 0.0  # of racks that are started from then on; 0: nothing comes between a test's calls
    racks: dict[str, _Rack] = field(factory=dict)
    suspended: list[asyncio.Future[None]] = field(factory=list)  # what tasks of a killed region wait for
    proxy: DbProxy | None = None
    _region: Region | None = None
    _running: AsyncExitStack = field(factory=AsyncExitStack)

    @property
    def region(self) -> Region:
        assert self._region is not None, "the region was not started"
        return self._region

    @property
    def api(self) -> Api:
        key = (self.settings.state / API_KEY_FILE).read_text().strip()
        https = self.region.components.https
        trust = ServerTrust(fingerprint=https.current.fingerprint) if https is not None else BY_THE_COMPUTER
        return Api(api_url(self.region.api_url), key, trust=trust)

    # Regions ----------------------------------------------------------------------------------------------------

    async def start_region(self) -> None:
        settings = self.settings
        if self.killable:
            self.proxy = DbProxy.to(self.dsn)
            await self.proxy.open()
            settings = evolve(settings, database=self.proxy.dsn)
        self._running = AsyncExitStack()
        self._region = await self._running.enter_async_context(RegionService(settings, ServiceManager({})).running())
        await write_first_key(self._region.components.database, self.settings.state)
        await eventually((self.settings.state / LOCAL_FILE).exists)
        if self.killable:
            http_port = int(self._region.api_url.split(":")[2].split("/")[0])
            self.settings = evolve(self.settings, http_port=http_port, rpc_port=self._region.rpc_port)

    async def stop_region(self) -> None:
        for future in self.suspended:
            future.cancel()
        self.suspended.clear()
        await self._running.aclose()
        if self.proxy is not None:
            await self.proxy.remove()
            self.proxy = None

    # Racks ------------------------------------------------------------------------------------------------------

    def rack_settings(self, name: str = RACK) -> RackSettings:
        return RackSettings(
            state=self.folder / name, simulated_hosts=self.folder / "simulated",
            metrics_host=self.settings.metrics_host, metrics_port=0, usage_interval_s=self.usage_interval_s,
            metrics_guests=True,
        )  # fmt: skip

    async def enrol_rack(self, name: str = RACK) -> None:
        """Gives the rack an identity if it has none."""
        settings = self.rack_settings(name)
        if not any(settings.identity_folder.glob("*")):
            racks = self.region.components.services.racks
            await join(await racks.create_token(ADMIN, lifetime_s=TOKEN_LIFETIME_S), settings.identity_folder, name)

    async def start_rack(self, name: str = RACK) -> None:
        await self.enrol_rack(name)
        self.run_rack(name)
        await eventually(lambda: self.is_linked(name))

    def run_rack(self, name: str = RACK) -> None:
        """Starts an enrolled rack; does not wait for its link."""
        settings = self.rack_settings(name)
        drivers = self.drivers(settings) if self.drivers is not None else None
        self.serve(
            name,
            RackService(
                settings, load(settings.identity_folder), ServiceManager({}), drivers=drivers,
                environment=self.environment,
            ),
        )  # fmt: skip

    def serve(self, name: str, service: RackService) -> None:
        """Runs a rack that the caller built."""
        self.racks[name] = _Rack(service=service, task=asyncio.create_task(service.serve()))

    async def link_rack_to(self, name: str, *regions: Deployment) -> None:
        """Enrols the rack here and starts it with a link to each of the regions."""
        await self.enrol_rack(name)
        folder = self.rack_settings(name).identity_folder
        addresses = tuple(f"127.0.0.1:{one.region.rpc_port}" for one in regions)
        save(folder, evolve(load(folder), addresses=addresses))
        self.run_rack(name)
        for region in regions:
            await eventually(partial(region.is_linked, name))

    async def stop_rack(self, name: str = RACK) -> None:
        await self.discard_rack(name)
        await eventually(lambda: not self.links(name))

    async def discard_rack(self, name: str = RACK) -> None:
        """Ends the rack's task; does not wait for the region to notice."""
        rack = self.racks.pop(name)
        rack.task.cancel()
        await asyncio.gather(rack.task, return_exceptions=True)

    def links(self, name: str = RACK) -> list[Link]:
        """The region's links to the rack."""
        return [link for link in self.region.components.listener.links if link.peer.name == name]

    async def is_linked(self, name: str = RACK) -> bool:
        components = self.region.components
        found = [rack for rack in await components.services.racks.list(caller=None) if rack.name == name]
        if not found or not found[0].connected or not self.links(name):
            return False
        return found[0].id in components.link_supervisor.connected

    # Kill -------------------------------------------------------------------------------------------------------

    def kill(self, daemon: str) -> None:
        """The daemon's tasks may still run, but no longer reach database, link or client."""
        if daemon != REGION:
            for link in self.racks[daemon].service.links:
                link.abort()
            self.racks[daemon].task.cancel()
            return
        assert self.proxy is not None, "only a killable region can be killed"
        self.proxy.shut()
        _close_ports(self.settings.http_port, self.settings.rpc_port)

    async def restart(self, daemon: str) -> None:
        if daemon != REGION:
            await self.discard_rack(daemon)
            await self.start_rack(daemon)
            return
        await self.stop_region()
        db = await connect(self.dsn, application_name="test")
        try:
            await db.execute(_END_PROCESS, UNUSED_PID)
        finally:
            await db.close()
        await self.start_region()

    async def stop(self) -> None:
        for name in tuple(self.racks):
            await self.discard_rack(name)
        await self.stop_region()


def _close_ports(*ports: int) -> None:
    """Does what the kernel does for a dead process: ends what listens on these ports or is connected to them."""
    from twisted.internet import reactor  # the entry module installs the reactor before

    everything: set[Any] = {*reactor.getReaders(), *reactor.getWriters()}
    for found in everything:
        host = getattr(found, "getHost", None)
        if host is not None and getattr(host(), "port", None) in ports:
            # A port that does not accept connections is closed when the region is stopped.
            end = getattr(found, "abortConnection", None) or found.stopReading
            end()


@asynccontextmanager
async def deployed(
    folder: Path,
    dsn: str,
    *,
    drivers: Drivers | None = None,
    environment: Environment | None = None,
    killable: bool = False,
    checked: bool = True,
    **settings: Any,
) -> AsyncIterator[Deployment]:
    """A running region without a rack; if `checked`, the block ends with a check of the ledger.

    The reconciler repairs nothing, so that no repair hides a bug, unless `reconciler_auto_repair` is set.
    """
    simulated = folder / "simulated"
    simulated.mkdir(parents=True, exist_ok=True)
    changes: dict[str, Any] = {
        "refresh_every_s": 3600.0, "reconciler_auto_repair": False, "metrics_host": "", **settings,
    }  # fmt: skip
    region_settings = RegionSettings(
        database=dsn, state=folder / "region", http_port=0, rpc_port=0, simulated_hosts=simulated, **changes
    )
    runner = InProcess(
        folder=folder, dsn=dsn, settings=region_settings, drivers=drivers, environment=environment, killable=killable
    )
    await runner.start_region()
    made = Deployment(runner=runner)
    try:
        yield made
        if checked:
            assert await made.ledger_problems() == []
            assert await made.own_discrepancies() == []
    finally:
        await runner.stop()


@asynccontextmanager
async def second_region(first: Deployment) -> AsyncIterator[Deployment]:
    """Another region on the same database and state folder, with its own API, links and racks."""
    settings = evolve(first.in_process.settings, http_port=0, rpc_port=0)  # a killable region has fixed ports
    runner = InProcess(folder=first.folder, dsn=first.dsn, settings=settings)
    await runner.start_region()
    try:
        yield Deployment(runner=runner)
    finally:
        await runner.stop()
