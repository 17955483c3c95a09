"""A locked machine is neither deleted, released nor changed, by whichever way, until it is unlocked."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import kinds_of_events
from tests.postgresql.database import execute
from tests.support.rejections import rejection
from tests.support.waiting import settle


@pytest.fixture
def machine(innkeeper: Deployment) -> Any:
    """A locked machine that allocation composed, so that its release would destroy it."""

    async def locked() -> Any:
        await innkeeper.add_simulated()
        machine = await innkeeper.post("machines/", op="allocate")
        await make_deployed(innkeeper, machine)
        return await innkeeper.post(f"machines/{machine['system_id']}/", op="lock", comment="month's end")

    return settle(locked())


async def make_deployed(innkeeper: Deployment, machine: Any) -> None:
    """As a deployment leaves it; only such machines can be locked."""
    statement = "update machine set state = 'deployed' where system_id = $1"
    await execute(innkeeper.region.components.database, statement, machine["system_id"])


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def test_a_machine_is_locked_and_unlocked(innkeeper: Deployment, machine: Any) -> None:
    assert machine["locked"] is True
    unlocked = await innkeeper.post(path(machine), op="unlock")
    assert unlocked["locked"] is False
    error = await rejection(innkeeper.post(path(machine), op="unlock"))
    assert (error.details["status"], error.message) == (409, f"{machine['hostname']} is not locked.")
    events = await kinds_of_events(innkeeper)
    assert [events.count(kind) for kind in ("machine_locked", "machine_unlocked")] == [1, 1]
    assert (await innkeeper.delete(path(machine))).status == 204


async def test_a_machine_that_is_locked_is_not_locked_again(innkeeper: Deployment, machine: Any) -> None:
    error = await rejection(innkeeper.post(path(machine), op="lock"))
    assert (error.details["status"], error.message) == (409, f"{machine['hostname']} is already locked.")
    assert (await kinds_of_events(innkeeper)).count("machine_locked") == 1


async def test_a_locked_machine_is_not_deleted(innkeeper: Deployment, machine: Any) -> None:
    with pytest.raises(InnkeeperError, match=f"is locked.*machine unlock {machine['system_id']}"):
        await innkeeper.delete(path(machine))
    assert innkeeper.simulated_guests() == [machine["hostname"]]


async def test_a_locked_machine_is_not_released(innkeeper: Deployment, machine: Any) -> None:
    with pytest.raises(InnkeeperError, match="is locked"):
        await innkeeper.post(path(machine), op="release")
    with pytest.raises(InnkeeperError, match="is locked"):
        await innkeeper.post("machines/", op="release", machines=machine["system_id"])
    after = await innkeeper.get(path(machine))
    assert (after["status_name"], after["owner"]) == ("Deployed", "admin")
    assert innkeeper.simulated_guests() == [machine["hostname"]]


async def test_a_host_is_not_removed_with_a_locked_machine(innkeeper: Deployment, machine: Any) -> None:
    host = await innkeeper.compose(machine["pod"]["id"], hostname="other", cores=1, memory=1024)
    with pytest.raises(InnkeeperError, match=rf"{machine['hostname']} \({machine['system_id']}\)"):
        await innkeeper.delete(f"vm-hosts/{machine['pod']['id']}/", decompose="true")
    assert sorted(innkeeper.simulated_guests()) == sorted(["other", machine["hostname"]])
    assert (await innkeeper.get(path(host)))["status_name"] == "Ready"


async def test_the_lock_returns_with_a_removed_host(innkeeper: Deployment, machine: Any) -> None:
    await innkeeper.delete(f"vm-hosts/{machine['pod']['id']}/")
    await innkeeper.add_simulated()
    (returned,) = await innkeeper.get("machines/")
    assert (returned["system_id"], returned["locked"]) == (machine["system_id"], True)


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("power_off", {}), ("power_on", {}), ("power_cycle", {}), ("mark_broken", {}), ("mark_fixed", {}),
        ("set_owner_data", {"project": "blue"}), ("set_workload_annotations", {"project": "blue"}),
    ],
)  # fmt: skip
async def test_a_locked_machine_is_not_changed(innkeeper: Deployment, machine: Any, op: str, fields: Any) -> None:
    before = await innkeeper.get(path(machine))
    error = await rejection(innkeeper.post(path(machine), op=op, **fields))
    assert (error.details["status"], "machine unlock" in error.message) == (403, True)
    assert await innkeeper.get(path(machine)) == before


async def test_a_locked_machine_refuses_put(innkeeper: Deployment, machine: Any) -> None:
    error = await rejection(innkeeper.put(path(machine), description="mine", hostname="other"))
    assert (error.details["status"], "is locked" in error.message) == (403, True)
    disk = machine["blockdevice_set"][0]["id"]
    error = await rejection(innkeeper.post(f"nodes/{machine['system_id']}/blockdevices/{disk}/", op="add_tag", tag="x"))
    assert (error.details["status"], "is locked" in error.message) == (403, True)
    await innkeeper.post(path(machine), op="unlock")
    assert (await innkeeper.put(path(machine), description="mine"))["description"] == "mine"


async def test_a_bulk_action_leaves_a_locked_machine(innkeeper: Deployment, machine: Any) -> None:
    bulk = await innkeeper.post("machines/", op="bulk", action="power_off", machines=machine["system_id"])
    assert await innkeeper.ended(bulk["id"]) == "failed"
