"""How each victim dies at a point, and how it comes back."""

from __future__ import annotations

import asyncio

import asyncpg

from common.errors import HostUnreachable, LinkLost
from tests.faults.cells import Victim
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.points import Side, Where
from tests.faults.matrix.trace import Crossing

AWAY_S = 0.2  # hypervisor and database: long enough for a call to meet it


class Killed(BaseException):
    """Ends a thread of a rack that was killed. Nobody catches it, as nobody catches SIGKILL."""


async def strike(inn: Inn, victim: Victim, met: Crossing) -> BaseException | None:
    """What is to be raised where it happened, if anything. Never comes back in a region that has died."""
    return await _DIES[victim](inn, met)


async def comes_back(inn: Inn, victim: Victim) -> None:
    """After `strike`: the dead are replaced, what was away is there again."""
    if victim is Victim.REGION:
        await inn.bury_region()
        await inn.start_region()
        await inn.until_linked()
    elif victim is Victim.RACK:
        await inn.bury_rack()
        await inn.start_rack()
    elif victim is Victim.HOST:
        await asyncio.sleep(AWAY_S)
        inn.watched.away.clear()
    elif victim is Victim.DATABASE:
        await asyncio.sleep(AWAY_S)
        await inn.door.open()


async def _region(inn: Inn, met: Crossing) -> None:
    inn.kill_region()
    if not met.in_thread:
        standing = asyncio.get_running_loop().create_future()  # it runs no further: it is cancelled when it is buried
        inn.stopped.append(standing)
        await standing


async def _rack(inn: Inn, met: Crossing) -> BaseException | None:
    inn.kill_rack()
    return Killed() if met.in_thread else None


async def _link(inn: Inn, _: Crossing) -> None:
    for link in inn.all_links():
        link._carrier.abort()  # type: ignore[attr-defined]  # that of a connection has it


async def _answer(inn: Inn, met: Crossing) -> BaseException:
    if met.point.where is Where.HOST:
        return HostUnreachable(f"the connection was lost after {met.point.label}")
    await _link(inn, met)
    return LinkLost("the connection was lost before the answer")


async def _host(inn: Inn, met: Crossing) -> BaseException | None:
    """The one that the operation is about; every one while there is none."""
    every = [*inn.hosts, *inn.passing]
    named = await inn.host_of_newest()
    inn.watched.away.update([named] if named in every else every)
    return HostUnreachable("the hypervisor's daemon has died") if met.in_thread else None


async def _connection(inn: Inn, met: Crossing) -> BaseException | None:
    pid = met.connection.get_server_pid()
    await inn.db.execute("select pg_terminate_backend($1)", pid)
    if met.point.side is Side.BEFORE:
        return None  # the commit finds out by itself
    return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


async def _database(inn: Inn, _: Crossing) -> None:
    inn.door.shut()


_DIES = {
    Victim.REGION: _region,
    Victim.RACK: _rack,
    Victim.LINK: _link,
    Victim.ANSWER: _answer,
    Victim.HOST: _host,
    Victim.CONNECTION: _connection,
    Victim.DATABASE: _database,
}
