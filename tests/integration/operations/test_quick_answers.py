"""Requests that act on a slow host are answered before impatient clients give up; what they began continues."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import InnkeeperError
from regiond.api.declaration import operation_wait
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

NOT_LONGER = {"Prefer": ""}  # as clients without that header
SIZE = {"cores": 1, "memory": 1024}


@pytest.fixture(autouse=True)
def _answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_wait, "QUICK_ANSWER_S", 0.3)
    monkeypatch.setattr(operation_wait, "ACTION_ANSWER_S", 0.3)


async def compose(innkeeper: Deployment, host_id: int, **more: Any) -> Any:
    fields = {**SIZE, **more}
    return await innkeeper.post(f"vm-hosts/{host_id}/", op="compose", headers=NOT_LONGER, **fields)


async def delete(innkeeper: Deployment, path: str) -> int:
    return (await innkeeper.send("DELETE", path, headers=NOT_LONGER)).status


async def reaches(innkeeper: Deployment, path: str, status_name: str) -> Any:
    async def reached() -> Any:
        machine = await innkeeper.get(path)
        return machine if machine["status_name"] == status_name else None

    return await eventually(reached)


async def gone(innkeeper: Deployment, path: str) -> None:
    async def is_gone() -> bool:
        try:
            await innkeeper.get(path)
        except InnkeeperError as error:
            return bool(error.details["status"] == 404)
        return False

    await eventually(is_gone)


async def status_of_failure(request: Any) -> int:
    with pytest.raises(InnkeeperError) as rejected:
        await request
    return int(rejected.value.details["status"])


async def failed_machine(innkeeper: Deployment, host_id: int, **more: Any) -> str:
    """The path of a machine whose compose was answered early and has failed since."""
    with innkeeper.held("create volume"):
        composed = await compose(innkeeper, host_id, **more)
        (operation,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
        await innkeeper.cancel(operation["id"])
    path = f"machines/{composed['system_id']}/"
    await reaches(innkeeper, path, "Failed commissioning")
    return path


async def test_a_slow_compose_is_answered_with_a_machine_that_becomes_ready(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        composed = await compose(innkeeper, host["id"])
        path = f"machines/{composed['system_id']}/"
        assert composed["resource_uri"] == f"/MAAS/api/2.0/{path}"
        machine = await innkeeper.get(path)
        assert (machine["status"], machine["status_name"]) == (1, "Commissioning")
    await reaches(innkeeper, path, "Ready")


async def test_a_compose_that_fails_after_the_answer_leaves_a_machine_with_the_reason(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.get(await failed_machine(innkeeper, host["id"]))
    assert (machine["status"], machine["power_state"], machine["pod"]["id"]) == (2, "unknown", host["id"])
    assert machine["status_message"] == "The operation was cancelled."
    assert machine["interface_set"] == machine["blockdevice_set"] == []


async def test_whoever_composes_a_machine_can_abort_that(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        path = f"machines/{(await compose(innkeeper, host['id']))['system_id']}/"
        plan = await innkeeper.post(path, op="abort", dry_run="true")
        assert "is stopped" in str(plan)
        assert (await innkeeper.post(path, op="abort", comment="too slow"))["status_name"] == "Commissioning"
    await reaches(innkeeper, path, "Failed commissioning")
    assert innkeeper.simulated_guests() == []
    assert await status_of_failure(innkeeper.post(path, op="abort")) == 409


async def test_a_compose_that_fails_before_the_answer_leaves_no_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        operation_id = await innkeeper.begin_compose(host["id"], **SIZE)
        await innkeeper.cancel(operation_id)
    assert await innkeeper.ended(operation_id) == "cancelled"
    assert await innkeeper.get("machines/") == []


async def test_a_machine_that_was_not_composed_claims_nothing(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=1)
    await innkeeper.post("quotas/", pool="default", machines=1)
    await failed_machine(innkeeper, host["id"], hostname="failed")
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 0
    assert await innkeeper.refreshed(host["id"])
    assert await innkeeper.get("discrepancies/") == []
    await innkeeper.compose(host["id"], hostname="next", **SIZE)
    assert innkeeper.simulated_guests() == ["next"]


async def test_a_machine_that_was_not_composed_can_only_be_deleted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    path = await failed_machine(innkeeper, host["id"])
    assert await status_of_failure(innkeeper.post(path, op="power_on")) == 409
    assert await status_of_failure(innkeeper.post(path, op="mark_broken")) == 409
    assert (await innkeeper.post(path, op="release"))["status"] == 2  # it has no owner
    plan = (await innkeeper.send("DELETE", path, query=[("dry_run", "true")])).json()
    assert len(plan["deleted"]) == 1
    assert await delete(innkeeper, path) == 204
    await gone(innkeeper, path)


async def test_a_vm_that_appears_after_its_compose_failed_is_no_machines(innkeeper: Deployment) -> None:
    """The marker that the host may still write ends with the compose: what has it is removed."""
    host = await innkeeper.add_simulated()
    await failed_machine(innkeeper, host["id"])
    (row,) = await innkeeper.fetch(
        "select m.uuid, t.machine_uuid as ended from machine m, tombstone t where m.hostname = t.hostname"
    )
    assert row["uuid"] != row["ended"]


async def test_a_host_can_be_removed_although_a_compose_failed_on_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    path = await failed_machine(innkeeper, host["id"])
    await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")
    assert (await innkeeper.get(path))["pod"] is None
    await innkeeper.delete(path)


async def test_a_slow_deletion_is_answered_and_a_repeat_joins_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    path = f"machines/{(await innkeeper.compose(host['id'], **SIZE))['system_id']}/"
    with innkeeper.held("remove guest"):
        assert set(await asyncio.gather(delete(innkeeper, path), delete(innkeeper, path))) == {204}
        assert (await innkeeper.get(path))["status"] == 12
        assert await delete(innkeeper, path) == 204
    await gone(innkeeper, path)
    operations = await innkeeper.get("operations/")
    assert [one["state"] for one in operations if one["kind"] == "delete"] == ["succeeded"]


@pytest.mark.slow
async def test_a_slow_removal_of_a_host_is_answered_and_a_repeat_joins_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], **SIZE)
    path = f"vm-hosts/{host['id']}/"
    with innkeeper.held("remove guest"):
        for _ in range(2):
            answer = await innkeeper.send("DELETE", path, query=[("decompose", "true")], headers=NOT_LONGER)
            assert answer.status == 204
    await gone(innkeeper, path)


async def test_power_actions_on_a_slow_host_are_answered_with_the_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    path = f"machines/{(await innkeeper.compose(host['id'], **SIZE))['system_id']}/"
    with innkeeper.held("power"):
        machine = await innkeeper.post(path, op="power_on", headers=NOT_LONGER)
        assert machine["power_state"] == "off"

    async def is_on() -> bool:
        return bool((await innkeeper.get(path))["power_state"] == "on")

    await eventually(is_on)


async def test_a_host_that_does_not_answer_is_added_with_what_is_known(innkeeper: Deployment) -> None:
    address = {"type": "simulated", "power_address": "simulated:slow?cores=4&memory_mib=4096", "name": "slow"}
    with innkeeper.held(name="slow"):
        added = await innkeeper.post("vm-hosts/", headers=NOT_LONGER, **address)
        assert (added["name"], added["total"]["cores"]) == ("slow", 0)
        path = f"vm-hosts/{added['id']}/"
        changed = (await innkeeper.send("PUT", path, fields={"name": "new"}, headers=NOT_LONGER)).json()
        assert (changed["name"], changed["total"]["cores"]) == ("new", 0)

    async def is_refreshed() -> bool:
        return bool((await innkeeper.get(path))["total"]["cores"] == 4)

    await eventually(is_refreshed)


@pytest.mark.slow
async def test_a_client_can_wait_longer(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        request = innkeeper.post(f"vm-hosts/{host['id']}/", op="compose", headers={"Prefer": "wait=1"}, **SIZE)
        assert await status_of_failure(request) == 504
