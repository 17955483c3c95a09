"""A client that repeats a rejected request writes one operation, whose explanation is that of the last rejection."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.support.rejections import rejection

_AN_HOUR_AGO = "update operation set created_at = created_at - interval '61 minutes'"


async def reject_allocation(deployment: Deployment, **fields: Any) -> int:
    """Returns the id of the operation that the error names."""
    error = await rejection(deployment.post("machines/", op="allocate", **fields))
    assert error.details["status"] == 409, error
    (found,) = await newest(deployment)
    return int(found["id"])


async def newest(deployment: Deployment) -> list[Any]:
    answer = await deployment.send("GET", "operations/", query=[("limit", "1")])
    found: list[Any] = answer.json()
    return found


async def composes(deployment: Deployment) -> list[tuple[str | None, int]]:
    """User and number of rejections of each rejected operation, oldest first."""
    return [
        (one["username"], one["rejections"])
        for one in reversed(await deployment.get("operations/"))
        if one["kind"] == "compose"
    ]


async def test_equal_rejections_of_a_user_are_one_operation(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=4)
    ann = await as_user(innkeeper, "ann")
    for _ in range(3):
        await reject_allocation(innkeeper, cpu_count=5)
    await reject_allocation(innkeeper, cpu_count=6)
    await reject_allocation(ann, cpu_count=5)
    assert await composes(innkeeper) == [("admin", 3), ("admin", 1), ("ann", 1)]


async def test_the_explanation_is_that_of_the_last_rejection(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=4)
    first = await reject_allocation(innkeeper, cpu_count=5)
    before = await innkeeper.get(f"operations/{first}/")
    await innkeeper.compose(host["id"], cores=1, memory=1024)
    await rejection(innkeeper.post("machines/", op="allocate", cpu_count=5, mem=2048))
    await rejection(innkeeper.post("machines/", op="allocate", cpu_count=5))
    after = await innkeeper.get(f"operations/{first}/")
    assert "needs 5 cores, 4 free" in before["error"]["message"]
    assert "needs 5 cores, 3 free" in after["error"]["message"]
    assert "needs 5 cores, 3 free" in after["explanation"]["rejected"][0]["reasons"][0]
    assert (before["rejections"], after["rejections"]) == (1, 2)
    assert before["last_rejected_at"] < after["last_rejected_at"]
    assert after["created_at"] == before["created_at"]


async def test_concurrent_equal_rejections_are_one_operation(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=4)
    await asyncio.gather(*(rejection(innkeeper.post("machines/", op="allocate", cpu_count=9)) for _ in range(12)))
    assert await composes(innkeeper) == [("admin", 12)]


async def test_a_rejection_after_an_hour_is_another_operation(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=4)
    first = await reject_allocation(innkeeper, cpu_count=5)
    await sql(innkeeper, _AN_HOUR_AGO)
    second = await reject_allocation(innkeeper, cpu_count=5)
    assert await reject_allocation(innkeeper, cpu_count=5) == second
    assert first != second
    assert await composes(innkeeper) == [("admin", 1), ("admin", 2)]


async def test_an_operation_that_was_not_rejected_has_no_rejections(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=4)
    await innkeeper.compose(host["id"], cores=1, memory=1024)
    (operation,) = await newest(innkeeper)
    assert (operation["rejections"], operation["last_rejected_at"]) == (0, None)
