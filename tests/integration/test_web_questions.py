"""The server asks again: a form that was not confirmed, or whose typed text is wrong, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.web_client import WebClient
from tests.waiting import settle

# Addresses with what a page would send to them first; {vm} is a running VM. True: a text has to be typed.
GRAVE: tuple[tuple[str, Mapping[str, str], bool], ...] = (
    ("vms/{vm}/act", {"action": "stop"}, False),
    ("vms/{vm}/act", {"action": "restart"}, False),
    ("vms/{vm}/act", {"action": "off"}, True),
    ("vms/{vm}/act", {"action": "broken"}, False),
    ("vms/{vm}/delete", {}, True),
    ("vms/bulk", {"action": "stop", "selected": "{vm}"}, False),
    ("vms/bulk", {"action": "off", "selected": "{vm}"}, True),
    ("vms/bulk", {"action": "delete", "selected": "{vm}"}, True),
    ("hosts/1/maintenance", {"action": "close"}, False),
    ("hosts/1/adopt", {"all": "1"}, False),
    ("hosts/1/remove", {}, True),
    ("hosts/1/remove", {"destroy": "1"}, True),
    ("hosts/bulk", {"action": "close", "selected": "1"}, False),
    ("settings/users/ann/delete", {}, True),
    ("pools/{pool}/delete", {}, True),
)


@pytest.fixture
def region(innkeeper: Deployment) -> Deployment:
    async def prepare() -> None:
        await add_administrator_with_password(innkeeper)
        await innkeeper.add_simulated("alder", guests=1)
        await innkeeper.compose(innkeeper.hosts["alder"], hostname="web-1", memory=1024, power_on="true")
        await innkeeper.post("users/", username="ann", email="ann@example.org", password=PASSWORD, is_superuser="0")
        await innkeeper.post("resourcepools/", name="staging")

    settle(prepare())
    return innkeeper


async def state_of(region: Deployment) -> Any:
    """What the forms could change."""
    machines = [(one["hostname"], one["power_state"], one["status_name"]) for one in await region.get("machines/")]
    hosts = [(one["name"], one["maintenance"]) for one in await region.get("vm-hosts/")]
    names = [one["username"] for one in await region.get("users/")]
    pools = [one["name"] for one in await region.get("resourcepools/")]
    return machines, hosts, names, pools, [one["id"] for one in await region.get("operations/")]


async def test_no_grave_form_acts_without_its_confirmation(region: Deployment) -> None:
    client = WebClient(urlsplit(region.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    (machine,) = await region.get("machines/")
    (pool,) = [one for one in await region.get("resourcepools/") if one["name"] == "staging"]
    names = {"vm": machine["system_id"], "pool": str(pool["id"])}
    csrf, before = (await client.get("/MAAS/ui/account")).csrf, await state_of(region)
    assert before[0] == [("web-1", "on", "Ready")]
    for path, form, is_typed in GRAVE:
        address = f"/MAAS/ui/{path.format(**names)}"
        sent = {"csrf": csrf, **{name: value.format(**names) for name, value in form.items()}}
        asked = await client.post(address, None, **sent)
        assert (asked.status, 'id="question"' in asked.text) == (200, True), path
        assert ('id="typed"' in asked.text) is is_typed, path
        if is_typed:
            refused = await client.post(address, None, **{**sent, **asked.hidden, "typed": "something else"})
            assert (refused.status, 'id="typed-error"' in refused.text) == (422, True), path
    assert await state_of(region) == before
