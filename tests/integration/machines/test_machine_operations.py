"""Operations and texts of machines that MAAS's clients use besides those of a VM's life."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user, own
from tests.postgresql.database import execute

SIZE = {"cores": 1, "memory": 1024}


async def composed(innkeeper: Deployment, **fields: Any) -> str:
    """The system id of a ready machine on a new host."""
    host = await innkeeper.add_simulated()
    return str((await innkeeper.compose(host["id"], **{**SIZE, **fields}))["system_id"])


async def failure_of(request: Awaitable[Any]) -> tuple[int, str]:
    with pytest.raises(InnkeeperError) as rejected:
        await request
    return int(rejected.value.details["status"]), rejected.value.message


async def set_state(innkeeper: Deployment, system_id: str, state: str) -> None:
    await execute(
        innkeeper.region.components.database, "update machine set state = $2 where system_id = $1", system_id, state
    )


async def test_annotations_stay_until_the_release_beside_the_owner_data(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann")
    path = f"machines/{system_id}/"
    await ann.post(path, op="set_owner_data", color="red")
    await ann.post(path, op="set_workload_annotations", type="web", tier="1")
    machine = await ann.post(path, op="set_workload_annotations", tier="")
    assert machine["workload_annotations"] == {"type": "web", "color": "red"}, "MAAS has one store for both"
    assert machine["owner_data"] == {"color": "red"}
    machine = await ann.post(path, op="set_workload_annotations", color="")
    assert (machine["workload_annotations"], machine["owner_data"]) == ({"type": "web"}, {})
    assert (await ann.post(path, op="release"))["workload_annotations"] == {}


async def test_annotations_have_the_limits_of_owner_data(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    many = {f"key{number}": "x" for number in range(129)}
    path = f"machines/{system_id}/"
    status, message = await failure_of(innkeeper.send("POST", path, op="set_workload_annotations", fields=many))
    assert (status, "workload annotations" in message) == (400, True)


async def test_annotations_survive_the_removal_of_the_host(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    await innkeeper.post(f"machines/{system_id}/", op="set_workload_annotations", type="web")
    (host,) = await innkeeper.get("vm-hosts/")
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    await innkeeper.add_simulated()
    assert (await innkeeper.get(f"machines/{system_id}/"))["workload_annotations"] == {"type": "web"}


async def test_only_the_owner_annotates(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    status, _ = await failure_of(ann.post(f"machines/{system_id}/", op="set_workload_annotations", type="web"))
    assert status == 403


async def test_power_parameters_name_the_vm_on_its_host(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper, hostname="web")
    (host,) = await innkeeper.get("vm-hosts/")
    shown = {"power_address": host["address"], "instance_name": "web", "project": ""}
    assert await innkeeper.get(f"machines/{system_id}/", op="power_parameters") == shown
    assert await innkeeper.get("machines/", op="power_parameters") == {system_id: shown}
    answer = await innkeeper.api.send(
        "GET", "machines/", query=[("op", "power_parameters"), ("id", system_id), ("id", "zzzzzz")]
    )
    assert answer.json() == {system_id: shown}
    assert await innkeeper.get(f"machines/{host['host']['system_id']}/", op="power_parameters") == {}


async def test_power_parameters_are_for_administrators(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    assert (await failure_of(ann.get(f"machines/{system_id}/", op="power_parameters")))[0] == 403


async def test_details_are_a_document_without_reports(innkeeper: Deployment) -> None:
    answer = await innkeeper.api.get(f"machines/{await composed(innkeeper)}/", op="details")
    size = len(answer.body).to_bytes(4, "little")
    assert (answer.content_type, answer.body) == ("application/bson", size + b"\x0alshw\0\x0alldp\0\0")


async def test_a_machine_has_no_token(innkeeper: Deployment) -> None:
    assert await innkeeper.get(f"machines/{await composed(innkeeper)}/", op="get_token") is None


async def test_commissioning_a_new_machine_finds_its_vm(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    await innkeeper.post(f"machines/{system_id}/", op="mark_broken")
    await execute(innkeeper.region.components.database, "delete from guest")
    assert (await innkeeper.post(f"machines/{system_id}/", op="mark_fixed"))["status_name"] == "New"
    machine = await innkeeper.post(f"machines/{system_id}/", op="commission", enable_ssh="0")
    assert machine["status_name"] == "Ready"


async def test_commissioning_a_new_machine_without_a_vm_says_so(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper, hostname="lost")
    innkeeper.simulated().remove("lost")
    await set_state(innkeeper, system_id, "new")
    await execute(innkeeper.region.components.database, "delete from guest")
    status, message = await failure_of(innkeeper.post(f"machines/{system_id}/", op="commission"))
    assert (status, "does not list" in message) == (409, True)


async def test_a_failed_machine_that_may_run_is_not_commissioned(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    await own(innkeeper, system_id, "admin")
    await set_state(innkeeper, system_id, "failed")
    with innkeeper.held("power"):
        operation = await innkeeper.begin(f"machines/{system_id}/", op="power_on")
        assert (await failure_of(innkeeper.post(f"machines/{system_id}/", op="commission")))[0] == 409
    assert await innkeeper.ended(operation) == "succeeded"
    status, message = await failure_of(innkeeper.post(f"machines/{system_id}/", op="commission"))
    assert (status, "may still run" in message) == (409, True)
    assert (await innkeeper.get(f"machines/{system_id}/"))["owner"] == "admin"


async def test_commissioning_a_failed_machine_makes_it_ready(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann", by_allocate=True)
    await set_state(innkeeper, system_id, "failed")
    machine = await ann.post(f"machines/{system_id}/", op="commission")
    assert (machine["status_name"], machine["owner"]) == ("Ready", None)


@pytest.mark.parametrize("state", ["allocated", "broken", "missing"])
async def test_other_machines_are_not_commissioned(innkeeper: Deployment, state: str) -> None:
    system_id = await composed(innkeeper)
    await set_state(innkeeper, system_id, state)
    assert (await failure_of(innkeeper.post(f"machines/{system_id}/", op="commission")))[0] == 409
