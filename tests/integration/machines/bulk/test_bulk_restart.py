"""A power-off of many machines is taken back as a whole: what ran starts again, what was off stays off."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from common.errors import InvalidRequest
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import bulk, composed, ids
from tests.integration.support.users import as_user
from tests.integration.support.web_client import WebClient
from tests.support.rejections import rejected_status, rejection


async def powered_off(innkeeper: Deployment) -> tuple[list[Any], int]:
    """Returns four machines, of which the first two ran until the operation."""
    machines = await composed(innkeeper, 4)
    for machine in machines[:2]:
        await innkeeper.post(f"machines/{machine['system_id']}/", op="power_on")
    operation_id = await bulk(innkeeper, "power_off", ids(machines)[:3])
    assert await innkeeper.ended(operation_id) == "succeeded"
    return machines, operation_id


async def running(innkeeper: Deployment) -> set[str]:
    return {one["hostname"] for one in await innkeeper.get("machines/") if one["power_state"] == "on"}


def restart(innkeeper: Deployment, operation_id: int, **more: Any) -> Any:
    fields = {"action": "power_on", "stopped_by": operation_id, **more}
    return innkeeper.post("machines/", op="bulk", **fields)


@pytest.mark.slow
async def test_what_ran_starts_again(innkeeper: Deployment) -> None:
    machines, operation_id = await powered_off(innkeeper)
    await innkeeper.delete(f"machines/{machines[1]['system_id']}/")  # meanwhile
    plan = await restart(innkeeper, operation_id, dry_run="true")
    assert plan["effects"] == ["1 machine is powered on."]
    assert await innkeeper.ended((await restart(innkeeper, operation_id))["id"]) == "succeeded"
    assert await running(innkeeper) == {"vm-0"}


@pytest.mark.slow
async def test_what_cannot_be_taken_back_is_said(innkeeper: Deployment) -> None:
    machines, operation_id = await powered_off(innkeeper)
    both = await rejection(restart(innkeeper, operation_id, machines=ids(machines)))
    assert "not both" in str(both.fields if isinstance(both, InvalidRequest) else both)
    other = await rejection(innkeeper.post("machines/", op="bulk", action="power_off", stopped_by=operation_id))
    assert "action power_on" in str(other.details)
    (power,) = {one["id"] for one in await innkeeper.get("operations/") if one["kind"] == "power"} & {operation_id - 1}
    assert "is no bulk operation" in str((await rejection(restart(innkeeper, power))).details)
    again = (await restart(innkeeper, operation_id))["id"]
    await innkeeper.ended(again)
    assert "has powered off no machine that ran" in str((await rejection(restart(innkeeper, again))).details)
    eve = await as_user(innkeeper, "eve")
    assert await rejected_status(restart(eve, operation_id)) in (403, 404)


@pytest.mark.slow
async def test_the_page_of_the_task_offers_it(innkeeper: Deployment) -> None:
    _, operation_id = await powered_off(innkeeper)
    await add_administrator_with_password(innkeeper)
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    page = await client.get(f"/MAAS/ui/tasks/{operation_id}")
    assert "Start again what ran" in page.text
    machines = [one["system_id"] for one in await innkeeper.get("machines/") if one["hostname"] in {"vm-0", "vm-1"}]
    assert all(f'name="selected" value="{one}"' in page.text for one in machines)
    fields = [("csrf", page.csrf), ("action", "start"), *(("selected", one) for one in machines)]
    await client.send("POST", "/MAAS/ui/vms/bulk", body=urlencode(fields))
    started = await innkeeper.get("operations/?kind=bulk")
    await innkeeper.ended(max(one["id"] for one in started))
    assert await running(innkeeper) == {"vm-0", "vm-1"}
