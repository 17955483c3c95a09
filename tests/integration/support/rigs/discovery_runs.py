"""Discovers simulated hosts and applies discovery runs, without a rack's schedule."""

from __future__ import annotations

from contextlib import closing
from uuid import UUID

from common.hosts.discovery import Discovery
from common.values import DriverType, HostAccess
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from regiond.hosts.discovery.apply import apply_discovery
from regiond.hosts.discovery.model import DiscoveryRun
from regiond.machines.core.guest_changes import MachineGuestChanges
from tests.deployment.deployment import Deployment


async def discover(innkeeper: Deployment, host_id: int) -> Discovery:
    """Returns what the driver finds on the simulated host.

    Ends the region's own refreshes: one that an event has requested would undo what the test applies.
    """
    await innkeeper.region.components.schedule.stop()
    async with innkeeper.region.components.database.connection() as db:
        installation_id: UUID = await db.fetchval("select id from installation")
    parameters = await innkeeper.get(f"vm-hosts/{host_id}/", op="parameters")
    access = HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=parameters["power_address"],
        installation_id=installation_id,
    )
    with closing(SimulatedDriverFactory(innkeeper.folder / "simulated").open(access)) as driver:
        return driver.discover()


async def apply(innkeeper: Deployment, host_id: int, found: Discovery) -> None:
    """Applies `found` as a discovery run that starts now."""
    database = innkeeper.region.components.database
    async with database.connection() as db:
        began_at = await db.fetchval("select clock_timestamp()")
    run = DiscoveryRun(began_at=began_at, discovery=found)
    machines = MachineGuestChanges()
    await database.in_transaction(lambda db: apply_discovery(db, host_id, DriverType.SIMULATED, run, machines))
