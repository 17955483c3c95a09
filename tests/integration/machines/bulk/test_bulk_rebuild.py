"""`machines/?op=bulk` with `rebuild`: the same for many; a machine without a system stays as it is."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import bulk, children, ids
from tests.integration.machines.bulk.test_bulk_hardware import dry_run
from tests.integration.machines.deployment.test_deployments import deploy, reaches
from tests.integration.machines.deployment.test_rebuild import JAMMY, identity, other_volumes
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.pages.machines.test_web_resizes import ask
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.integration.support.web_client import WebClient
from tests.support.rejections import rejected_status, rejection

__all__ = ["client"]

SCRIPT = base64.b64encode(b"#!/bin/sh\necho anew\n").decode()


async def fleet_of(innkeeper: Deployment) -> list[Any]:
    """Two machines with data disks, deployed with noble and jammy, and one that is Ready."""
    await add_image(innkeeper, "ubuntu/noble")
    await add_image(innkeeper, "ubuntu/jammy", content=JAMMY)
    host = (await innkeeper.add_simulated(cores=8, storage_gb=1000))["id"]
    machines = [
        await innkeeper.compose(host, cores=1, memory=1024, hostname=f"vm-{index}", storage="root:8,data:5")
        for index in range(3)
    ]
    for machine, image in zip(machines, ("noble", "jammy"), strict=False):
        await deploy(innkeeper, machine["system_id"], distro_series=image)
    for machine in machines[:2]:
        await reaches(innkeeper, machine["system_id"], "Deployed")
    found: list[Any] = await innkeeper.get("machines/")
    return found


async def series(innkeeper: Deployment) -> dict[str, str]:
    return {one["hostname"]: one["distro_series"] for one in await innkeeper.get("machines/")}


@pytest.mark.slow
async def test_each_machine_is_rebuilt_with_the_image_that_it_has(innkeeper: Deployment) -> None:
    machines = await fleet_of(innkeeper)
    told = await dry_run(innkeeper, "rebuild", machines, user_data=SCRIPT)
    assert told[0].startswith("vm-0 is deployed with ubuntu/noble. Its root disk with ubuntu/noble (8.0 GB in default)")
    assert told[1].startswith("vm-1 is deployed with ubuntu/jammy.")
    assert "Kept with their content: " in told[1]
    assert told[2].startswith("vm-2 stays as it is: A machine that is Ready cannot be rebuilt")
    assert told[3] == "2 machines are rebuilt."
    before = other_volumes(innkeeper)
    operation_id = await bulk(innkeeper, "rebuild", ids(machines), user_data=SCRIPT)
    assert await innkeeper.ended(operation_id) == "failed"
    assert await children(innkeeper, operation_id) == {"vm-0": "succeeded", "vm-1": "succeeded", "vm-2": "failed"}
    error = (await innkeeper.get(f"operations/{operation_id}/"))["error"]["message"]
    assert error.startswith("1 of 3 machines was not rebuilt. vm-2: A machine that is Ready")
    assert await series(innkeeper) == {"vm-0": "noble", "vm-1": "jammy", "vm-2": ""}
    assert other_volumes(innkeeper) == before
    assert SCRIPT[:20].encode() in innkeeper.simulated().user_data_of("vm-1")
    assert [identity(one) for one in await innkeeper.get("machines/")] == [identity(one) for one in machines]


@pytest.mark.slow
async def test_all_get_the_image_that_is_named(innkeeper: Deployment) -> None:
    machines = (await fleet_of(innkeeper))[:2]
    assert await rejected_status(bulk(innkeeper, "rebuild", ids(machines), distro_series="nosuch")) == 400
    assert await innkeeper.ended(await bulk(innkeeper, "rebuild", ids(machines), distro_series="jammy")) == "succeeded"
    assert set((await series(innkeeper)).values()) == {"jammy", ""}


async def test_nobody_rebuilds_what_belongs_to_others(innkeeper: Deployment) -> None:
    machines = await fleet_of(innkeeper)
    ann = await as_user(innkeeper, "ann")
    error = await rejection(bulk(ann, "rebuild", ids(machines)))
    assert error.message.startswith("Not allowed on vm-0, vm-1, vm-2.")


@pytest.mark.slow
async def test_the_page_asks_for_their_number_and_begins_with_the_image_of_each(
    innkeeper: Deployment, client: WebClient
) -> None:
    machines = ids(await fleet_of(innkeeper))
    asked = await ask(client, machines, "rebuild")
    assert "Rebuild 2 of 3 VMs?" in asked.text
    assert "is ready: nothing to rebuild, and will be left" in asked.text
    assert "Other disks, NICs, addresses and names stay." in asked.text
    assert '<option value="">The image that each has</option>' in asked.text
    changed, given = machines[:2], {"confirmed": "yes", "distro_series": "", "user_data": "", "comment": ""}
    refused = await ask(client, changed, "rebuild", typed="3", **given)
    assert (refused.status, "Type 2 to confirm." in refused.text) == (422, True)
    assert (await ask(client, changed, "rebuild", typed="2", **given)).status == 303
    (task,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "bulk"]
    assert await innkeeper.ended(task["id"]) == "succeeded"
    assert "Rebuild 2 VMs" in await page(client, f"tasks/{task['id']}")
