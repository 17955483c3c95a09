"""How a release stops a deployed guest, and which disks it empties."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidRequest
from regiond.api.declaration import operation_wait
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployments import database, deploy, reaches
from tests.integration.support.adoption import adopt
from tests.integration.support.images import add_image
from tests.integration.support.tables import sql
from tests.postgresql.database import execute
from tests.support.rejections import rejection

_STEPS = """
    select distinct l.step from operation_log l join operation o on o.id = l.operation_id
     where o.kind = 'release' and l.step is not null
"""


async def deployed(innkeeper: Deployment, **host: Any) -> str:
    """A machine with two disks, to both of which its operating system has written."""
    await add_image(innkeeper)
    made = await innkeeper.add_simulated(cores=8, storage_gb=1000, **host)
    machine = await innkeeper.compose(made["id"], cores=1, memory=1024, hostname="vm", storage="root:8,data:8")
    system_id = str(machine["system_id"])
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    assert innkeeper.simulated().written_disks_of("vm") == [True, True]
    return system_id


async def release(innkeeper: Deployment, system_id: str, **fields: Any) -> Any:
    return await innkeeper.post(f"machines/{system_id}/", op="release", **fields)


async def steps_of_release(innkeeper: Deployment) -> set[str]:
    return {str(row["step"]) for row in await sql(innkeeper, _STEPS)}


async def test_other_disks_keep_their_content(innkeeper: Deployment) -> None:
    released = await release(innkeeper, await deployed(innkeeper))
    assert released["status_name"] == "Ready"
    assert innkeeper.simulated().written_disks_of("vm") == [False, True]


@pytest.mark.parametrize("more", [{}, {"secure_erase": "true"}, {"quick_erase": "true"}])
async def test_erasing_empties_all_disks(innkeeper: Deployment, more: dict[str, str]) -> None:
    released = await release(innkeeper, await deployed(innkeeper), erase="true", **more)
    assert released["status_name"] == "Ready"
    assert innkeeper.simulated().written_disks_of("vm") == [False, False]


async def test_without_erase_the_other_words_erase_nothing(innkeeper: Deployment) -> None:
    await release(innkeeper, await deployed(innkeeper), secure_erase="true", quick_erase="true")
    assert innkeeper.simulated().written_disks_of("vm") == [False, True]


async def test_a_release_of_many_erases_too(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper)
    assert await innkeeper.post("machines/", op="release", machines=system_id, erase="true") == [system_id]
    await reaches(innkeeper, system_id, "Ready")
    assert innkeeper.simulated().written_disks_of("vm") == [False, False]


@pytest.mark.slow
async def test_a_bulk_release_has_the_same_options(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper)
    fields: dict[str, Any] = {
        "op": "bulk",
        "action": "release",
        "machines": system_id,
        "erase": "true",
        "force": "true",
    }
    assert "all its disks are emptied" in str(await innkeeper.post("machines/", **fields, dry_run="true"))
    operation = await innkeeper.post("machines/", **fields)
    assert await innkeeper.ended(operation["id"]) == "succeeded"
    assert innkeeper.simulated().written_disks_of("vm") == [False, False]
    assert "shut_down" not in await steps_of_release(innkeeper)


@pytest.mark.slow
async def test_only_a_bulk_release_erases(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper)
    rejected = await rejection(
        innkeeper.post("machines/", op="bulk", action="power_off", machines=system_id, erase="true")
    )
    assert isinstance(rejected, InvalidRequest)
    assert "erase" in rejected.fields


@pytest.mark.slow
async def test_disks_of_a_machine_that_is_not_deployed_are_erased(innkeeper: Deployment) -> None:
    """An allocated machine on which a person has installed something."""
    system_id = await deployed(innkeeper)
    await release(innkeeper, system_id)
    await innkeeper.post("machines/", op="allocate", system_id=system_id)
    assert innkeeper.simulated().written_disks_of("vm") == [False, True]
    await release(innkeeper, system_id, erase="true")
    assert innkeeper.simulated().written_disks_of("vm") == [False, False]


async def test_disks_that_innkeeper_did_not_create_are_not_erased(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    (machine,) = await adopt(innkeeper, host, all="true")
    rejected = await rejection(release(innkeeper, machine["system_id"], erase="true"))
    assert isinstance(rejected, InvalidRequest)
    assert "was adopted" in str(rejected.fields["erase"])
    released = await release(innkeeper, machine["system_id"], release_adopted="true")
    assert released["status_name"] == "Ready"


async def test_a_deployed_guest_shuts_down_first(innkeeper: Deployment) -> None:
    await release(innkeeper, await deployed(innkeeper))
    assert "shut_down" in await steps_of_release(innkeeper)


async def test_with_force_a_guest_is_powered_off_at_once(innkeeper: Deployment) -> None:
    await release(innkeeper, await deployed(innkeeper), force="true")
    assert "shut_down" not in await steps_of_release(innkeeper)


@pytest.mark.slow
async def test_a_guest_that_did_not_boot_is_powered_off_at_once(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper)
    await execute(database(innkeeper), "update machine set state = 'failed_deployment'")
    await release(innkeeper, system_id)
    assert "shut_down" not in await steps_of_release(innkeeper)


@pytest.mark.slow
async def test_a_slow_shutdown_does_not_hold_up_the_answer(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_wait, "ACTION_ANSWER_S", 0.1)
    system_id = await deployed(innkeeper)
    with innkeeper.held("power"):
        assert (await release(innkeeper, system_id, headers={"Prefer": ""}))["status_name"] == "Releasing"
    machine = await reaches(innkeeper, system_id, "Ready")
    assert (machine["owner"], machine["power_state"], machine["osystem"]) == (None, "off", "")


async def test_a_dry_run_says_which_disks_are_emptied(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper)
    plan = await innkeeper.post(f"machines/{system_id}/", op="release", erase="true", dry_run="true")
    assert "all its disks are emptied" in str(plan)
    assert innkeeper.simulated().written_disks_of("vm") == [True, True]
