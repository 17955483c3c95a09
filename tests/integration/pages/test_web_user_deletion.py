"""The page that deletes a user: what the user owns, and the choice whose it becomes."""

from __future__ import annotations

import re

from tests.deployment.deployment import Deployment
from tests.integration.accounts.test_user_belongings import with_all, with_leavable
from tests.integration.pages.machines.test_web_disks import UI, client, send
from tests.integration.pages.machines.test_web_lost_storage import page
from tests.integration.support.users import as_user
from tests.integration.support.web_client import Answer, WebClient

__all__ = ["client"]
DELETION = "settings/users/ann/delete"


def choices(text: str) -> list[str]:
    form = text.partition('name="transfer_resources_to"')[2].partition("</select>")[0]
    return re.findall(r"<option[^>]*>([^<]*)</option>", form)


async def answered(client: WebClient, choice: str) -> Answer:
    """Chooses, reads what happens, types the name and confirms."""
    shown = await send(client, DELETION, action="plan", transfer_resources_to=choice)
    assert shown.status == 200, shown.text
    form = {"csrf": shown.csrf, **shown.hidden, "transfer_resources_to": choice, "typed": "ann"}
    return await client.post(UI + DELETION, None, **form)


async def test_the_page_lists_what_the_user_owns_and_asks(innkeeper: Deployment, client: WebClient) -> None:
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    await as_user(innkeeper, "eve")
    await innkeeper.put("users/eve/", is_active="false")
    await with_all(innkeeper, ann)
    shown = await page(client, DELETION)
    for kind, name in (("machine", "mine"), ("file", "state"), ("kept disk", "disk of made"), ("export", "made")):
        assert f"<li>{kind} <b>{name}</b></li>" in shown
    assert choices(shown) == ["Choose a user", "admin", "bob", "mira"], "what needs an owner is never left to nobody"
    refused = await send(client, DELETION, typed="ann")
    assert (refused.status, "it owns 1 machine (mine)" in refused.text) == (422, True)
    assert (await send(client, DELETION, typed="ann", transfer_resources_to="bob")).status == 409, (
        "its plan is not read"
    )
    assert (await answered(client, "bob")).status == 303
    assert (await bob.get("machines/mine/"))["owner"] == "bob"


async def test_the_page_leaves_it_to_administrators_alone(innkeeper: Deployment, client: WebClient) -> None:
    await with_leavable(innkeeper, await as_user(innkeeper, "ann"))
    assert choices(await page(client, DELETION))[-1] == "Administrators alone"
    asked = await send(client, DELETION, action="plan", transfer_resources_to=":leave_to_administrators")
    assert "Only administrators may use 1 machine without owner, 1 kept disk and 1 export from then on." in asked.text
    assert (await answered(client, ":leave_to_administrators")).status == 303
    assert [one["owner"] for one in await innkeeper.get("kept-disks/")] == [None]
    for place in (f"hosts/{innkeeper.hosts['sim']}/resources", "settings/exports"):
        assert "administrators alone" in (await client.get(UI + place)).text


async def test_the_page_offers_no_choice_of_nothing(innkeeper: Deployment, client: WebClient) -> None:
    await as_user(innkeeper, "ann")
    shown = await page(client, DELETION)
    assert choices(shown) == ["Nobody: it owns nothing", "admin", "mira"]
    assert (await answered(client, "")).status == 303
