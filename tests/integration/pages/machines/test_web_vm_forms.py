"""What all forms that change one VM do: refuse, compare with what others changed, and act once."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.machines.power.test_start_order import composed, path, set_order, shown
from tests.integration.pages.machines.test_web_disks import UI, send
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.web_client import WebClient

__all__ = ["client"]


def address(machine: Any, form: str) -> str:
    return f"vms/{machine['system_id']}/{form}"


async def test_an_obstacle_disables_a_form_or_replaces_it(innkeeper: Deployment, client: WebClient) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post(path(machine), op="lock")
    order = await page(client, address(machine, "start-order"))
    assert ("web is locked" in order, 'id="priority"' in order, " disabled>Save<" in order) == (True, True, True)
    disk = await page(client, address(machine, "storage/add"))
    assert ("web is locked" in disk, "Back to web" in disk, 'id="size"' in disk) == (True, True, False)


async def test_only_what_was_changed_is_sent(innkeeper: Deployment, client: WebClient) -> None:
    machine = await composed(innkeeper)
    form = address(machine, "start-order")
    await page(client, form)
    await set_order(innkeeper, machine, delay=30)
    opened = {"was-priority": "0", "was-delay": "0"}
    assert (await send(client, form, **opened, priority="5", delay="0")).status == 303
    assert await innkeeper.ended((await innkeeper.get("operations/"))[0]["id"]) == "succeeded"
    assert await shown(innkeeper, machine) == (5, 30)
    conflict = await send(client, form, **opened, priority="5", delay="7")
    assert (conflict.status, "Somebody else changed web meanwhile" in conflict.text) == (409, True)
    unchanged = await send(client, form, priority="5", delay="30")
    assert (unchanged.status, unchanged.headers["Location"]) == (303, f"{UI}{address(machine, 'configuration')}")
    assert len(await innkeeper.get("operations/?kind=set_start_order")) == 2
    assert await shown(innkeeper, machine) == (5, 30)


async def test_a_form_that_is_sent_twice_acts_once(innkeeper: Deployment, client: WebClient) -> None:
    machine = await composed(innkeeper)
    form = address(machine, "storage/add")
    assert 'name="once"' in await page(client, form)
    for _ in range(2):
        assert (await send(client, form, size="3", pool="", tags="", once="one-two-three")).status == 303
    assert len(await innkeeper.get("operations/?kind=add_disk")) == 1
