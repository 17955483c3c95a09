"""Room taken for several machines in one transaction: each of what its own server has, and in one order of locks."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import OutOfCapacity
from regiond.db.pool import Database
from regiond.hosts import store as host_store
from regiond.ledger.store import lock_server
from regiond.ledger.taking import Ask, lock_hosts, take
from regiond.reconciler import mend_store
from tests.integration.ledger_ground import CORES, Ground, prepare
from tests.waiting import eventually

_ELSEWHERE = """
    with other as (
        insert into server (identity, architecture, hypervisor_version, cores, memory_mib)
        values ('other', 'amd64', '1', 8, 8192) returning id
    ), host as (
        insert into vm_host (name, driver, address, server_id, state, system_id)
        select 'c', 'simulated', 'c', id, 'ready', 'c' from other returning id
    ), pool as (
        insert into storage_pool (server_id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes)
        select id, 'd', 'd', 'dir', '/', 100, 0 from other returning id
    )
    select host.id as host_id, pool.id as pool_id from host, pool
"""


async def taken(ground: Ground, *asks: Ask) -> set[int]:
    """The hosts that gave all that was asked of them."""
    async with ground.database.transaction() as db:
        await lock_hosts(db, [ask.host_id for ask in asks], wait=True)
        return {*(await take(db, asks)).servers}


async def test_a_pool_of_another_server_gives_nothing_also_when_that_server_is_asked_too(database: Database) -> None:
    """A host that has become another server since it was looked at."""
    ground = await prepare(database)
    async with database.connection() as db:
        other = await db.fetchrow(_ELSEWHERE)
    assert other is not None
    astray = Ask(host_id=ground.hosts[0], cores=1, memory_mib=1, storage_bytes={other["pool_id"]: 5})
    there = Ask(host_id=other["host_id"], cores=1, memory_mib=1)
    with pytest.raises(OutOfCapacity, match="storage pool"):
        await taken(ground, astray, there)
    assert await taken(ground, there) == {other["host_id"]}


async def test_hosts_of_one_server_get_together_no_more_than_the_lowest_ratio_allows(database: Database) -> None:
    ground = await prepare(database)
    await ground.set_ratios(1, 2.0, 2.0)
    low, high = (Ask(host_id=host_id, cores=CORES // 2 + 1, memory_mib=1) for host_id in ground.hosts)
    assert await taken(ground, low, high) == set(), "what does not fit is tried one by one, and changes nothing here"
    assert await ground.claimed() == (0, 0)
    assert await taken(ground, low) == {low.host_id}
    assert await taken(ground, low) == set()
    assert await taken(ground, high) == {high.host_id}


async def test_a_mend_of_a_host_and_a_look_at_it_never_wait_for_each_other_in_a_circle(database: Database) -> None:
    """A look keeps the host and then waits for its server; a mend has the server when it comes to the host."""
    ground = await prepare(database)
    host_id = ground.hosts[0]

    async def mend() -> None:
        async with database.transaction() as db:
            await mend_store.lock_host(db, host_id)

    async with database.transaction() as look:
        await host_store.keep(look, host_id)
        async with asyncio.timeout(10):
            await mend()
        await lock_server(look, ground.server_id)
        mended = asyncio.create_task(mend())
        await eventually(ground.somebody_waits)
    await mended


async def test_nobody_removes_a_host_that_is_mended(database: Database) -> None:
    ground = await prepare(database)
    host_id = ground.hosts[0]

    async def remove() -> None:
        async with database.transaction() as db:
            await host_store.lock(db, host_id)

    async with database.transaction() as db:
        await mend_store.lock_host(db, host_id)
        removed = asyncio.create_task(remove())
        await eventually(ground.somebody_waits)
    await removed


@pytest.mark.parametrize("reserved", ["reserved_cores = 2", "reserved_memory_mib = 2"])
async def test_what_is_reserved_for_the_host_is_never_claimed(database: Database, reserved: str) -> None:
    ground = await prepare(database)
    await ground.execute("delete from guest")
    await ground.execute("update server set cores = 4, memory_mib = 4, huge_memory_mib = 0")
    ratios = "cpu_over_commit_ratio = 1, memory_over_commit_ratio = 1"
    await ground.execute(f"update vm_host set {ratios}, {reserved}")  # noqa: S608  # words of this test's own
    made = [await ground.claim(0, 1, 1, {}) is not None for _ in range(4)]
    assert made == [True, True, False, False]
