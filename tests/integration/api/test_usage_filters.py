"""Searches for machines that are idle for a week, and for those at their limit."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.usage.store import Reading, record
from tests.deployment.deployment import Deployment
from tests.integration.metrics.test_usage import measured, measuring
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.tables import sql
from tests.integration.support.web_client import WebClient
from tests.support.waiting import eventually

__all__ = ["client"]

pytestmark = pytest.mark.database

_AGE = """
    update machine_usage
       set measured_since = measured_since - $1::interval, measured_at = measured_at - $1::interval,
           busy_at = busy_at - $1::interval, limit_since = limit_since - $1::interval
"""
_ROWS = "select ctid::text, xmin::text from machine_usage order by machine_id"


LIMITS = {"memory_share": "memory", "space_share": "disk"}


async def pass_by(innkeeper: Deployment, **length: int) -> None:
    """Moves what is remembered to the past."""
    ((name, number),) = length.items()
    await sql(innkeeper, _AGE.replace("$1", f"'{number} {name}'"))


async def found(innkeeper: Deployment, query: str) -> list[str]:
    answer = await innkeeper.send("GET", "machines/", query=[("q", query)])
    return sorted(one["hostname"] for one in answer.json())


async def running(innkeeper: Deployment, *names: str, cores: int = 2) -> int:
    host = await innkeeper.add_simulated(cores=32, memory_mib=65536)
    for name in names:
        await innkeeper.compose(host["id"], hostname=name, cores=cores, memory=1024, power_on="true")
    return int(host["id"])


async def limits(innkeeper: Deployment, name: str) -> list[str]:
    """Of the machine, which its usage has too."""
    (machine,) = (await innkeeper.send("GET", "machines/", query=[("hostname", name)])).json()
    usage = await innkeeper.get(f"machines/{machine['system_id']}/?op=usage")
    assert machine["at_limit"] == usage["at_limit"]
    return list(usage["at_limit"])


async def read(innkeeper: Deployment, host_id: int, **used: tuple[float, float]) -> None:
    """A reading: cores and bytes per second that each machine uses."""
    readings = [
        Reading(host_id=host_id, guest=name, cores_used=cores, rate=rate) for name, (cores, rate) in used.items()
    ]
    async with innkeeper.region.components.database.transaction() as db:
        await record(db, readings)


async def test_a_machine_is_idle_after_a_week_of_readings_without_work(innkeeper: Deployment) -> None:
    host = await running(innkeeper, "quiet", "worker", "mover")
    used: dict[str, Any] = {"quiet": (0.09, 99_999), "worker": (0.1, 0), "mover": (0, 100_000)}
    await read(innkeeper, host, **used)
    assert await found(innkeeper, "is:idle") == []
    for _ in range(15):
        await pass_by(innkeeper, hours=12)
        await read(innkeeper, host, **used)
    assert await found(innkeeper, "is:idle") == ["quiet"]
    assert await found(innkeeper, "-is:idle") == ["mover", "worker"]
    await read(innkeeper, host, quiet=(1, 0))
    assert await found(innkeeper, "is:idle") == []


@pytest.mark.slow
async def test_a_gap_of_a_day_begins_the_week_anew(innkeeper: Deployment) -> None:
    host = await running(innkeeper, "quiet")
    await read(innkeeper, host, quiet=(0, 0))
    await pass_by(innkeeper, days=8)
    assert await found(innkeeper, "is:idle") == [], "nobody knows what it did"
    await read(innkeeper, host, quiet=(0, 0))
    assert await found(innkeeper, "is:idle") == []


async def test_a_machine_that_is_off_is_not_idle(innkeeper: Deployment) -> None:
    host = await running(innkeeper, "quiet")
    await read(innkeeper, host, quiet=(0, 0))
    for _ in range(15):
        await pass_by(innkeeper, hours=12)
        await read(innkeeper, host, quiet=(0, 0))
    (machine,) = await innkeeper.get("machines/")
    await innkeeper.post(f"machines/{machine['system_id']}/", op="power_off", stop_mode="hard")
    assert await found(innkeeper, "is:idle") == []


async def test_a_machine_is_at_its_limit_after_ten_minutes_of_readings(
    innkeeper: Deployment, client: WebClient
) -> None:
    host = await running(innkeeper, "hot", "warm")
    await read(innkeeper, host, hot=(1.8, 0), warm=(1.7, 0))
    assert await found(innkeeper, "is:at_limit") == [], "a moment is no limit"
    await pass_by(innkeeper, minutes=11)
    await read(innkeeper, host, hot=(1.9, 0), warm=(1.9, 0))
    assert await found(innkeeper, "is:at_limit") == ["hot"]
    assert [await limits(innkeeper, name) for name in ("hot", "warm")] == [["cpu"], []]
    shown = await page(client, "vms")
    assert shown.count("at its limit: CPU") == 1
    await read(innkeeper, host, hot=(1.7, 0), warm=(1.9, 0))
    await pass_by(innkeeper, minutes=11)
    assert await found(innkeeper, "is:at_limit") == ["warm"]
    await pass_by(innkeeper, hours=3)
    assert await found(innkeeper, "is:at_limit") == [], "it is not measured any more"


@pytest.mark.parametrize(
    ("shares", "is_found"),
    [
        ({"memory_share": 0.9}, True),
        ({"memory_share": 0.89}, False),
        ({"space_share": 0.95}, True),
        ({"space_share": 0.94}, False),
        ({"memory_share": None, "space_share": None}, False),
    ],
)
async def test_memory_and_space_are_limits_where_the_guest_reports_them(
    innkeeper: Deployment, shares: dict[str, float | None], is_found: bool
) -> None:
    host = await running(innkeeper, "web")
    reading = Reading(host_id=host, guest="web", cores_used=0.1, rate=0.0, **shares)
    for _ in range(2):
        async with innkeeper.region.components.database.transaction() as db:
            await record(db, [reading])
        await pass_by(innkeeper, minutes=11)
    assert await found(innkeeper, "is:at_limit") == (["web"] if is_found else [])
    assert await limits(innkeeper, "web") == [LIMITS[name] for name in shares if is_found]


async def test_a_machine_that_comes_to_another_limit_stays_at_its_limit(innkeeper: Deployment) -> None:
    host = await running(innkeeper, "web")
    for share, expected in ((0.5, []), (0.95, ["cpu", "memory"])):
        reading = Reading(host_id=host, guest="web", cores_used=2, rate=0.0, memory_share=share)
        async with innkeeper.region.components.database.transaction() as db:
            await record(db, [reading])
        assert await limits(innkeeper, "web") == expected
        await pass_by(innkeeper, minutes=11)
    reading = Reading(host_id=host, guest="web", cores_used=0.1, rate=0.0, memory_share=0.95)
    async with innkeeper.region.components.database.transaction() as db:
        await record(db, [reading])
    assert await limits(innkeeper, "web") == ["memory"]


async def test_a_reading_that_says_nothing_new_writes_nothing(innkeeper: Deployment) -> None:
    host = await running(innkeeper, "web", "db")
    used: dict[str, Any] = {"web": (2, 0), "db": (0, 0)}
    await read(innkeeper, host, **used)
    rows = await sql(innkeeper, _ROWS)
    await read(innkeeper, host, **used)
    assert await sql(innkeeper, _ROWS) == rows
    await pass_by(innkeeper, minutes=61)
    before = await sql(innkeeper, _ROWS)
    await read(innkeeper, host, **used)
    assert await sql(innkeeper, _ROWS) != before


@pytest.mark.slow  # waits for the region's round of watches and for samples
async def test_the_region_records_what_its_racks_measure(innkeeper: Deployment) -> None:
    host = await measuring(innkeeper)
    for name in ("busy", "idle"):
        made = await innkeeper.compose(host, hostname=name, cores=1, memory=1024, power_on="true")
        await measured(innkeeper, f"machines/{made['system_id']}/")
    records = innkeeper.region.components.usage_records

    async def recorded() -> bool:
        await records.record()
        return len(await sql(innkeeper, "select from machine_usage")) == 2

    await eventually(recorded)
    rows = await sql(
        innkeeper,
        "select hostname from machine m join machine_usage u on u.machine_id = m.id where u.busy_at is not null",
    )
    assert [row["hostname"] for row in rows] == ["busy"]
