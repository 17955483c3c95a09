"""Dry runs of power actions and deployments: what would be done, what would be refused, and nothing changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.compose.test_deletion_dry_runs import plan_of, refused_alike
from tests.integration.machines.deployment.test_deployments import composed, deploy, reaches
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.support.rejections import rejection

POWER = [("power_on", {}), ("power_off", {}), ("power_off", {"stop_mode": "hard"}), ("power_cycle", {})]
each_power = pytest.mark.parametrize(("op", "fields"), POWER, ids=["on", "off", "hard", "cycle"])


async def effects(innkeeper: Deployment, system_id: str, op: str, **fields: Any) -> list[str]:
    """Returns what a dry run would do. Checks that it opened no operation and changed nothing."""
    path = f"machines/{system_id}/"
    before = await innkeeper.get(path)
    plan = await plan_of(innkeeper, "POST", path, op, **fields)
    assert await innkeeper.get(path) == before
    assert plan["name"] == "vm"
    return list(plan["effects"])


async def test_a_power_action_on_a_machine_that_is_off_is_only_described(innkeeper: Deployment) -> None:
    vm = await composed(innkeeper)
    assert await effects(innkeeper, vm, "power_on") == [
        "vm is started.",
        "It is in use then, no longer stock, and belongs to admin.",
    ]
    assert (await effects(innkeeper, vm, "power_off"))[0] == "vm is off already: nothing changes."
    assert (await effects(innkeeper, vm, "power_cycle"))[0] == "vm is started."
    assert (await innkeeper.get(f"machines/{vm}/"))["power_state"] == "off"


async def test_a_power_action_on_a_machine_that_runs_is_only_described(innkeeper: Deployment) -> None:
    vm = await composed(innkeeper)
    await innkeeper.post(f"machines/{vm}/", op="power_on")
    assert await effects(innkeeper, vm, "power_on") == ["vm runs already: it is not restarted."]
    shut_down = "vm is shut down, by force if it does not stop in time"
    assert await effects(innkeeper, vm, "power_off") == [f"{shut_down}."]
    assert await effects(innkeeper, vm, "power_cycle") == [f"{shut_down}, and started again."]
    hard = await effects(innkeeper, vm, "power_off", stop_mode="hard")
    assert hard == ["vm is powered off at once, without a shutdown."]


async def test_a_start_says_what_is_pending(innkeeper: Deployment) -> None:
    vm = await composed(innkeeper)
    await innkeeper.post(f"machines/{vm}/", op="set_boot", order="disk", once="true")
    assert "This once it boots from disk." in await effects(innkeeper, vm, "power_on")


@each_power
async def test_a_refused_power_action_is_refused_alike(innkeeper: Deployment, op: str, fields: dict[str, Any]) -> None:
    vm = await composed(innkeeper)
    path = f"machines/{vm}/"
    with innkeeper.held("power"):
        await innkeeper.begin(path, op="power_on")
        assert "nother operation" in await refused_alike(innkeeper, "POST", path, op, **fields)
    await make_deployed(innkeeper, {"system_id": vm})
    await innkeeper.post(path, op="lock")
    assert "locked" in await refused_alike(innkeeper, "POST", path, op, **fields)


async def test_a_deployment_of_stock_is_only_described(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    vm = await composed(innkeeper)
    found = await effects(innkeeper, vm, "deploy", distro_series="noble")
    assert found[:2] == ["vm is allocated to admin.", "vm is deployed with ubuntu/noble."]
    assert found[2].startswith("Its root disk (8.0 GB in ")
    assert (await innkeeper.get(f"machines/{vm}/"))["owner"] is None


async def test_a_deployment_of_an_allocated_machine_that_runs_says_so(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    vm = await composed(innkeeper)
    await innkeeper.post("machines/", op="allocate", system_id=vm)
    await innkeeper.post(f"machines/{vm}/", op="power_on")
    found = await effects(innkeeper, vm, "deploy", distro_series="noble", register_vmhost="true")
    assert found[0] == "vm is deployed with ubuntu/noble."
    assert found[-2:] == [
        "It runs: once sim has the image, it is powered off, without a shutdown.",
        "It becomes an LXD server, and is added as a VM host.",
    ]


async def test_the_dry_run_warns_that_nobody_could_log_in(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    path = f"machines/{await composed(innkeeper)}/"
    answer = await innkeeper.send("POST", path, op="deploy", fields={"dry_run": "true"})
    assert "nobody will be able to log in to vm" in answer.warnings[0]


async def test_a_refused_deployment_is_refused_alike(innkeeper: Deployment) -> None:
    vm = await composed(innkeeper)
    path = f"machines/{vm}/"
    await refused_alike(innkeeper, "POST", path, "deploy")  # there is no image
    await add_image(innkeeper, "ubuntu/noble")
    for fields in ({"distro_series": "nope"}, {"user_data": "x" * 2_000_000}, {"ephemeral_deploy": "true"}):
        await refused_alike(innkeeper, "POST", path, "deploy", **fields)
    with innkeeper.held("power"):
        powered = await innkeeper.begin(path, op="power_on")
        await refused_alike(innkeeper, "POST", path, "deploy")
    assert await innkeeper.ended(powered) == "succeeded"
    await deploy(innkeeper, vm)
    await reaches(innkeeper, vm, "Deployed")
    assert "deployed" in (await refused_alike(innkeeper, "POST", path, "deploy")).lower()


async def test_a_deployment_beyond_a_quota_is_refused_alike(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    vm = await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", machines=0)
    path = f"machines/{vm}/"
    dry = await rejection(ann.post(path, op="deploy", dry_run="true"))
    real = await rejection(ann.post(path, op="deploy"))
    assert (dry.message, dry.details["status"]) == (real.message, real.details["status"])
    assert "quota" in dry.message
