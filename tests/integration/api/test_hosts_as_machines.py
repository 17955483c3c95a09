"""Clients read a VM host as a machine, by the system id that the host names, for as long as it is a host."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from common.errors import InnkeeperError
from regiond.api.declaration import operation_wait
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user


async def failure_of(request: Awaitable[Any]) -> tuple[int, str]:
    with pytest.raises(InnkeeperError) as rejected:
        await request
    return int(rejected.value.details["status"]), rejected.value.message


async def test_a_vm_host_reads_as_a_deployed_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=4, memory_mib=8192)
    system_id = host["host"]["system_id"]
    machine = await innkeeper.get(f"machines/{system_id}/")
    shown = {name: machine[name] for name in ("system_id", "hostname", "status", "status_name", "power_state")}
    assert shown == {
        "system_id": system_id, "hostname": "sim", "status": 6, "status_name": "Deployed", "power_state": "on",
    }  # fmt: skip
    assert (machine["cpu_count"], machine["memory"], machine["architecture"]) == (4, 8192, "amd64/generic")
    assert (machine["owner"], machine["pod"], machine["hardware_uuid"]) == (None, None, None)
    assert await innkeeper.get(f"machines/{system_id}/", op="query_power_state") == {"state": "on"}


@pytest.mark.slow
async def test_only_a_list_by_id_contains_vm_hosts(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    vm = (await innkeeper.compose(host["id"], cores=1, memory=1024))["system_id"]
    system_id = host["host"]["system_id"]

    async def listed(query: str) -> list[str]:
        return [machine["system_id"] for machine in await innkeeper.get(f"machines/{query}")]

    assert await listed("") == [vm]
    assert await listed(f"?id={system_id}&id={vm}&id=zzzzzz") == [vm, system_id]
    assert await listed(f"?id={system_id}&hostname=sim") == []


@pytest.mark.parametrize("op", ["deploy", "release", "power_off", "mark_broken", "lock"])
async def test_a_vm_host_is_no_machine_to_act_on(innkeeper: Deployment, op: str) -> None:
    host = await innkeeper.add_simulated()
    status, message = await failure_of(innkeeper.post(f"machines/{host['host']['system_id']}/", op=op))
    assert (status, "is the VM host sim" in message) == (409, True)


@pytest.mark.slow
async def test_a_vm_host_is_neither_allocated_nor_deleted_as_a_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = host["host"]["system_id"]
    status, _ = await failure_of(innkeeper.post("machines/", op="allocate", system_id=system_id))
    assert status == 409
    assert (await failure_of(innkeeper.delete(f"machines/{system_id}/")))[0] == 409


@pytest.mark.slow
async def test_tags_of_a_vm_host_are_set_as_those_of_a_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    path = f"machines/{host['host']['system_id']}/"
    await innkeeper.post("tags/", name="fast")
    await innkeeper.post("tags/fast/", op="update_nodes", add=host["host"]["system_id"])
    assert "fast" in (await innkeeper.get(path))["tag_names"]
    assert "fast" in (await innkeeper.get(f"vm-hosts/{host['id']}/"))["tags"]


@pytest.mark.slow
async def test_a_removed_host_is_no_machine_from_the_answer_on(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_wait, "QUICK_ANSWER_S", 0.2)
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], cores=1, memory=1024)
    with innkeeper.held("remove guest"):
        await innkeeper.send("DELETE", f"vm-hosts/{host['id']}/", query=[("decompose", "true")], headers={"Prefer": ""})
        assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["state"] == "removing"
        assert (await failure_of(innkeeper.get(f"machines/{host['host']['system_id']}/")))[0] == 404


async def test_users_of_other_pools_do_not_see_a_host_as_a_machine(innkeeper: Deployment) -> None:
    pool = await innkeeper.post("resourcepools/", name="other")
    host = await innkeeper.add_simulated()
    await innkeeper.send("PUT", f"vm-hosts/{host['id']}/", fields={"pool": pool["name"]})
    user = await as_user(innkeeper, "ann")
    assert (await failure_of(user.get(f"machines/{host['host']['system_id']}/")))[0] == 404
