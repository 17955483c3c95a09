"""Concurrent composes when one of them, or the database, fails midway."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define

from common.errors import Busy, DatabaseUnavailable, OutOfCapacity
from common.guests.compose_request import ComposeRequest
from regiond.machines.arrivals.compose.model import ClaimOutcome
from regiond.operations.model import Operation
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.concurrent_composes import (
    LOCK_SERVER,
    SMALL,
    ComposerDatabase,
    add_hosts,
    all_composed,
    compose_all,
    compose_in_one_round,
    composer_of,
    stages_on,
)
from tests.integration.support.tables import lock_waiters, sql
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from regiond.db.pool import Db


T = TypeVar("T")
WEB = """
    insert into machine (uuid, system_id, hostname, host_id, state, architecture, cores, memory_mib)
    values (gen_random_uuid(), 'abcdef', 'web', $1, 'ready', 'amd64', 1, 1)
"""
CLAIMED = """
    select m.host_id, c.amount, b.amount, o.id
      from machine m join vm_host h on h.id = m.host_id
      join operation o on o.machine_id = m.id and o.host_id = m.host_id and o.system_id = m.system_id
      join claim c on c.machine_id = m.id and c.server_id = h.server_id and (c.resource, c.amount) = ('cores', m.cores)
      join claim b on b.machine_id = m.id and b.server_id = h.server_id
                  and (b.resource, b.amount) = ('memory_mib', m.memory_mib)
     where m.hostname = $1
"""


async def claimed_by(innkeeper: Deployment, operation: Operation) -> tuple[Any, ...]:
    """Returns host, cores and MiB of the operation's machine, on which row and claims agree, and the operation's id."""
    (row,) = await sql(innkeeper, CLAIMED, operation.hostname)
    return tuple(row)


async def test_an_uncommitted_host_name_delays_only_its_own_compose(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    web = ComposeRequest(**SMALL, hostname="web", host_id=hosts["two"])
    others = [ComposeRequest(**SMALL, host_id=host_id) for host_id in (hosts["one"], hosts["three"])]
    async with innkeeper.region.components.database.connection() as db:
        other_region = db.transaction()
        await other_region.start()
        await db.execute(WEB, hosts["one"])
        async with asyncio.timeout(60):
            held = asyncio.create_task(compose_all(innkeeper, web, *others))
            await eventually(lambda: lock_waiters(innkeeper.region.components.database))
            all_composed(await compose_all(innkeeper, *others))
        assert not held.done()
        await other_region.rollback()
    all_composed(await held)


async def test_composes_waiting_for_a_server_hold_one_connection(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, cores=20)
    wanted, other = (ComposeRequest(**SMALL, host_id=hosts[name]) for name in ("one", "two"))
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute(LOCK_SERVER, hosts["one"])
        held = asyncio.create_task(compose_all(innkeeper, *[wanted] * 12))  # more than the pool has connections
        await eventually(lambda: lock_waiters(innkeeper.region.components.database))
        async with asyncio.timeout(60):
            all_composed(await compose_all(innkeeper, other))
        assert await lock_waiters(innkeeper.region.components.database) == 1
    all_composed(await held)


@define
class LostDatabase(ComposerDatabase):
    """Is lost after two commits."""

    commits: int = 0

    async def in_transaction(self, work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
        if self.commits == 2:
            raise DatabaseUnavailable("The database is lost.")
        result: T = await self.database.in_transaction(work, **more)
        self.commits += 1
        return result


async def test_a_committed_compose_returns_its_operation_after_a_failure(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    database = innkeeper.region.components.database
    web = [ComposeRequest(**SMALL, hostname="web", host_id=host_id) for host_id in hosts.values()]
    first = ComposeRequest(**SMALL, host_id=hosts["one"])
    # The others have the same host name, so each is committed individually.
    _, *answers = await compose_in_one_round(innkeeper, first, *web, database=LostDatabase(database))
    assert Counter(type(one) for one in answers) == {Operation: 1, DatabaseUnavailable: 2}
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from operation where kind = 'compose'") == 2


async def test_each_compose_gets_its_own_result(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    requests = [
        ComposeRequest(cores=cores, memory_mib=1024 * cores, storage=str(cores), host_id=host_id)
        for cores, host_id in enumerate(hosts.values(), start=1)
    ]
    _, *answers = await compose_in_one_round(innkeeper, requests[0], *requests)
    for request, answer in zip(requests, all_composed(answers), strict=True):
        expected = (request.host_id, request.cores, request.memory_mib, answer.id)
        assert await claimed_by(innkeeper, answer) == expected
        assert answer.host_id == request.host_id
        assert answer.explanation is not None
        assert answer.explanation["chosen_id"] == request.host_id


async def test_one_of_two_composes_gets_the_last_core(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, cores=1)
    first, last = (ComposeRequest(**SMALL, host_id=hosts[name]) for name in ("one", "two"))
    outcomes: list[str] = []
    _, *answers = await compose_in_one_round(
        innkeeper, first, last, last, unaware=True,
        on_claim={one: partial(outcomes.append, one) for one in ClaimOutcome},
    )  # fmt: skip
    assert {type(one) for one in answers} == {Operation, OutOfCapacity}
    assert sorted(outcomes) == ["lost", "out_of_capacity", "retried", "retried", "won", "won"]


async def test_a_compose_without_a_turn_in_time_is_busy(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    wanted = ComposeRequest(**SMALL, host_id=hosts["one"])
    stages = await stages_on(innkeeper, ComposerDatabase(innkeeper.region.components.database))
    composer = composer_of(innkeeper, stages)
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute(LOCK_SERVER, hosts["one"])
        first = asyncio.create_task(compose_all(innkeeper, wanted, composer=composer))
        await eventually(lambda: lock_waiters(innkeeper.region.components.database))
        stages.reservations.turn_timeout_s = 0.1
        (second,) = await compose_all(innkeeper, wanted, composer=composer)
        assert isinstance(second, Busy)
        assert "one is busy" in str(second)
    all_composed(await first)
    assert len(await innkeeper.region.components.services.operations.list(states=("queued",), caller=None)) == 1
