"""A deployment of real processes for many cells, with a proxy between rack and region."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from attrs import define

from tests.deployment.link_proxy import LinkProxy
from tests.deployment.processes import temporary_deployment
from tests.deployment.runner import POSTGRES, RACK, REGION
from tests.faults.cells import Victim
from tests.faults.scenarios.cell_hosts import CellHost, GuestHost
from tests.faults.scenarios.site import Site
from tests.support.waiting import eventually

DAEMONS = {Victim.REGION: REGION, Victim.RACK: RACK, Victim.DATABASE: POSTGRES}
_WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


@define(kw_only=True)
class RealSite(Site):
    """`make_host` returns a host that is not added yet; each cell has one host."""

    proxy: LinkProxy
    make_host: Callable[[RealSite], GuestHost]
    current: GuestHost | None = None
    links_before: int = 0  # the links that the rack had opened when the last one was cut

    def new_host(self) -> GuestHost:
        """The cell's only host."""
        self.current = self.make_host(self)
        return self.current

    def new_lxd_host(self) -> GuestHost:
        return self.new_host()

    async def host(self) -> GuestHost:
        return self.current or await self.add(self.new_host())

    async def refresh_all(self) -> None:
        if self.current is not None and self.current.host_id:
            await self.refresh(self.current)

    async def refresh(self, host: CellHost) -> None:
        """Retries while the deployment recovers."""
        failure: str | None = None

        async def is_refreshed() -> bool:
            nonlocal failure
            failure = await self.refresh_failure(host.path)
            return failure is None

        try:
            await eventually(is_refreshed, every_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{host.name} cannot be refreshed: {failure}") from error

    @asynccontextmanager
    async def locked(self, *tables: str) -> AsyncIterator[asyncpg.Connection[Any]]:
        """Blocks writes to the tables: a transaction that writes waits until the block ends."""
        async with self.deployment.connection() as db:
            await db.execute("begin")
            for table in tables:
                await db.execute(f"lock table {table} in share mode")
            yield db

    async def kill(self, victim: Victim, db: asyncpg.Connection[Any] | None = None) -> None:
        """Kills a process with SIGKILL, cuts the link, or terminates the connections that wait for `db`."""
        if victim in DAEMONS:
            self.deployment.kill(DAEMONS[victim])
        elif victim in (Victim.LINK, Victim.ANSWER):
            self.links_before = self.deployment.processes.links_made()
            self.proxy.cut()
        elif victim is Victim.CONNECTION and db is not None:
            for row in await db.fetch(_WAITING):
                await db.execute("select pg_terminate_backend($1)", row["pid"])
        else:
            raise AssertionError(f"{victim} cannot be killed here")

    async def recover(self, victim: Victim) -> None:
        """Returns when all daemons run and the rack is linked."""
        self.proxy.release()
        processes = self.deployment.processes
        if victim in DAEMONS:
            await self.deployment.restart(DAEMONS[victim])
        if victim in (Victim.LINK, Victim.ANSWER):  # the region may not have noticed the loss yet
            await eventually(lambda: processes.links_made() > self.links_before)
        await eventually(self._is_complete)

    async def _is_complete(self) -> bool:
        return await self.deployment.processes.region_is_ready() and await self.deployment.is_linked()

    async def discrepancies(self) -> list[str]:
        """Problems within the ledger, and what the reconciler finds."""
        found = await self.deployment.get("discrepancies/")
        return [
            *await self.deployment.ledger_problems(),
            *(f"{one['kind']}: {one['name']}: {one['found']}" for one in found),
        ]


async def waits(db: asyncpg.Connection[Any]) -> bool:
    """Whether a transaction waits for a lock, such as one of `db`."""
    return bool(await db.fetch(_WAITING))


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def real_site(
    make_host: Callable[[RealSite], GuestHost], rack_prefix: tuple[str, ...] = ()
) -> AsyncIterator[RealSite]:
    """PostgreSQL, a region, and a rack behind a proxy; all end with the block."""
    with temporary_deployment("innkeeper-faults-", rack_prefix=rack_prefix) as deployment:
        proxy = LinkProxy(region_port=deployment.processes.rpc_port)
        deployment.processes.settings = {"rpc_address": f"127.0.0.1:{proxy.port}"}
        async with proxy.listening():
            await deployment.start()
            yield RealSite(deployment=deployment, proxy=proxy, make_host=make_host)
