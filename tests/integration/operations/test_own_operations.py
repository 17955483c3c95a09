"""A region begins the operations that its requests open by itself; what it does not begin is as any other operation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.words.operation_kinds import OperationKind
from regiond.operations import engine, intent_store, lease_store
from regiond.operations.engine import MAX_RUNNING_PER_HOST, Engine
from regiond.operations.lease_store import Acquired
from regiond.operations.model import Operation, OperationState
from regiond.operations.service import Operations
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.scripted_operations import lapse_lease
from tests.support.waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.database

_STATES = "select state, count(*) from operation where kind = 'compose' group by 1"


async def test_what_a_request_opens_begins_without_a_search_for_work(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await innkeeper.add_simulated()

    async def nothing(*_: Any, **__: Any) -> Acquired:
        return Acquired(operations=(), due_in_s=None)

    monkeypatch.setattr(lease_store, "acquire", nothing)
    machine = f"machines/{(await innkeeper.compose(host['id'], hostname='web'))['system_id']}/"
    assert innkeeper.simulated_guests() == ["web"]
    assert (await innkeeper.post(machine, op="power_on"))["power_state"] == "on"
    await innkeeper.delete(machine)
    assert innkeeper.simulated_guests() == []


async def test_others_work_begins_while_requests_open_operations(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search for it waits for them, as they may have opened what is new, but not to their end."""
    host = await innkeeper.add_simulated()
    acquire, searches = lease_store.acquire, list[Acquired]()

    async def noted(*arguments: Any, **options: Any) -> Acquired:
        searches.append(await acquire(*arguments, **options))
        return searches[-1]

    monkeypatch.setattr(engine, "POLL_S", 600.0)
    monkeypatch.setattr(lease_store, "acquire", noted)
    innkeeper.region.components.engine.wake()
    await eventually(lambda: bool(searches))  # the next one is 600 s later
    operations = innkeeper.region.components.services.operations
    begun = asyncio.Event()

    async def slowly() -> int:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    opening = asyncio.create_task(operations.idempotent(None, slowly))
    await begun.wait()
    async with innkeeper.region.components.database.transaction() as db:
        other = await intent_store.insert(
            db, OperationKind.REFRESH, host_id=host["id"], host_name="sim", request={}, max_failures=1
        )
    assert (await operations.wait(other, timeout_s=DEADLINE_S)).state is OperationState.SUCCEEDED
    opening.cancel()


async def test_a_compose_that_its_process_never_began_is_taken_over(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process was killed after the commit: nobody knows of the operation until its lease lapses."""
    host = await innkeeper.add_simulated()
    with monkeypatch.context() as killed:
        killed.setattr(Engine, "begin", lambda *_: None)
        operation_id = await innkeeper.begin_compose(host["id"], hostname="web", cores=1)
        held = await innkeeper.get(f"operations/{operation_id}/")
    assert (held["state"], held["attempt"]) == ("running", 1)
    await lapse_lease(innkeeper.region.components.database, operation_id)
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert (await innkeeper.get(f"operations/{operation_id}/"))["attempt"] == 2
    assert innkeeper.simulated_guests() == ["web"]


async def test_callers_get_an_operation_that_ended_here_as_its_row_is(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, ended = await innkeeper.add_simulated(), list[Operation]()
    on_ended = Operations.on_ended

    def noted(operations: Operations, operation: Operation) -> None:
        ended.append(operation)
        on_ended(operations, operation)

    monkeypatch.setattr(Operations, "on_ended", noted)
    machine = f"machines/{(await innkeeper.compose(host['id'], hostname='web'))['system_id']}/"
    assert (await innkeeper.post(machine, op="power_on"))["power_state"] == "on"
    assert [one.kind for one in ended] == ["compose", "power"]
    operations = innkeeper.region.components.services.operations
    for one in ended:
        assert await operations.wait(one.id, timeout_s=1.0) is one
        assert await operations.read(one.id) == one


async def test_composes_beyond_the_places_of_a_host_are_queued(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=64, memory_mib=2**17)
    with innkeeper.held("create volume"):
        operations = [await innkeeper.begin_compose(host["id"], cores=1) for _ in range(MAX_RUNNING_PER_HOST + 2)]
        states = {row["state"]: row["count"] for row in await innkeeper.fetch(_STATES)}
        assert states == {"running": MAX_RUNNING_PER_HOST, "queued": 2}
    assert {await innkeeper.ended(operation) for operation in operations} == {"succeeded"}
