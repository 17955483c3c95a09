"""`op=deploy` of a ready machine allocates it to the caller first, by the rules of `op=allocate`."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.support.rejections import rejection


async def ready(innkeeper: Deployment) -> tuple[int, str]:
    """Returns a new host, and the system id of a ready machine on it."""
    await add_image(innkeeper)
    host = await innkeeper.add_simulated(cores=8, boot="fails")
    return host["id"], (await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="web"))["system_id"]


async def deploy(innkeeper: Deployment, system_id: str, **fields: Any) -> Any:
    return await innkeeper.post(f"machines/{system_id}/", op="deploy", **fields)


async def test_the_allocation_is_recorded_like_any_other(innkeeper: Deployment) -> None:
    _, system_id = await ready(innkeeper)
    ann = await as_user(innkeeper, "ann")
    with innkeeper.held("write root disk"):
        deploying = await deploy(ann, system_id, agent_name="juju", comment="x")
    assert [deploying[name] for name in ("owner", "agent_name", "status_name")] == ["ann", "juju", "Deploying"]
    events = (await innkeeper.get("events/", op="query"))["events"]
    found = {one["kind"]: one for one in events if one["kind"] in ("machine_allocated", "machine_deploying")}
    allocated = found["machine_allocated"]
    assert (allocated["description"], allocated["username"]) == ("web was allocated to ann", "ann")
    assert (allocated["details"], found["machine_deploying"]["details"]) == ({}, {"comment": "x"})
    async with innkeeper.connection() as db:
        (operation,) = await db.fetch(
            "select kind, state, system_id, request #>> '{requested,system_id}' as requested,"
            " request #>> '{requested,agent_name}' as agent from operation where id = $1",
            allocated["operation_id"],
        )
    assert tuple(operation) == ("allocate", "succeeded", system_id, system_id, "juju")


async def test_a_quota_applies_and_nothing_changes(innkeeper: Deployment) -> None:
    _, system_id = await ready(innkeeper)
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", machines=0)
    error = await rejection(deploy(ann, system_id))
    assert (error.details["status"], error.message.partition(".")[0]) == (
        403, "quota of user ann: 0 machines, 0 used, 1 asked",
    )  # fmt: skip
    machine = await innkeeper.get(f"machines/{system_id}/")
    assert (machine["status_name"], machine["owner"]) == ("Ready", None)


async def test_one_on_a_host_in_maintenance_is_not_available(innkeeper: Deployment) -> None:
    host_id, system_id = await ready(innkeeper)
    await innkeeper.post(f"vm-hosts/{host_id}/", op="maintenance")
    error = await rejection(deploy(innkeeper, system_id))
    assert (error.details["status"], error.message) == (409, f"No machine with system ID {system_id} available.")


async def test_one_that_is_locked_for_a_moment_is_deployed(innkeeper: Deployment) -> None:
    _, system_id = await ready(innkeeper)
    async with innkeeper.connection() as other:
        async with other.transaction():
            await other.execute("select 1 from machine where system_id = $1 for update", system_id)
            task = asyncio.create_task(deploy(innkeeper, system_id))
            done, _ = await asyncio.wait({task}, timeout=0.5)
            assert not done
        assert (await task)["status_name"] == "Deploying"
