"""The audit trail of one machine, by its id and by its names, while it exists and afterwards."""

from __future__ import annotations

import pytest

from tests.deployment.deployment import Deployment


async def actions(innkeeper: Deployment, called: str) -> list[str]:
    found = await innkeeper.get(f"audit/?object={called}")
    return [one["action"] for one in reversed(found if isinstance(found, list) else found["entries"])]


@pytest.mark.slow
async def test_a_machine_is_found_by_id_and_every_name_when_it_is_gone(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8)
    machine = await innkeeper.compose(host["id"], hostname="web")
    other = await innkeeper.compose(host["id"], hostname="other")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.put(path, hostname="shop")
    await innkeeper.post(path, op="power_on")
    await innkeeper.post("machines/", op="release", machines=[machine["system_id"], other["system_id"]])
    await innkeeper.delete(path)
    wanted = ["VmHost.compose", "Machine.update", "Machine.power_on", "Machines.release", "Machine.delete"]
    for called in (machine["system_id"], f"machines/{machine['system_id']}", "web", "shop"):
        assert await actions(innkeeper, called) == wanted, called
    assert await actions(innkeeper, "other") == ["VmHost.compose", "Machines.release"]


@pytest.mark.slow
async def test_it_is_found_when_its_operations_are_forgotten(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web")
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    await innkeeper.fetch("delete from operation")
    for called in (machine["system_id"], "web"):
        assert await actions(innkeeper, called) == ["VmHost.compose", "Machine.delete"]
