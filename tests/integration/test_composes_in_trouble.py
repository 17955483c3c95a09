"""Composes of one moment when something is wrong with one of them, or with the database in the middle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from common.errors import Busy, DatabaseUnavailable, OutOfCapacity
from regiond.machines import committing
from regiond.machines.committing import Commit, Committer
from regiond.machines.model import ComposeRequest
from regiond.operations.model import Operation
from tests.installation import Installation, installed
from tests.integration.test_composes_together import LOCK_SERVER, SMALL, compose_all, with_hosts
from tests.waiting import eventually

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
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def waiting(made: Installation) -> int:
    async with made.region.parts.database.connection() as db:
        found: int = await db.fetchval(WAITING)
    return found


async def somebody_waits(made: Installation) -> bool:
    return await waiting(made) > 0


async def compose_in_one_round(
    made: Installation, monkeypatch: pytest.MonkeyPatch, first: ComposeRequest, *others: ComposeRequest
) -> list[Operation | BaseException]:
    """The answers of all: `others` come while `first` is being committed, and so share the next transaction."""
    database, all_there, asked = made.region.parts.database, asyncio.Event(), 0
    commit, in_transaction = Committer.commit, database.in_transaction

    async def counted(self: Committer, one: Commit) -> Operation | None:
        nonlocal asked
        asked += 1
        if asked > len(others):
            all_there.set()
        return await commit(self, one)

    async def held(work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
        await all_there.wait()
        return await in_transaction(work, **more)

    monkeypatch.setattr(Committer, "commit", counted)
    monkeypatch.setattr(database, "in_transaction", held)
    beside = asyncio.create_task(compose_all(made, first))
    await eventually(lambda: asked == 1)
    answers = await compose_all(made, *others)
    return [*await beside, *answers]


async def of_operation(made: Installation, operation: Operation) -> tuple[Any, ...]:
    """Host, cores and MiB of the machine of that name by its row and its claims, and its operation; all the same."""
    async with made.region.parts.database.connection() as db:
        (row,) = await db.fetch(CLAIMED, operation.hostname)
    return tuple(row)


async def test_nobody_waits_for_a_name_that_somebody_else_is_about_to_take(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made)
        web = ComposeRequest(**SMALL, hostname="web", host_id=hosts["two"])
        others = [ComposeRequest(**SMALL, host_id=host_id) for host_id in (hosts["one"], hosts["three"])]
        async with made.region.parts.database.connection() as db:
            elsewhere = db.transaction()  # of another region, which is slow to end it
            await elsewhere.start()
            await db.execute(WEB, hosts["one"])
            async with asyncio.timeout(10):
                held = asyncio.create_task(compose_all(made, web, *others))
                await eventually(lambda: somebody_waits(made))
                assert all(isinstance(one, Operation) for one in await compose_all(made, *others))
            assert not held.done()
            await elsewhere.rollback()
        assert all(isinstance(one, Operation) for one in await held)


@pytest.mark.same_sql
async def test_many_who_wait_for_one_server_leave_the_database_to_the_others(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made, cores=20)
        wanted, other = (ComposeRequest(**SMALL, host_id=hosts[name]) for name in ("one", "two"))
        async with made.region.parts.database.transaction() as db:
            await db.execute(LOCK_SERVER, hosts["one"])
            held = asyncio.create_task(compose_all(made, *[wanted] * 12))  # more than there are connections
            await eventually(lambda: somebody_waits(made))
            async with asyncio.timeout(10):
                (answer,) = await compose_all(made, other)
            assert isinstance(answer, Operation)
            assert await waiting(made) == 1
        assert all(isinstance(one, Operation) for one in await held)


@pytest.mark.same_sql
async def test_who_got_an_operation_is_told_of_it_when_the_database_is_lost_for_the_others(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made)
        database, committed = made.region.parts.database, 0
        whole = database.in_transaction

        async def lost_after_two(work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
            nonlocal committed
            if not isinstance(work, partial):  # of something else in the region
                return await whole(work, **more)
            if committed == 2:
                raise DatabaseUnavailable("The database is gone.")
            answer: T = await whole(work, **more)
            committed += 1
            return answer

        monkeypatch.setattr(database, "in_transaction", lost_after_two)
        web = [ComposeRequest(**SMALL, hostname="web", host_id=host_id) for host_id in hosts.values()]
        first = ComposeRequest(**SMALL, host_id=hosts["one"])
        _, *answers = await compose_in_one_round(made, monkeypatch, first, *web)  # committed apart, since of one name
        assert Counter(type(one) for one in answers) == {Operation: 1, DatabaseUnavailable: 2}
        async with database.connection() as db:
            assert await db.fetchval("select count(*) from operation where kind = 'compose'") == 2


@pytest.mark.same_sql
async def test_each_gets_what_it_asked_for_and_no_other(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made)
        asked = [
            ComposeRequest(cores=cores, memory_mib=1024 * cores, storage=str(cores), host_id=host_id)
            for cores, host_id in enumerate(hosts.values(), start=1)
        ]
        _, *answers = await compose_in_one_round(made, monkeypatch, asked[0], *asked)
        for request, answer in zip(asked, answers, strict=True):
            assert isinstance(answer, Operation)
            assert await of_operation(made, answer) == (request.host_id, request.cores, request.memory_mib, answer.id)
            assert answer.host_id == request.host_id
            assert answer.explanation is not None
            assert answer.explanation["chosen_id"] == request.host_id


@pytest.mark.same_sql
async def test_of_two_that_want_the_last_core_of_a_host_one_gets_it(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made, cores=1)
        elsewhere, last = (ComposeRequest(**SMALL, host_id=hosts[name]) for name in ("one", "two"))
        _, *answers = await compose_in_one_round(made, monkeypatch, elsewhere, last, last)
        assert {type(one) for one in answers} == {Operation, OutOfCapacity}


@pytest.mark.same_sql
async def test_who_waits_too_long_for_his_turn_is_told_so_and_nothing_is_made(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made)
        wanted = ComposeRequest(**SMALL, host_id=hosts["one"])
        async with made.region.parts.database.transaction() as db:
            await db.execute(LOCK_SERVER, hosts["one"])
            first = asyncio.create_task(compose_all(made, wanted))
            await eventually(lambda: somebody_waits(made))
            monkeypatch.setattr(committing, "STATEMENT_DEADLINE_S", 0.1)
            (second,) = await compose_all(made, wanted)
            assert isinstance(second, Busy)
            assert "Others have waited for one" in str(second)
        (answer,) = await first
        assert isinstance(answer, Operation)
        assert len(await made.region.parts.services.operations.list(states=("queued",))) == 1
