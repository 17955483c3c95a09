"""Claims for several machines in one transaction, their lock order, and locks of repairs."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import OutOfCapacity
from regiond.db.pool import Database
from regiond.hosts import store as host_store
from regiond.ledger.claims import claim_batch, lock_hosts
from regiond.ledger.model import Demand
from regiond.ledger.store import lock_server
from regiond.reconciler import locks
from tests.integration.support.ledger_fixture import CORES, LedgerFixture
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

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


async def claim_in_batch(ledger: LedgerFixture, *demands: Demand) -> set[int]:
    """Returns the ids of the hosts whose demands were claimed."""
    async with ledger.database.transaction() as db:
        await lock_hosts(db, [demand.host_id for demand in demands], wait=True)
        return {*(await claim_batch(db, demands)).servers}


async def test_a_storage_pool_of_another_server_is_rejected(database: Database, ledger: LedgerFixture) -> None:
    """The host refers to another server since its last discovery run."""
    async with database.connection() as db:
        other = await db.fetchrow(_ELSEWHERE)
    assert other is not None
    on_other_pool = Demand(host_id=ledger.hosts[0], cores=1, memory_mib=1, storage_bytes={other["pool_id"]: 5})
    on_other_server = Demand(host_id=other["host_id"], cores=1, memory_mib=1)
    with pytest.raises(OutOfCapacity, match="storage pool"):
        await claim_in_batch(ledger, on_other_pool, on_other_server)
    assert await claim_in_batch(ledger, on_other_server) == {other["host_id"]}


async def test_a_batch_on_one_server_must_fit_the_lowest_ratio(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(1, 2.0, 2.0)
    low, high = (Demand(host_id=host_id, cores=CORES // 2 + 1, memory_mib=1) for host_id in ledger.hosts)
    assert await claim_in_batch(ledger, low, high) == set(), "a batch that does not fit changes nothing"
    assert await ledger.claimed() == (0, 0)
    assert await claim_in_batch(ledger, low) == {low.host_id}
    assert await claim_in_batch(ledger, low) == set()
    assert await claim_in_batch(ledger, high) == {high.host_id}


async def test_repair_and_discovery_of_a_host_never_deadlock(database: Database, ledger: LedgerFixture) -> None:
    """Discovery locks the host, then its server; a repair locks the server first."""
    host_id = ledger.hosts[0]

    async def repair() -> None:
        async with database.transaction() as db:
            await locks.lock_host(db, host_id)

    async with database.transaction() as discovery:
        await host_store.lock_existence(discovery, host_id)
        async with asyncio.timeout(60):
            await repair()
        await lock_server(discovery, ledger.server_id)
        repaired = asyncio.create_task(repair())
        await eventually(ledger.is_lock_awaited)
    await repaired


async def test_a_host_is_not_removed_during_a_repair(database: Database, ledger: LedgerFixture) -> None:
    host_id = ledger.hosts[0]

    async def remove() -> None:
        async with database.transaction() as db:
            await host_store.lock(db, host_id)

    async with database.transaction() as db:
        await locks.lock_host(db, host_id)
        removed = asyncio.create_task(remove())
        await eventually(ledger.is_lock_awaited)
    await removed


@pytest.mark.parametrize("reserved", ["reserved_cores = 2", "reserved_memory_mib = 2"])
async def test_capacity_reserved_for_the_host_is_never_claimed(ledger: LedgerFixture, reserved: str) -> None:
    await ledger.execute("delete from guest")
    await ledger.execute("update server set cores = 4, memory_mib = 4, huge_memory_mib = 0")
    ratios = "cpu_over_commit_ratio = 1, memory_over_commit_ratio = 1"
    await ledger.execute(f"update vm_host set {ratios}, {reserved}")  # noqa: S608  # constants of this test
    claimed = [await ledger.claim(0, 1, 1) is not None for _ in range(4)]
    assert claimed == [True, True, False, False]
