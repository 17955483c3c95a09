"""Several clones of one machine at once: one operation, which makes each clone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_clones import clone, composed, written
from tests.integration.machines.disks.test_disk_changes import path
from tests.integration.machines.disks.test_disk_moves import write
from tests.support.rejections import outcomes
from tests.support.waiting import eventually


async def clones(innkeeper: Deployment, machine: Any, count: int, **fields: Any) -> Any:
    """The operation of several clones, when it has ended."""
    begun = await innkeeper.post(path(machine), op="clone", count=count, **fields)
    await innkeeper.ended(begun["id"])
    return await innkeeper.get(f"operations/{begun['id']}/")


@pytest.mark.slow
async def test_several_clones_are_one_operation(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    write(innkeeper)
    ended = await clones(innkeeper, source, 5, hostname="Copy-2", cores=1)  # names are in lower case
    assert (ended["kind"], ended["state"], ended["result"]["succeeded"]) == ("bulk", "succeeded", 5)
    made = [one for one in await innkeeper.get("machines/") if one["hostname"] != "web"]
    assert sorted(one["hostname"] for one in made) == [f"copy-{number}" for number in range(2, 7)]
    assert {(one["status_name"], one["cpu_count"]) for one in made} == {("Allocated", 1)}
    children = await innkeeper.get(f"operations/?parent={ended['id']}")
    assert sorted((one["kind"], one["system_id"]) for one in children) == sorted(
        ("compose", one["system_id"]) for one in made
    )
    assert written(innkeeper) == 12
    assert await innkeeper.discrepancies() == []


@pytest.mark.slow
async def test_several_clones_without_a_name_have_two_words_each(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    assert (await clones(innkeeper, source, 2))["state"] == "succeeded"
    names = {one["hostname"] for one in await innkeeper.get("machines/")} - {"web"}
    assert [len(name.split("-")) for name in names] == [2, 2]


async def test_a_repeat_makes_no_further_clones(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    found = [
        await innkeeper.send(
            "POST", path(source), op="clone", fields={"count": "2", "hostname": "copy"},
            headers={"Idempotency-Key": "twice"},
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [one.status for one in found] == [202, 202]
    assert found[0].location == found[1].location
    await innkeeper.ended(found[0].json()["id"])
    assert {one["hostname"] for one in await innkeeper.get("machines/")} == {"web", "copy-1", "copy-2"}


@pytest.mark.slow
async def test_clones_that_do_not_fit_stop_no_others(innkeeper: Deployment) -> None:
    source = await composed(innkeeper, pools="local:30,nvme:20")  # 22 and 15 GB are left
    plan = await innkeeper.post(path(source), op="clone", count=4, hostname="copy", dry_run="true")
    assert [one["host"] for one in plan["placements"]] == ["sim", "sim"]
    ended = await clones(innkeeper, source, 4, hostname="copy")
    assert (ended["state"], ended["result"]) == (
        "failed", {"succeeded": 2, "failed": 2, "cancelled": 0, "not_begun": 0},
    )  # fmt: skip
    assert ended["error"]["message"].startswith("2 of 4 machines were not composed. copy-")
    assert "local" in ended["error"]["message"]
    assert len(await innkeeper.get("machines/")) == 3
    assert await innkeeper.discrepancies() == []


async def test_the_dry_run_counts_clones_together_against_the_quota(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    await innkeeper.post("quotas/", user="admin", machines=3)
    two = await innkeeper.post(path(source), op="clone", count=2, dry_run="true")
    three = await innkeeper.post(path(source), op="clone", count=3, dry_run="true")
    assert (two["refused"], len(two["placements"])) == (None, 2)
    assert "machines" in three["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("dry_run", ["true", "false"])
async def test_what_no_clone_can_have_begins_none(innkeeper: Deployment, dry_run: str) -> None:
    source = await composed(innkeeper)

    async def refused(**fields: Any) -> str:
        (answer,) = await outcomes([innkeeper.post(path(source), op="clone", **fields)])
        return answer

    more = {"dry_run": dry_run}
    assert "63" in await refused(count=2, hostname="w" * 63, **more)
    await clone(innkeeper, source, "copy-2")
    assert "copy-2" in await refused(count=3, hostname="copy", **more)
    assert "20" in await refused(count=21, **more)
    assert "only 16 cores" in await refused(count=2, cores=999)
    await innkeeper.post(path(source), op="power_on")
    assert "Shut it down first" in await refused(count=2, **more)
    assert [one for one in await innkeeper.get("operations/") if one["kind"] == "bulk"] == []


@pytest.mark.slow
async def test_a_cancelled_series_begins_no_further_clones(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    with innkeeper.simulated().hold("copy content of guest"):
        begun = await innkeeper.post(path(source), op="clone", count=6, hostname="copy")
        await eventually(lambda: innkeeper.simulated().is_holding())
        await innkeeper.post(f"operations/{begun['id']}/", op="cancel")
    assert await innkeeper.ended(begun["id"]) == "cancelled"
    ended = await innkeeper.get(f"operations/{begun['id']}/")
    made = await innkeeper.get("machines/")
    assert "not composed" in str(ended)
    assert len(made) - 1 == ended["result"]["succeeded"] < 6
    assert await innkeeper.discrepancies() == []
