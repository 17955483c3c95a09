"""Concurrent composes on three hosts, and a composer of the test that makes them share a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import uuid4

from attrs import define, evolve, field

from common.guests.compose_request import ComposeRequest
from regiond.db.pool import Database
from regiond.machines.arrivals.clones.service import Templates
from regiond.machines.arrivals.compose.model import (
    NOT_COUNTED,
    OnClaim,
    PlacedCompose,
    ReservationRequest,
    ValidatedCompose,
)
from regiond.machines.arrivals.compose.placement_queries import PlacementQueries
from regiond.machines.arrivals.compose.reservation import Reservations
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.arrivals.compose.stages import ComposeStages, build_stages
from regiond.operations.model import Operation
from regiond.racks.service import read_installation_id
from tests.deployment.deployment import Deployment
from tests.doubles.signatures import in_place_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from regiond.db.pool import Db

T = TypeVar("T")
HOSTS = ("one", "two", "three")
LOCK_HOST = "select 1 from vm_host where id = $1 for update"  # as a refresh or a removal does
LOCK_SERVER = "select 1 from server s join vm_host h on h.server_id = s.id where h.id = $1 for update of s"
SMALL: dict[str, Any] = {"cores": 1, "memory_mib": 1024, "storage": "1"}


@define
class ComposerDatabase:
    """The region's database; a subclass changes what the composer's transactions do."""

    database: Database

    def connection(self) -> AbstractAsyncContextManager[Db]:
        return self.database.connection()

    def transaction(self) -> AbstractAsyncContextManager[Db]:
        return self.database.transaction()

    async def in_transaction(self, work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
        return await self.database.in_transaction(work, **more)


@define
class DelayedDatabase(ComposerDatabase):
    """Transactions wait until `proceed` is set."""

    inner: ComposerDatabase
    proceed: asyncio.Event

    async def in_transaction(self, work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
        await self.proceed.wait()
        return await self.inner.in_transaction(work, **more)


@define
class Round:
    """The stages `place` and `reserve` of composes that share a transaction.

    Sets `is_complete` once `expected` composes have been submitted for reservation, or found no capacity for now. If
    they are `unaware`, all but the first are placed before any of them claims: none knows of another.
    """

    queries: PlacementQueries
    reservations: Reservations
    expected: int
    is_complete: asyncio.Event
    unaware: bool = False
    placed: list[ValidatedCompose] = field(factory=list)
    submitted: list[ValidatedCompose] = field(factory=list)
    _all_placed: asyncio.Event = field(factory=asyncio.Event)
    _turn: asyncio.Lock = field(factory=asyncio.Lock)

    async def place(self, validated: ValidatedCompose) -> PlacedCompose | None:
        if not self.unaware or not self.placed:
            result = await self.queries.place(validated)
            self._add(self.placed, validated)
        else:
            async with self._turn:  # a batch would be placed sequentially, each with the claims of those before it
                result = await self.queries.place(validated)
            self._add(self.placed, validated)
            await self._all_placed.wait()
        if result is None:
            self._add(self.submitted, validated)
        return result

    async def reserve(self, request: ReservationRequest) -> Operation | None:
        self._add(self.submitted, request.placed.validated)
        return await self.reservations.reserve(request)  # reaches the batch without giving way to another task

    def _add(self, those: list[ValidatedCompose], validated: ValidatedCompose) -> None:
        if all(one is not validated for one in those):
            those.append(validated)
        for event, reached in ((self._all_placed, self.placed), (self.is_complete, self.submitted)):
            if len(reached) >= self.expected:
                event.set()


async def add_hosts(innkeeper: Deployment, **more: Any) -> dict[str, int]:
    """Adds three hosts and stops the engine, so that operations stay queued; returns the ids by name."""
    found = {name: (await innkeeper.add_simulated(name, **more))["id"] for name in HOSTS}
    await innkeeper.region.components.engine.stop()
    return found


async def stages_on(
    innkeeper: Deployment, database: ComposerDatabase, on_claim: OnClaim = NOT_COUNTED
) -> ComposeStages:
    """Builds stages like those of the region, on another database."""
    components = innkeeper.region.components
    services: Any = components.services
    racks = SimpleNamespace(racks=tuple(components.link_supervisor.connected))
    async with components.database.connection() as db:
        installation_id = await read_installation_id(db)
    return build_stages(
        in_place_of(Database, database), services.hosts, services.groups, cast(Any, racks),
        installation_id=installation_id, strategy="spread", on_claim=on_claim,
    )  # fmt: skip


def composer_of(innkeeper: Deployment, stages: ComposeStages) -> Composer:
    components = innkeeper.region.components
    return Composer(
        components.database,
        components.services.operations,
        cast(Any, SimpleNamespace(racks=())),
        stages,
        Templates(components.database, uuid4()),
    )


async def compose_all(
    innkeeper: Deployment, *requests: ComposeRequest, composer: Composer | None = None
) -> list[Operation | BaseException]:
    """Starts these composes concurrently, by default with the region's composer; returns the result of each."""
    composer = composer or innkeeper.region.components.services.composer
    started = (composer.start_compose(innkeeper.admin, request) for request in requests)
    return await asyncio.gather(*started, return_exceptions=True)


def all_composed(results: Iterable[object]) -> list[Operation]:
    """Returns the operations of composes that must all have succeeded."""
    composed = list(results)
    assert [one for one in composed if not isinstance(one, Operation)] == []
    return cast("list[Operation]", composed)


async def compose_in_one_round(
    innkeeper: Deployment,
    first: ComposeRequest,
    *others: ComposeRequest,
    database: ComposerDatabase | None = None,
    on_claim: OnClaim = NOT_COUNTED,
    unaware: bool = False,
) -> list[Operation | BaseException]:
    """Returns all results: `others` arrive while `first` is being committed, and so share the next transaction.

    If they are `unaware`, each is placed as if there were no other.
    """
    inner, proceed = database or ComposerDatabase(innkeeper.region.components.database), asyncio.Event()
    stages = await stages_on(innkeeper, DelayedDatabase(inner.database, inner, proceed), on_claim)
    shared = Round(stages.queries, stages.reservations, 1 + len(others), proceed, unaware)
    stages = evolve(
        stages,
        queries=in_place_of(PlacementQueries, shared),
        reservations=in_place_of(Reservations, shared),
    )
    composer = composer_of(innkeeper, stages)
    leading = asyncio.create_task(compose_all(innkeeper, first, composer=composer))
    await eventually(lambda: len(shared.submitted) == 1)
    results = await compose_all(innkeeper, *others, composer=composer)
    return [*await leading, *results]
