"""The pages of imports from MAAS, without a browser: what they show, what they send, and what they refuse."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import evolve

from common.maas.inventory import Machine, User
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import begin, inventory
from tests.integration.support.web_client import Answer, WebClient
from tests.support.waiting import eventually, settle

LIST = "/MAAS/ui/settings/maas-imports"


@pytest.fixture
def client(innkeeper: Deployment) -> WebClient:
    settle(add_administrator_with_password(innkeeper))
    created = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    assert settle(created.log_in("mira", PASSWORD)).status == 303
    return created


def names(answer: Answer, kind: str = "") -> list[str]:
    """The objects in the table at the end."""
    table = answer.text.partition('id="objects"')[2]
    return re.findall(rf'<tr id="({kind}[a-z]*-[^"]+)"', table)


def digest(answer: Answer) -> str:
    (found,) = re.findall(r'name="digest" value="([0-9a-f]{64})"', answer.text)
    return str(found)


async def send(client: WebClient, path: str, **fields: Any) -> Answer:
    page = await client.get(path)
    return await client.post(path, None, csrf=page.csrf, digest=digest(page), **fields)


async def ended(innkeeper: Deployment, import_id: int) -> Any:
    found = await innkeeper.get(f"maas-imports/{import_id}/")

    async def is_over() -> bool:
        return (await innkeeper.get(f"operations/{found['operation']}/"))["state"] in {"succeeded", "failed"}

    await eventually(is_over)
    return await innkeeper.get(f"maas-imports/{import_id}/")


async def test_the_list_names_what_was_read(innkeeper: Deployment, client: WebClient) -> None:
    empty = await client.get(LIST)
    assert "Nothing was read of a MAAS yet" in empty.text
    assert "innkeeper import maas --dump" in empty.text
    begun = await begin(innkeeper, inventory())
    page = await client.get(LIST)
    assert f'href="{LIST}/{begun["id"]}"' in page.text
    assert "maas.sql" in page.text


async def test_a_plan_shows_conflicts_with_their_choices(innkeeper: Deployment, client: WebClient) -> None:
    begun = await begin(innkeeper, inventory())
    page = await client.get(f"{LIST}/{begun['id']}")
    select = re.search(r'<select[^>]*name="choice-users-1".*?</select>', page.text, re.DOTALL)
    assert select is not None
    assert re.findall(r'value="([a-z_=]*)"', select[0]) == ["", "same", "rename=", "leave_out"]
    assert "There is a user admin here" in page.text
    assert 'name="name-users-1"' in page.text


async def test_the_objects_of_a_plan_are_filtered(innkeeper: Deployment, client: WebClient) -> None:
    begun = await begin(innkeeper, inventory())
    path = f"{LIST}/{begun['id']}"
    assert names(await client.get(f"{path}?kind=machines&state=new")) == [
        "machines-abcde1", "machines-abcde2", "machines-abcde3",
    ]  # fmt: skip
    assert names(await client.get(f"{path}?kind=machines&state=left_out")) == ["machines-abcde4"]
    assert names(await client.get(f"{path}?state=conflict")) == ["users-1"]
    assert "No such objects." in (await client.get(f"{path}?kind=hosts&state=exists")).text
    assert "No such objects." in (await client.get(f"{path}?kind=wrong")).text
    assert len(names(await client.get(path))) > 10


@pytest.mark.slow
async def test_an_import_needs_every_choice_and_ends_with_its_result(innkeeper: Deployment, client: WebClient) -> None:
    begun = await begin(innkeeper, inventory())
    path = f"{LIST}/{begun['id']}"
    refused = await send(client, path)
    assert refused.status == 422
    assert "Choose what becomes of it." in refused.text
    assert await innkeeper.get("vm-hosts/") == []
    sent = await send(client, path, **{"choice-users-1": "same"})
    assert sent.status == 303
    assert (await ended(innkeeper, begun["id"]))["failures"] == []
    page = await client.get(path)
    assert len(await innkeeper.get("machines/")) == 3
    assert 'href="?kind=machines&amp;state=exists"' in page.text
    task = (await client.get(f"/MAAS/ui/tasks/{(await innkeeper.get('maas-imports/'))[0]['operation']}")).text
    assert "Import from maas.sql" in task
    assert (await client.get("/MAAS/ui/tasks")).status == 200


@pytest.mark.slow
async def test_another_name_and_what_is_left_out_are_sent(innkeeper: Deployment, client: WebClient) -> None:
    begun = await begin(innkeeper, inventory())
    path = f"{LIST}/{begun['id']}"
    without = await send(client, path, **{"choice-users-1": "rename="})
    assert (without.status, "Enter the other name." in without.text) == (422, True)
    for words in ("something", "machines:unknown", "zones:2", "machines:"):
        wrong = await send(client, path, **{"choice-users-1": "same", "leave_out": words})
        assert (wrong.status, f'value="{words}"' in wrong.text) == (422, True), wrong.text
    fields = {
        "choice-users-1": "rename=", "name-users-1": "chief", "leave_out": "machines:abcde1, machines:abcde2",
    }  # fmt: skip
    assert (await send(client, path, **fields)).status == 303
    await ended(innkeeper, begun["id"])
    assert {one["hostname"] for one in await innkeeper.get("machines/")} == {"vm-3"}
    assert "chief" in {one["username"] for one in await innkeeper.get("users/")}


async def test_a_page_of_before_is_refused(innkeeper: Deployment, client: WebClient) -> None:
    begun = await begin(innkeeper, inventory())
    path = f"{LIST}/{begun['id']}"
    page = await client.get(path)
    sent: dict[str, Any] = {"csrf": page.csrf, "digest": digest(page), "choice-users-1": "same"}
    await innkeeper.post("zones/", name="east")
    answer = await client.post(path, None, **sent)
    assert (answer.status, "The plan is another by now." in answer.text) == (409, True)
    assert digest(answer) != digest(page)
    await innkeeper.post("devices/", hostname="vm-1", mac_addresses="52:54:00:00:00:01")
    answer = await client.post(path, None, **sent)
    assert answer.status == 422
    assert 'name="choice-machines-abcde1"' in answer.text
    assert await innkeeper.get("vm-hosts/") == []


@pytest.mark.slow
async def test_failures_are_shown_with_their_reasons(innkeeper: Deployment, client: WebClient) -> None:
    found = inventory()
    lost = Machine(system_id="abcde9", hostname="lost", host_id="7", instance="<b>gone</b>", status=6)
    begun = await begin(
        innkeeper, evolve(found, users=(User(id="2", username="ops"),), machines=(*found.machines, lost))
    )
    path = f"{LIST}/{begun['id']}"
    assert (await send(client, path)).status == 303
    assert len((await ended(innkeeper, begun["id"]))["failures"]) == 1
    page = (await client.get(path)).text
    assert "1 object could not be imported" in page
    assert "old-kvm has no VM &lt;b&gt;gone&lt;/b&gt;" in page


async def test_all_failures_are_counted_and_the_first_are_shown(innkeeper: Deployment, client: WebClient) -> None:
    begun = await begin(innkeeper, inventory())
    many = [{"kind": "machines", "source_id": f"x{one}", "name": "vm", "reason": "gone"} for one in range(501)]
    await innkeeper.fetch("update maas_import set failures = $1 returning id", json.dumps(many))
    found = await innkeeper.get(f"maas-imports/{begun['id']}/")
    assert (found["failed"], len(found["failures"])) == (501, 500)
    page = (await client.get(f"{LIST}/{begun['id']}")).text
    assert "501 objects could not be imported" in page
    assert "500 of 501 are shown" in page
    (listed,) = await innkeeper.get("maas-imports/")
    assert (listed["failed"], "failures" in listed) == (501, False)
    assert "501 objects failed" in (await client.get(LIST)).text


async def test_what_was_read_is_deleted_after_a_question(innkeeper: Deployment, client: WebClient) -> None:
    begun = await begin(innkeeper, inventory())
    path = f"{LIST}/{begun['id']}/delete"
    page = await client.get(path)
    assert "What was imported from it stays as it is." in page.text
    assert (await client.post(path, None, **page.hidden)).status == 303
    assert await innkeeper.get("maas-imports/") == []
    for missing in (f"{LIST}/{begun['id']}", f"{LIST}/999", f"{LIST}/x"):
        assert (await client.get(missing)).status == 404


async def test_a_maas_that_does_not_answer_is_refused_in_words(client: WebClient) -> None:
    path = "/MAAS/ui/settings/new-maas-import"
    page = await client.get(path)
    for fields in ({}, {"url": "http://127.0.0.1:9/MAAS"}, {"url": "nothing", "key": "a:b:c"}):
        answer = await client.post(path, None, csrf=page.csrf, **fields)
        assert answer.status == 422, answer.text
    answer = await client.post(path, csrf=page.csrf, url="http://127.0.0.1:9/MAAS", key="a:b:c")
    assert answer.status >= 400
    assert "the connection is refused" in answer.text
    assert "a:b:c" not in answer.text
