"""Tries one cell: runs the scenario to the point, kills the victim, recovers it, and checks the result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from common.errors import InnkeeperError
from tests.faults.cells import Cell, CellResult
from tests.faults.matrix import consistency, kills
from tests.faults.matrix.caller import outcome_of
from tests.faults.matrix.points import Point
from tests.faults.matrix.site import MatrixSite
from tests.faults.matrix.trace import Trace
from tests.faults.scenarios.scenario import Outcome, Scenario, problem
from tests.support.waiting import DEADLINE_S


async def points_of(site: MatrixSite, scenario: Scenario) -> list[Point]:
    """The points that the scenario crosses without a fault. Raises AssertionError if it fails even so."""
    state = await scenario.prepare(site)
    before = consistency.foreign_guests(site)
    async with _traced(site, scenario) as trace:
        outcome = await _outcome(site, scenario, state, trace)
        await trace.crossed()
    faults = await _problems(site, scenario, state, outcome, trace.key)
    faults += before.changes(consistency.foreign_guests(site), except_names=scenario.changed_guests(state))
    assert not faults, f"{scenario.name} without a fault: {faults}"
    await _clear(site, scenario, state)
    return list(trace.points)


async def try_cell(site: MatrixSite, scenario: Scenario, cell: Cell) -> CellResult:
    """An error of the product is a fault of the result, not an exception."""
    state = await scenario.prepare(site)
    before = consistency.foreign_guests(site)
    faults = await consistency.until_quiet(site)
    outcome = Outcome(state="nothing")
    took_s = 0.0
    async with _traced(site, scenario, cell) as trace:
        asking = asyncio.create_task(_outcome(site, scenario, state, trace))
        injected = asyncio.create_task(trace.injected.wait())
        try:
            await asyncio.wait((asking, injected), return_when=asyncio.FIRST_COMPLETED)
            await trace.crossed()
            if trace.injected.is_set():
                await kills.recover(site, cell.victim)
            else:
                faults.append("the point was not reached")
            outcome = await asking
            took_s = time.monotonic() - trace.injected_at if trace.injected.is_set() else 0.0
        except (TimeoutError, InnkeeperError, AssertionError) as error:
            faults.append(f"no outcome within {DEADLINE_S:.0f} s: {type(error).__name__} {error}")
        finally:
            for task in (asking, injected):
                task.cancel()
            await asyncio.gather(asking, injected, return_exceptions=True)
    faults += await _problems(site, scenario, state, outcome, trace.key)
    faults += before.changes(consistency.foreign_guests(site), except_names=scenario.changed_guests(state))
    if not faults:
        await _clear(site, scenario, state)
    text = f"{outcome.state}, {outcome.requests} requests" if outcome.requests > 1 else outcome.state
    return CellResult(cell=cell, outcome=text, recovered_s=took_s, faults=tuple(faults))


@asynccontextmanager
async def _traced(site: MatrixSite, scenario: Scenario, cell: Cell | None = None) -> AsyncIterator[Trace]:
    trace = Trace(key=f"matrix-{uuid4().hex}", after=await site.newest_operation(), kinds=scenario.kinds)
    if cell is not None:
        trace.at, trace.inject = cell.point, partial(kills.kill, site, cell.victim)
    site.instrumentation.trace = trace
    try:
        async with asyncio.timeout(DEADLINE_S):
            await site.instrumentation.refreshes.ended()
        yield trace
    finally:
        trace.end()
        site.instrumentation.trace = None


async def _outcome(site: MatrixSite, scenario: Scenario, state: Any, trace: Trace) -> Outcome:
    async with asyncio.timeout(DEADLINE_S):
        return await outcome_of(site, scenario, state, trace.key)


async def _repeat_problems(site: MatrixSite, scenario: Scenario, state: Any, outcome: Outcome, key: str) -> list[str]:
    """A repeat with the same key, after everything has ended, must be answered with the same operation."""
    if not scenario.keyed:
        return []
    try:
        again = await scenario.submit(site, state, key)
    except InnkeeperError as error:
        return [f"a repeat at the end is rejected: {error}"]
    if again.operation_id is not None and again.operation_id == outcome.operation.get("id"):
        return []
    wanted = outcome.operation.get("system_id") or _system_id(outcome.answer)
    if again.operation_id is None and wanted is not None and wanted == _system_id(again.answer):
        return []
    first, second = (one or "no operation" for one in (outcome.operation.get("id"), again.operation_id))
    return [f"a repeat at the end is answered with {second} and machine {_system_id(again.answer)}, before: {first}"]


def _system_id(answer: Any) -> Any:
    return answer.get("system_id") if isinstance(answer, Mapping) else None


async def _problems(site: MatrixSite, scenario: Scenario, state: Any, outcome: Outcome, key: str) -> list[str]:
    why = outcome.error or outcome.operation.get("error")
    expected = ", ".join(sorted(scenario.ends))
    return [
        *await _repeat_problems(site, scenario, state, outcome, key),
        *problem(f"ended {outcome.state} ({why}); expected: {expected}", when=outcome.state not in scenario.ends),
        *await consistency.problems(site),
        *await scenario.check(site, state, outcome),
    ]


async def _clear(site: MatrixSite, scenario: Scenario, state: Any) -> None:
    """Leaves nothing for the next cell."""
    await scenario.clear(site, state)
    for machine in await site.deployment.get("machines/"):
        await site.deployment.delete(f"machines/{machine['system_id']}/")
