"""Maintenance: a host takes no new machine, says why, and lists what is on it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import InnkeeperError, NotAllowed
from tests.deployment.deployment import Deployment
from tests.integration.machines.compose.test_rescheduling import change_host
from tests.integration.support.adoption import adopt
from tests.integration.support.users import as_user

SMALL: dict[str, Any] = {"cores": 1, "memory": 1024}


async def begin(innkeeper: Deployment, host: Any, **fields: Any) -> Any:
    return await innkeeper.post(f"vm-hosts/{host['id']}/", op="maintenance", **fields)


async def end(innkeeper: Deployment, host: Any) -> Any:
    return await innkeeper.post(f"vm-hosts/{host['id']}/", op="end_maintenance")


async def events(innkeeper: Deployment) -> list[tuple[str, str, str | None]]:
    """Kind, text and user of each event about maintenance, the oldest first."""
    found = await innkeeper.region.components.services.events.list()
    return [(one.kind, one.message, one.username) for one in reversed(found) if "maintenance" in one.kind]


async def test_a_host_in_maintenance_takes_no_new_machine(innkeeper: Deployment) -> None:
    busy, free = await innkeeper.add_simulated("busy", cores=8), await innkeeper.add_simulated("free", cores=4)
    await begin(innkeeper, busy, reason="new disks")
    placed = await innkeeper.post("vm-hosts/", op="place", **SMALL)
    assert placed["chosen"] == "free"
    (rejected,) = [one for one in placed["rejected"] if one["host"] == "busy"]
    (reason,) = rejected["reasons"]
    assert reason.startswith("is in maintenance since 20")
    assert reason.endswith(" UTC by admin: new disks")
    with pytest.raises(InnkeeperError, match=r"is in maintenance since .* by admin: new disks"):
        await innkeeper.compose(busy["id"], **SMALL)
    allocated = await innkeeper.post("machines/", op="allocate", cpu_count="1", mem="1024")
    assert allocated["pod"]["id"] == free["id"]
    assert innkeeper.simulated_guests("busy") == []


async def test_ready_machines_there_are_not_allocated(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="web", **SMALL)
    await begin(innkeeper, host)
    with pytest.raises(InnkeeperError):
        await innkeeper.post("machines/", op="allocate", name="web")
    await end(innkeeper, host)
    assert (await innkeeper.post("machines/", op="allocate", name="web"))["hostname"] == "web"


async def test_the_answer_lists_what_is_there(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=2, cores=8)
    await innkeeper.compose(host["id"], hostname="web", power_on="true", **SMALL)
    await adopt(innkeeper, host, guests="foreign-0001")
    await innkeeper.post("machines/", op="allocate", name="web")
    answer = await begin(innkeeper, host)
    listed = {(one["name"], one["kind"], one["owner"]) for one in answer["guests"]}
    assert listed == {
        ("web", "machine", "admin"), ("foreign-0001", "adopted", "admin"), ("foreign-0002", "foreign VM", None),
    }  # fmt: skip
    (web,) = [one for one in answer["guests"] if one["name"] == "web"]
    assert (web["power_state"], web["status_name"]) == ("on", "Allocated")
    assert await innkeeper.get(f"vm-hosts/{host['id']}/", op="guests") == answer["guests"]


async def test_maintenance_is_idempotent_and_recorded(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    first = await begin(innkeeper, host, reason="new disks")
    assert await begin(innkeeper, host, reason="new disks") == await begin(innkeeper, host) == first
    changed = await begin(innkeeper, host, reason="new memory")
    assert changed["maintenance"] == {**first["maintenance"], "reason": "new memory"}
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["maintenance"] == changed["maintenance"]
    for _ in range(2):
        assert (await end(innkeeper, host))["maintenance"] is None
    kinds = ["host_maintenance_begun", "host_maintenance_begun", "host_maintenance_ended"]
    found = await events(innkeeper)
    assert [(kind, user) for kind, _, user in found] == [(kind, "admin") for kind in kinds]
    assert "new memory" in found[1][1]


async def test_power_refresh_and_deletion_still_work(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], **SMALL)
    await begin(innkeeper, host)
    await innkeeper.post(f"machines/{machine['system_id']}/", op="power_on")
    assert (await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))["maintenance"] is not None
    assert (await innkeeper.delete(f"machines/{machine['system_id']}/")).status == 204


async def test_a_running_compose_continues_and_is_listed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        operation = await innkeeper.begin_compose(host["id"], hostname="late", **SMALL)
        answer = await begin(innkeeper, host)
        assert [one["name"] for one in answer["guests"]] == ["late"]
    assert await innkeeper.ended(operation) == "succeeded"


async def test_no_compose_slips_in_after_the_answer(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=32, memory_mib=65536)
    composing = [asyncio.create_task(innkeeper.send("POST", f"vm-hosts/{host['id']}/", op="compose", fields=SMALL))
                 for _ in range(12)]  # fmt: skip
    listed = {one["name"] for one in (await begin(innkeeper, host))["guests"]}
    await asyncio.gather(*composing, return_exceptions=True)
    assert {one["hostname"] for one in await innkeeper.get("machines/")} == listed


async def test_a_compose_is_not_rescheduled_to_such_a_host(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated("first", cores=16)
    other = await innkeeper.add_simulated("other")
    await begin(innkeeper, other)
    await change_host(innkeeper, "first", pools="other:100")
    with pytest.raises(InnkeeperError, match="other: is in maintenance since"):
        await innkeeper.post("machines/", op="allocate", cpu_count="1", mem="1024")
    assert innkeeper.simulated_guests("other") == []


async def test_users_do_not_put_hosts_into_maintenance(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with pytest.raises(NotAllowed):
        await begin(await as_user(innkeeper, "ann"), host)
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["maintenance"] is None
