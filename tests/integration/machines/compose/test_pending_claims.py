"""Composes count claims that are not committed yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from attrs import define, evolve, field

from common.errors import WrongState
from common.guests.compose_request import ComposeRequest
from regiond.db.pool import Database
from regiond.machines.arrivals.compose.model import ValidatedCompose
from regiond.machines.arrivals.compose.requirements import Validator
from regiond.machines.arrivals.compose.reservation import Reservation
from regiond.machines.values.requests import ComposeIntent
from regiond.operations.model import Operation
from tests.deployment.deployment import Deployment
from tests.doubles.signatures import in_place_of
from tests.integration.support.rigs.concurrent_composes import (
    SMALL,
    ComposerDatabase,
    add_hosts,
    all_composed,
    compose_all,
    compose_in_one_round,
    composer_of,
    stages_on,
)

if TYPE_CHECKING:
    from regiond.db.pool import Db


T = TypeVar("T")
MANY = 40
LARGE: dict[str, Any] = {
    "cores": 48, "memory_mib": 131072, "numa_nodes": 2, "hugepages_mib": 65536, "hugepage_size_mib": 1024,
    "virtual_functions": "2x48", "pools": "default:500", "networks": "lan:10.1.0.0/24,dmz:10.2.0.0/24:100",
}  # fmt: skip


@define
class CountingDatabase(ComposerDatabase):
    """Counts the queries of placement, and the reservations in each transaction."""

    queries: int = 0
    batches: list[int] = field(factory=list)

    def connection(self) -> AbstractAsyncContextManager[Db]:
        self.queries += 1
        return self.database.connection()

    async def in_transaction(self, work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
        self.batches.append(len(batch_of(work)))
        return await self.database.in_transaction(work, **more)


@define
class RejectingDatabase(ComposerDatabase):
    """Rejects every transaction that composes a machine named `lost`."""

    async def in_transaction(self, work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
        if any(one.hostname == "lost" for one in batch_of(work)):
            raise WrongState("The address is taken.")
        return await self.database.in_transaction(work, **more)


@define
class Together:
    """The stage `validate`, which no compose leaves before all have entered it."""

    validator: Validator
    all_of_them: asyncio.Barrier

    async def validate(self, intent: ComposeIntent, **more: Any) -> ValidatedCompose:
        validated = await self.validator.validate(intent, **more)
        await self.all_of_them.wait()
        return validated


def batch_of(work: Any) -> Sequence[Reservation]:
    """Returns the reservations that the transaction writes."""
    return cast("Sequence[Reservation]", work.keywords["batch"])


async def large_host(innkeeper: Deployment) -> int:
    host_id: int = (await innkeeper.add_simulated("large", **LARGE))["id"]
    await innkeeper.region.components.engine.stop()
    return host_id


async def machine_claims(database: Database, resource: str) -> list[tuple[str, int]]:
    async with database.connection() as db:
        rows = await db.fetch("select key, amount from claim where resource = $1 and machine_id is not null", resource)
    return [tuple(row) for row in rows]


async def test_concurrent_pinned_composes_on_one_host_need_few_batches(innkeeper: Deployment) -> None:
    host_id = await large_host(innkeeper)
    database = innkeeper.region.components.database
    together = Together((await stages_on(innkeeper, ComposerDatabase(database))).validator, asyncio.Barrier(MANY))
    counted = CountingDatabase(database)
    stages = evolve(await stages_on(innkeeper, counted), validator=in_place_of(Validator, together))
    composer = composer_of(innkeeper, stages)
    request = ComposeRequest(
        host_id=host_id, pin_cores=1, memory_mib=1024, huge_pages_backed=True, storage="1",
        interfaces="eth0:vid=100,type=physical",
    )  # fmt: skip
    all_composed(await compose_all(innkeeper, *[request] * MANY, composer=composer))
    cores = await machine_claims(database, "pinned_core")
    assert len({core for core, _ in cores}) == len(cores) == MANY
    assert sum(pages for _, pages in await machine_claims(database, "huge_pages")) == MANY
    functions = await machine_claims(database, "virtual_functions")
    assert (len(functions), {amount for _, amount in functions}) == (MANY, {1})
    assert counted.queries <= 4
    assert len(counted.batches) <= 5, counted.batches


async def test_placement_during_a_commit_avoids_its_host(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    anywhere = ComposeRequest(**SMALL)
    composed = all_composed(await compose_in_one_round(innkeeper, anywhere, anywhere, anywhere))
    assert {one.host_id for one in composed} == {*hosts.values()}


@pytest.mark.parametrize("is_named", [True, False])
async def test_capacity_of_a_failed_commit_goes_to_a_waiting_compose(innkeeper: Deployment, *, is_named: bool) -> None:
    host_id = (await innkeeper.add_simulated(cores=1))["id"]
    await innkeeper.region.components.engine.stop()
    last = ComposeRequest(**SMALL, host_id=host_id if is_named else None)
    lost = ComposeRequest(**SMALL, host_id=host_id, hostname="lost")
    async with asyncio.timeout(60):
        database = RejectingDatabase(innkeeper.region.components.database)
        first, second = await compose_in_one_round(innkeeper, lost, last, database=database)
    assert isinstance(first, WrongState)
    assert isinstance(second, Operation)
