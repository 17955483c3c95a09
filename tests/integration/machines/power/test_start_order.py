"""When machines start with their host, among the others that do."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_boot_disk import messages
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import as_user
from tests.support.rejections import rejected_status
from tests.support.waiting import eventually

ON_HOST = "select priority, delay_s from start_order"


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", **fields)
    return await innkeeper.get(path(machine))


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def shown(innkeeper: Deployment, machine: Any) -> tuple[int, int]:
    found = (await innkeeper.get(path(machine)))["start_order"]
    return found["priority"], found["delay"]


async def set_order(innkeeper: Deployment, machine: Any, **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="set_start_order", **fields)


async def test_priority_and_delay_are_set_on_the_host(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    assert await shown(innkeeper, machine) == (0, 0)
    answer = await set_order(innkeeper, machine, priority=10)
    assert answer["start_order"] == {"priority": 10, "delay": 0}
    await set_order(innkeeper, machine, delay=30)
    assert (await shown(innkeeper, machine), rows(innkeeper, ON_HOST)) == ((10, 30), [(10, 30)])
    await refresh(innkeeper, machine["pod"])
    assert await shown(innkeeper, machine) == (10, 30)
    assert (await messages(innkeeper, "start_order_set"))[0] == (
        "web starts with sim by priority 10, 30 seconds before the next one"
    )


async def test_a_dry_run_changes_nothing(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    plan = await set_order(innkeeper, machine, priority=1, delay=1, dry_run="true")
    assert "a lower priority than 1, and 1 second pass" in plan["effects"][0]
    assert (await shown(innkeeper, machine), rows(innkeeper, ON_HOST)) == ((0, 0), [])


async def test_a_cancelled_change_is_undone(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await set_order(innkeeper, machine, priority=5)
    with innkeeper.held("set start order"):
        operation = await innkeeper.begin(path(machine), op="set_start_order", priority="9")
        await eventually(innkeeper.simulated().is_holding)
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    assert (await shown(innkeeper, machine), rows(innkeeper, ON_HOST)) == ((5, 0), [(5, 0)])


async def test_it_is_for_administrators_and_within_bounds(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    assert await rejected_status(set_order(ann, machine, priority=1)) == 403
    for fields in ({}, {"priority": 1001}, {"delay": 3601}, {"priority": -1}):
        assert await rejected_status(set_order(innkeeper, machine, **fields)) == 400
    assert rows(innkeeper, ON_HOST) == []
