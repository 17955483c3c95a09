"""A host that changes its zone while a machine is added to it: the machine is in the new zone, whichever is first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from attrs import define

from common.guests.compose_request import ComposeRequest
from regiond.groups import store
from regiond.hosts.store import move_to_zone
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.concurrent_composes import (
    SMALL,
    ComposerDatabase,
    all_composed,
    compose_all,
    composer_of,
    stages_on,
)
from tests.integration.support.rigs.deadlocks import loses
from tests.integration.support.tables import lock_waiters, sql
from tests.postgresql.database import fetchval
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from regiond.db.pool import Db

pytestmark = pytest.mark.database
T = TypeVar("T")
_WAITING = "select array(select xact_start from pg_stat_activity where wait_event_type = 'Lock')"
_ZONES = "select z.name, m.zone_chosen from machine m join zone z on z.id = m.zone_id"


async def host_in_east(innkeeper: Deployment, **more: Any) -> int:
    for zone in ("east", "west"):
        await innkeeper.post("zones/", name=zone)
    host = await innkeeper.add_simulated(cores=16, **more)
    await innkeeper.put(f"vm-hosts/{host['id']}/", zone="east")
    return int(host["id"])


@define
class UncommittedDatabase(ComposerDatabase):
    """Commits only when `proceed` is set; `written` says that all is written."""

    written: asyncio.Event
    proceed: asyncio.Event

    async def in_transaction(self, work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
        async def held(db: Db) -> T:
            result = await work(db)
            self.written.set()
            await self.proceed.wait()
            return result

        return await self.database.in_transaction(held, **more)


async def started(innkeeper: Deployment, request: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Starts the request, which either ends or waits for a lock."""
    task = asyncio.create_task(request)
    database = innkeeper.region.components.database

    async def is_settled() -> bool:
        return task.done() or await lock_waiters(database) > 0

    await eventually(is_settled)
    return task


async def zones(innkeeper: Deployment) -> list[tuple[str, bool]]:
    return [tuple(row) for row in await sql(innkeeper, _ZONES)]


async def move_to_west(db: Db, host_id: int) -> None:
    (zone,) = await db.fetch("select id from zone where name = 'west'")
    await move_to_zone(db, [host_id], zone["id"])


async def test_a_compose_during_a_change_of_the_zone_gets_the_new_one(innkeeper: Deployment) -> None:
    host_id = await host_in_east(innkeeper)
    async with innkeeper.region.components.database.transaction() as db:
        await move_to_west(db, host_id)
        composing = await started(innkeeper, compose_all(innkeeper, ComposeRequest(**SMALL, host_id=host_id)))
    all_composed(await composing)
    assert await zones(innkeeper) == [("west", False)]


async def test_a_change_of_the_zone_waits_for_a_compose(innkeeper: Deployment) -> None:
    host_id = await host_in_east(innkeeper)
    database = UncommittedDatabase(innkeeper.region.components.database, asyncio.Event(), asyncio.Event())
    composer = composer_of(innkeeper, await stages_on(innkeeper, database))
    request = ComposeRequest(**SMALL, host_id=host_id)
    composing = asyncio.create_task(compose_all(innkeeper, request, composer=composer))
    await database.written.wait()
    moving = await started(innkeeper, innkeeper.put(f"vm-hosts/{host_id}/", zone="west"))
    database.proceed.set()
    all_composed(await composing)
    await moving
    assert await zones(innkeeper) == [("west", False)]


async def test_a_compose_during_the_deletion_of_a_zone_gets_the_other(innkeeper: Deployment) -> None:
    host_id = await host_in_east(innkeeper)
    database = innkeeper.region.components.database
    waiting: set[datetime] = set()  # the starts of transactions that wait: of the batch, then of the compose alone

    async def waits_alone() -> bool:
        waiting.update(await fetchval(database, _WAITING))
        return len(waiting) > 1 or any(datetime.now(UTC) - one > timedelta(milliseconds=500) for one in waiting)

    async with database.transaction() as db:
        ids = {row["name"]: row["id"] for row in await db.fetch("select name, id from zone")}
        await store.lock_servers(db, ids["east"])
        await store.lock_zones(db, ids.values())
        composing = asyncio.create_task(compose_all(innkeeper, ComposeRequest(**SMALL, host_id=host_id)))
        await eventually(waits_alone)
        await store.move_members(db, ids["east"], ids["west"])
        await store.delete_zone(db, ids["east"])
    all_composed(await composing)
    assert await zones(innkeeper) == [("west", False)]


async def test_an_adoption_during_a_change_of_the_zone_gets_the_new_one(innkeeper: Deployment) -> None:
    host_id = await host_in_east(innkeeper, guests=1)
    async with innkeeper.region.components.database.transaction() as db:
        await move_to_west(db, host_id)
        adopting = await started(innkeeper, innkeeper.post(f"vm-hosts/{host_id}/", op="adopt", all="true"))
    await adopting
    assert await zones(innkeeper) == [("west", False)]


async def test_a_choice_of_the_old_zone_during_a_change_stays(innkeeper: Deployment) -> None:
    """The host is in east when the choice is made, and in west when it is written."""
    host_id = await host_in_east(innkeeper)
    composed = await innkeeper.compose(host_id, memory=1024, zone="west")
    async with innkeeper.region.components.database.transaction() as db:
        await move_to_west(db, host_id)
        choosing = await started(innkeeper, innkeeper.put(f"machines/{composed['system_id']}/", zone="east"))
    await choosing
    assert await zones(innkeeper) == [("east", True)]


async def test_a_change_of_the_zone_that_loses_a_deadlock_is_retried(innkeeper: Deployment) -> None:
    """With a transaction that locks a machine and then its server."""
    host_id = await host_in_east(innkeeper)
    await innkeeper.compose(host_id, memory=1024)

    async def move() -> None:
        await innkeeper.put(f"vm-hosts/{host_id}/", zone="east")
        await innkeeper.put(f"vm-hosts/{host_id}/", zone="west")

    while not await loses(innkeeper.region.components.database, move(), held="machine", wanted="server"):
        pass
    assert await zones(innkeeper) == [("west", False)]
