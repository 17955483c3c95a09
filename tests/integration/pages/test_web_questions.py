"""The server asks again: a form that was not confirmed, or whose typed text is wrong, changes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from regiond.ui.hosts.bulk_page import ACTIONS as HOST_ACTIONS
from regiond.ui.machines.bulk.bulk_actions import ACTIONS as VM_ACTIONS
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle
from tests.unit.regiond.ui.machines.test_questions import ASKS, FORMS, TEMPLATES

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
# What each form that asks sends first, to the address with which it begins; its line in FORMS is the key.
ASKING: Mapping[tuple[str, str], tuple[str, Sequence[Mapping[str, str]]]] = {
    ("components/vm_table.html", "'vms', 'bulk'"): (
        "vms/bulk",
        [{"action": name, "selected": "{vm}"} for name, action in VM_ACTIONS.items() if action.asks],
    ),
    ("hosts/list.html", "'hosts', 'bulk'"): (
        "hosts/bulk",
        [{"action": name, "selected": "1"} for name, action in HOST_ACTIONS.items() if action.asks],
    ),
    ("hosts/settings.html", "'hosts', host.id, 'settings'"): ("hosts/1/settings", [{"name": "elm"}]),
    ("hosts/settings.html", "'hosts', host.id, 'trust'"): (
        "hosts/1/trust",
        [
            {"action": "accept", "fingerprint": "ab" * 32},
            {"action": "confirm", "field": "host", "value": "1"},
            {"action": "confirm", "field": "identity", "value": "another"},
        ],
    ),
    ("hosts/add_trust.html", "'hosts', 'add'"): (
        "hosts/add",
        [
            {"step": "trust", "host": "1", "action": "confirm", "field": "host", "value": "1"},
            {"step": "trust", "host": "1", "action": "confirm", "field": "identity", "value": "another"},
        ],
    ),
}
_FORM = re.compile(r"<form\b[^>]*\bmethod=\"post\"[^>]*>.*?</form>", re.DOTALL)
_BUTTON = re.compile(r'name="action" value="(\w+)"')


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


def test_each_action_of_a_form_that_asks_is_sent_below() -> None:
    assert set(ASKING) == {form for form, reason in FORMS.items() if reason is ASKS}
    for (template, address), (_, sent) in ASKING.items():
        forms = [one for one in _FORM.findall((TEMPLATES / template).read_text()) if f"url({address})" in one]
        assert forms
        assert {name for one in forms for name in _BUTTON.findall(one)} <= {one.get("action", "") for one in sent}


@pytest.mark.slow
async def test_a_form_that_asks_shows_a_question_first(region: Deployment) -> None:
    client = WebClient(urlsplit(region.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    (machine,) = await region.get("machines/")
    csrf, before = (await client.get("/MAAS/ui/account")).csrf, await state_of(region)
    wrong = []
    for path, forms in ASKING.values():
        for form in forms:
            sent = {name: value.format(vm=machine["system_id"]) for name, value in form.items()}
            asked = await client.post(f"/MAAS/ui/{path}", None, csrf=csrf, **sent)
            if path == "hosts/add":  # a reload of the question shows it again
                asked = await client.get(asked.headers["Location"])
            if (asked.status, 'id="question"' in asked.text) != (200, True):
                wrong.append((path, form, asked.status))
    assert (wrong, await state_of(region)) == ([], before)
