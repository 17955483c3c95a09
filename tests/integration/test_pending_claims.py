"""Composes count claims that are not committed yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from common.compose_request import ComposeRequest
from common.errors import WrongState
from regiond.db.pool import Database
from regiond.machines.compose import candidate_store, placement_queries
from regiond.operations.model import Operation
from tests.deployment.deployment import Deployment
from tests.integration.concurrent_composes import SMALL, add_hosts, compose_all, compose_in_one_round

if TYPE_CHECKING:
    from regiond.db.pool import Db

T = TypeVar("T")
MANY = 40
LARGE: dict[str, Any] = {
    "cores": 48, "memory_mib": 131072, "numa_nodes": 2, "hugepages_mib": 65536, "hugepage_size_mib": 1024,
    "virtual_functions": "2x48", "pools": "default:500", "networks": "lan:10.1.0.0/24,dmz:10.2.0.0/24:100",
}  # fmt: skip


class QueryCounts:
    """Counts the queries of named hosts, and the reservations in each transaction."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
        self.queries = 0
        self.batches: list[int] = []
        read, in_transaction = candidate_store.read_candidates, database.in_transaction

        async def counted_read(*arguments: Any, **options: Any) -> Any:
            self.queries += 1
            return await read(*arguments, **options)

        async def counted_transaction(work: Callable[[Db], Awaitable[T]], **options: Any) -> T:
            if isinstance(work, partial) and "batch" in work.keywords:
                self.batches.append(len(work.keywords["batch"]))
            return await in_transaction(work, **options)

        monkeypatch.setattr(placement_queries, "read_candidates", counted_read)
        monkeypatch.setattr(database, "in_transaction", counted_transaction)


async def large_host(innkeeper: Deployment) -> int:
    host_id: int = (await innkeeper.add_simulated("large", **LARGE))["id"]
    await innkeeper.region.components.engine.stop()
    return host_id


async def machine_claims(database: Database, resource: str) -> list[tuple[str, int]]:
    async with database.connection() as db:
        rows = await db.fetch("select key, amount from claim where resource = $1 and machine_id is not null", resource)
    return [tuple(row) for row in rows]


@pytest.mark.same_sql
async def test_concurrent_pinned_composes_on_one_host_need_few_batches(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_id = await large_host(innkeeper)
    counts = QueryCounts(monkeypatch, innkeeper.region.components.database)
    request = ComposeRequest(
        host_id=host_id, pin_cores=1, memory_mib=1024, huge_pages_backed=True, storage="1",
        interfaces="eth0:vid=100,type=physical",
    )  # fmt: skip
    results = await compose_all(innkeeper, *[request] * MANY)
    assert [result for result in results if not isinstance(result, Operation)] == []
    cores = await machine_claims(innkeeper.region.components.database, "pinned_core")
    assert len({core for core, _ in cores}) == len(cores) == MANY
    assert sum(pages for _, pages in await machine_claims(innkeeper.region.components.database, "huge_pages")) == MANY
    functions = await machine_claims(innkeeper.region.components.database, "virtual_functions")
    assert (len(functions), {amount for _, amount in functions}) == (MANY, {1})
    assert counts.queries <= 4
    assert len(counts.batches) <= 5, counts.batches


@pytest.mark.same_sql
async def test_placement_during_a_commit_avoids_its_host(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    anywhere = ComposeRequest(**SMALL)
    first, *others = await compose_in_one_round(innkeeper, anywhere, anywhere, anywhere)
    assert isinstance(first, Operation)
    assert {one.host_id for one in others if isinstance(one, Operation)} == {*hosts.values()} - {first.host_id}


@pytest.mark.same_sql
@pytest.mark.parametrize("is_named", [True, False])
async def test_capacity_of_a_failed_commit_goes_to_a_waiting_compose(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, *, is_named: bool
) -> None:
    host_id = (await innkeeper.add_simulated(cores=1))["id"]
    await innkeeper.region.components.engine.stop()
    last = ComposeRequest(**SMALL, host_id=host_id if is_named else None)
    database = innkeeper.region.components.database
    in_transaction = database.in_transaction

    async def failing(work: Callable[[Db], Awaitable[T]], **options: Any) -> T:
        if isinstance(work, partial) and any(one.hostname == "lost" for one in work.keywords.get("batch", ())):
            raise WrongState("The address is taken.")
        return await in_transaction(work, **options)

    monkeypatch.setattr(database, "in_transaction", failing)
    lost = ComposeRequest(**SMALL, host_id=host_id, hostname="lost")
    async with asyncio.timeout(20):
        first, second = await compose_in_one_round(innkeeper, lost, last)
    assert isinstance(first, WrongState)
    assert isinstance(second, Operation)
