"""Where the parts of the rack are put together."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from common.rpc.connection import Limits, Link
from common.systemd_notify import ServiceManager
from common.values import DriverType
from rackd import identity as identities
from rackd.commands import HostCommands
from rackd.drivers.contract import Opening
from rackd.drivers.libvirt.opening import LibvirtOpening
from rackd.drivers.lxd.opening import LxdOpening
from rackd.drivers.registry import Drivers
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.executor import Executor
from rackd.fences import Fences
from rackd.identity import Identity
from rackd.region_link import RegionLinks
from rackd.settings import RackSettings
from rackd.watching import Watching

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

STOP_GRACE_S = 3.0


def make_drivers(settings: RackSettings) -> Drivers:
    openings: dict[DriverType, Opening] = {DriverType.LIBVIRT: LibvirtOpening(), DriverType.LXD: LxdOpening()}
    absent: dict[DriverType, str] = {}
    if settings.simulated_hosts is None:
        absent[DriverType.SIMULATED] = "the setting simulated_hosts names no folder"
    else:
        openings[DriverType.SIMULATED] = SimulatedHosts(settings.simulated_hosts)
    return Drivers(openings, absent=absent)


class RackService:
    """One rack, from the moment it knows who it is."""

    def __init__(self, settings: RackSettings, identity: Identity, manager: ServiceManager) -> None:
        drivers = make_drivers(settings)
        self._manager = manager
        self._executor = Executor(drivers.open, max_calls=settings.max_calls, hung_after=settings.hung_after)
        commands = HostCommands(
            executor=self._executor, drivers=drivers, fences=Fences(), watching=Watching(self._executor)
        )
        self._links = RegionLinks(
            identity,
            commands.handlers(),
            save=partial(identities.save, settings.identity_folder),
            on_link=self._links_changed,
            on_lost=self._links_changed,
            limits=Limits.of_silence(settings.link_silence_s),
        )
        self._types = drivers.types

    @property
    def status(self) -> str:
        identity = self._links.identity
        return f"Rack {identity.name}: linked to {self._links.connected} of {len(identity.addresses)} regions."

    async def serve(self) -> None:
        """Until cancelled. Ready at once: a region that is down is no reason to start the rack again."""
        watchdog = asyncio.create_task(self._manager.keep_alive(), name="watchdog")
        self._links.start()
        identity = self._links.identity
        log.info("rack_started", rack=identity.name, rack_id=identity.rack_id, drivers=self._types)
        self._manager.ready(self.status)
        try:
            await asyncio.Event().wait()
        finally:
            self._manager.stopping()
            await self._links.stop()
            await self._executor.stop(grace_s=STOP_GRACE_S)
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)
            log.info("rack_stopped", rack=identity.name)

    async def _links_changed(self, _: Link) -> None:
        self._manager.status(self.status)
