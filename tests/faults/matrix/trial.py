"""One cell: the scenario runs up to the point, somebody dies there and comes back, and all has to be well again."""

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
from tests.faults.matrix import deaths
from tests.faults.matrix.caller import ask_until_told
from tests.faults.matrix.checking import faults_of_world, until_quiet
from tests.faults.matrix.held import foreign
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.points import Point
from tests.faults.matrix.scenario import Scenario, Told
from tests.faults.matrix.trace import Trace

ENDS_WITHIN_S = 15.0


async def points_of(inn: Inn, scenario: Scenario) -> list[Point]:
    """What the scenario crosses when nobody dies. Raises AssertionError when it goes wrong even so."""
    ground = await scenario.prepare(inn)
    before = foreign(inn)
    async with traced(inn, scenario) as trace:
        told = await _told(inn, scenario, ground, trace)
    faults = await _faults(inn, scenario, ground, told, trace.key)
    faults += before.differs(foreign(inn), but=scenario.foreign(ground))
    assert not faults, f"{scenario.name} without a fault: {faults}"
    await _clear(inn, scenario, ground)
    return list(trace.points)


async def try_cell(inn: Inn, scenario: Scenario, cell: Cell) -> CellResult:
    """Never raises for what the product does wrong: that is a fault of the result."""
    ground = await scenario.prepare(inn)
    before = foreign(inn)
    faults = await until_quiet(inn)
    told = Told(state="nothing")
    took_s = 0.0
    async with traced(inn, scenario, cell) as trace:
        asking = asyncio.create_task(_told(inn, scenario, ground, trace))
        struck = asyncio.create_task(trace.struck.wait())
        try:
            await asyncio.wait((asking, struck), return_when=asyncio.FIRST_COMPLETED)
            if trace.struck.is_set():
                await deaths.comes_back(inn, cell.victim)
            else:
                faults.append("the point was not reached")
            told = await asking
            took_s = time.monotonic() - trace.struck_at if trace.struck.is_set() else 0.0
        except (TimeoutError, InnkeeperError, AssertionError) as error:
            faults.append(f"not told within {ENDS_WITHIN_S:.0f} s: {type(error).__name__} {error}")
        finally:
            for task in (asking, struck):
                task.cancel()
            await asyncio.gather(asking, struck, return_exceptions=True)
    faults += await _faults(inn, scenario, ground, told, trace.key)
    faults += before.differs(foreign(inn), but=scenario.foreign(ground))
    if not faults:
        await _clear(inn, scenario, ground)
    outcome = f"{told.state}, asked {told.asked} times" if told.asked > 1 else told.state
    return CellResult(cell=cell, outcome=outcome, recovered_s=took_s, faults=tuple(faults))


@asynccontextmanager
async def traced(inn: Inn, scenario: Scenario, cell: Cell | None = None) -> AsyncIterator[Trace]:
    trace = Trace(key=f"matrix-{uuid4().hex}", after=await inn.newest_operation(), kinds=scenario.kinds)
    if cell is not None:
        trace.at, trace.strike = cell.point, partial(deaths.strike, inn, cell.victim)
    inn.watched.trace = trace
    try:
        yield trace
    finally:
        trace.ended = True
        inn.watched.trace = None


async def _told(inn: Inn, scenario: Scenario, ground: Any, trace: Trace) -> Told:
    async with asyncio.timeout(ENDS_WITHIN_S):
        return await ask_until_told(inn, scenario, ground, trace.key)


async def _told_anew(inn: Inn, scenario: Scenario, ground: Any, told: Told, key: str) -> list[str]:
    """Whoever asks once more with the key is told of the same operation, though all is over."""
    if not scenario.keyed:
        return []
    try:
        again = await scenario.ask(inn, ground, key)
    except InnkeeperError as error:
        return [f"who asks again in the end is refused: {error}"]
    if again.operation_id is not None and again.operation_id == told.operation.get("id"):
        return []
    wanted = told.operation.get("system_id") or _system_id(told.answer)
    if again.operation_id is None and wanted is not None and wanted == _system_id(again.answer):
        return []
    first, second = (one or "no operation" for one in (told.operation.get("id"), again.operation_id))
    return [f"who asks again in the end is told of {second} and machine {_system_id(again.answer)}, before of {first}"]


def _system_id(answer: Any) -> Any:
    return answer.get("system_id") if isinstance(answer, Mapping) else None


async def _faults(inn: Inn, scenario: Scenario, ground: Any, told: Told, key: str) -> list[str]:
    """Of the outcome and of the world."""
    faults = await _told_anew(inn, scenario, ground, told, key)
    if told.state not in scenario.ends:
        why = told.refusal or told.operation.get("error")
        faults.append(f"ended {told.state} ({why}); declared: {', '.join(sorted(scenario.ends))}")
    faults += await faults_of_world(inn)
    return [*faults, *await scenario.check(inn, ground, told)]


async def _clear(inn: Inn, scenario: Scenario, ground: Any) -> None:
    """Nothing stays for the next cell."""
    await scenario.clear(inn, ground)
    for machine in await inn.installed.get("machines/"):
        await inn.installed.delete(f"machines/{machine['system_id']}/")
