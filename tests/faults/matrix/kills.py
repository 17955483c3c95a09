"""Kills each victim at a point, and recovers it."""

from __future__ import annotations

import asyncio

import asyncpg

from common.errors import HostUnreachable, LinkLost
from tests.deployment.runner import RACK, REGION
from tests.faults.cells import Victim
from tests.faults.matrix.points import Place, Side
from tests.faults.matrix.site import MatrixSite
from tests.faults.matrix.trace import Crossing

OUTAGE_S = 0.2  # of hypervisor and database: long enough that a call meets it


class Killed(BaseException):
    """Ends a thread of a rack that was killed; like SIGKILL, it cannot be caught."""


async def kill(site: MatrixSite, victim: Victim, crossing: Crossing) -> BaseException | None:
    """Returns the error to raise at the point, if any. Does not return in a region that was killed."""
    return await _KILL[victim](site, crossing)


async def recover(site: MatrixSite, victim: Victim) -> None:
    """Replaces a killed daemon, or ends the outage."""
    if victim is Victim.REGION:
        await site.deployment.restart(REGION)
        await site.until_linked()
    elif victim is Victim.RACK:
        await site.deployment.restart(RACK)
    elif victim is Victim.HOST:
        await asyncio.sleep(OUTAGE_S)
        site.instrumentation.unreachable.clear()
    elif victim is Victim.DATABASE:
        await asyncio.sleep(OUTAGE_S)
        await site.db_proxy.open()


async def _region(site: MatrixSite, crossing: Crossing) -> None:
    site.deployment.kill(REGION)
    if not crossing.in_thread:
        suspended = asyncio.get_running_loop().create_future()  # cancelled when the region is replaced
        site.deployment.in_process.suspended.append(suspended)
        await suspended


async def _rack(site: MatrixSite, crossing: Crossing) -> BaseException | None:
    site.deployment.kill(RACK)
    return Killed() if crossing.in_thread else None


async def _link(site: MatrixSite, _: Crossing) -> None:
    for link in site.deployment.region.components.listener.all_links:
        link.abort()


async def _answer(site: MatrixSite, crossing: Crossing) -> BaseException:
    if crossing.point.place is Place.HOST:
        return HostUnreachable(f"the connection was lost after {crossing.point.label}")
    await _link(site, crossing)
    return LinkLost("the connection was lost before the answer")


async def _host(site: MatrixSite, crossing: Crossing) -> BaseException | None:
    """The host of the operation; every host while there is no operation."""
    names = [*site.shared, *site.temporary]
    named = await site.host_of_newest()
    site.instrumentation.unreachable.update([named] if named in names else names)
    return HostUnreachable("the hypervisor was killed") if crossing.in_thread else None


async def _connection(site: MatrixSite, crossing: Crossing) -> BaseException | None:
    await site.db.execute("select pg_terminate_backend($1)", crossing.connection.get_server_pid())
    if crossing.point.side is Side.BEFORE:
        return None  # the commit fails by itself
    return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


async def _database(site: MatrixSite, _: Crossing) -> None:
    site.db_proxy.shut()


_KILL = {
    Victim.REGION: _region,
    Victim.RACK: _rack,
    Victim.LINK: _link,
    Victim.ANSWER: _answer,
    Victim.HOST: _host,
    Victim.CONNECTION: _connection,
    Victim.DATABASE: _database,
}
