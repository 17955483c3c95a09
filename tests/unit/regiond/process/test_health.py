"""The health of a region: which part stops it, deadlines, and one check at a time."""

from __future__ import annotations

import asyncio

from common.errors import DatabaseUnavailable
from regiond.process.health import DEADLINE_S, HealthCheck
from regiond.wiring.health import RACKS_WITHIN_S, awaited_racks
from tests.support.clock import in_no_time
from tests.support.waiting import eventually


async def fine() -> str | None:
    return None


async def empty() -> str | None:
    return "No rack is linked to this region."


async def lost() -> str | None:
    raise DatabaseUnavailable("The database cannot be reached.")


async def silent() -> str | None:
    await asyncio.Event().wait()
    return None


async def test_only_a_required_part_makes_a_region_not_ready() -> None:
    health = await HealthCheck({"database": fine}, {"racks": empty}).check()
    assert (health.status, health.not_ready) == ("degraded", None)
    health = await HealthCheck({"database": lost}, {"racks": empty}).check()
    assert (health.status, health.not_ready) == ("not ready", "The database cannot be reached.")
    assert [(one.name, one.status) for one in health.parts] == [("database", "failed"), ("racks", "degraded")]
    assert (await HealthCheck({"database": fine}, {"racks": fine}).check()).status == "ready"


async def test_a_silent_part_has_a_problem_after_the_deadline() -> None:
    check = HealthCheck({"database": silent, "schema": silent}, {})
    health = await in_no_time(check.check(), step_s=DEADLINE_S / 2)
    assert [one.problem for one in health.parts] == [
        "The database has not answered for 5 s.",
        "The schema has not answered for 5 s.",
    ]


async def test_many_callers_share_one_check_and_none_stops_it() -> None:
    begun: list[bool] = []
    release = asyncio.Event()

    async def counted() -> str | None:
        begun.append(True)
        await release.wait()
        return None

    check = HealthCheck({"database": counted}, {})
    callers = [asyncio.ensure_future(check.check()) for _ in range(5)]
    await eventually(lambda: begun == [True])
    callers[0].cancel()
    release.set()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {one.status for one in found[1:] if not isinstance(one, BaseException)} == {"ready"}
    assert len(begun) == 1
    await check.check()
    assert len(begun) == 2


async def test_a_region_has_started_once_and_within_a_limit() -> None:
    now, waits = [0.0], [True]

    async def awaits() -> bool:
        return waits[0]

    first, late = (awaited_racks(awaits, clock=lambda: now[0]) for _ in range(2))
    assert await first() == "The racks of the other regions have not connected to this one yet."
    waits[0] = False
    assert await first() is None
    waits[0] = True  # its rack has gone again
    assert await first() is None
    assert await late() is not None
    now[0] = RACKS_WITHIN_S + 1
    assert await late() is None
