"""The pages that release VMs over HTTP: what becomes of the disks, what is refused, and of one VM and of several."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployments import database, deploy, reaches
from tests.integration.machines.deployment.test_release_options import steps_of_release
from tests.integration.support.adoption import adopt
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.integration.support.web_client import Answer, WebClient
from tests.postgresql.database import execute
from tests.support.waiting import eventually, settle

BULK = "/MAAS/ui/vms/bulk"


@pytest.fixture
def system_id(innkeeper: Deployment) -> str:
    """A deployed machine with two disks, both of which its operating system has written to."""
    settle(add_administrator_with_password(innkeeper))
    settle(add_image(innkeeper))
    host = settle(innkeeper.add_simulated(cores=8, storage_gb=1000))
    made = settle(innkeeper.compose(host["id"], cores=1, memory=1024, hostname="vm", storage="root:8,data:8"))
    settle(deploy(innkeeper, made["system_id"]))
    settle(reaches(innkeeper, made["system_id"], "Deployed"))
    assert innkeeper.simulated().written_disks_of("vm") == [True, True]
    return str(made["system_id"])


async def logged_in(innkeeper: Deployment) -> WebClient:
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    return client


async def release(innkeeper: Deployment, system_id: str, **fields: str) -> Answer:
    """Sends the form as it is shown, without scripts, with other values."""
    client, path = await logged_in(innkeeper), f"/MAAS/ui/vms/{system_id}/release"
    page = await client.get(path)
    assert page.status == 200
    return await client.post(path, None, **{**page.hidden, "erase": "", "comment": "", **fields})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "left", "shuts_down"),
    [
        ({}, [False, True], True),
        ({"erase": "quick"}, [False, False], True),
        ({"erase": "secure"}, [False, False], True),
        ({"erase": "quick", "force": "true"}, [False, False], False),
    ],
)
async def test_the_form_releases_as_it_says(
    innkeeper: Deployment, system_id: str, fields: dict[str, str], left: list[bool], shuts_down: bool
) -> None:
    assert (await release(innkeeper, system_id, comment="no longer needed", **fields)).status == 303
    await reaches(innkeeper, system_id, "Ready")
    assert innkeeper.simulated().written_disks_of("vm") == left
    assert ("shut_down" in await steps_of_release(innkeeper)) == shuts_down
    (operation,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "release"]
    query = "select (request ->> 'overwrite')::boolean as overwrites from operation where id = $1"
    (found,) = await innkeeper.fetch(query, operation["id"])
    assert found["overwrites"] == (fields.get("erase") == "secure")
    assert "no longer needed" in str(await innkeeper.fetch("select details from event where kind = 'machine_released'"))


async def test_a_refusal_is_at_its_field_and_keeps_what_was_typed(innkeeper: Deployment, system_id: str) -> None:
    await innkeeper.post(f"machines/{system_id}/", op="release")
    host = await innkeeper.add_simulated("elm", guests=1)
    (machine,) = await adopt(innkeeper, host, all="true")
    name = machine["hostname"]
    answer = await release(innkeeper, machine["system_id"], erase="secure", comment="<b>why</b>", typed=name)
    assert answer.status == 422
    assert "was adopted" in answer.text.split('id="erase-error"')[1].split("</p>")[0]
    checked = answer.text.split('id="erase-secure"')[1].split(">")[0]
    assert " checked" in checked
    assert 'value="&lt;b&gt;why&lt;/b&gt;"' in answer.text
    too_long = await release(innkeeper, machine["system_id"], comment="c" * 5000, typed=name)
    assert (too_long.status, 'id="comment-error"' in too_long.text) == (422, True)
    assert (await innkeeper.get(f"machines/{machine['system_id']}/"))["status_name"] == "Deployed"


@pytest.mark.slow
async def test_the_release_of_an_adopted_vm_takes_its_name(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    host = await innkeeper.add_simulated("elm", guests=1)
    (machine,) = await adopt(innkeeper, host, all="true")
    client = await logged_in(innkeeper)
    assert "Deployed, adopted" in (await client.get("/MAAS/ui/vms")).text
    page = (await client.get(f"/MAAS/ui/vms/{machine['system_id']}/release")).text
    assert "It is running: its release shuts foreign-0001 down" in page
    refused = await release(innkeeper, machine["system_id"])
    assert (refused.status, 'id="typed-error"' in refused.text) == (422, True)
    assert (await innkeeper.get(f"machines/{machine['system_id']}/"))["power_state"] == "on"
    assert (await release(innkeeper, machine["system_id"], typed="foreign-0001")).status == 303
    await reaches(innkeeper, machine["system_id"], "Ready")


async def test_the_page_of_an_adoption_names_the_owner(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    await as_user(innkeeper, "ann")
    host = await innkeeper.add_simulated("elm", guests=2)
    client, path = await logged_in(innkeeper), f"/MAAS/ui/hosts/{host['id']}/adopt"
    first, second = await innkeeper.get("virtual-machines/")
    page = await client.get(f"{path}?guest={first['id']}")
    assert '<option value="mira" selected>' in page.text
    assert (
        await client.post(path, None, csrf=page.csrf, guest=str(first["id"]), owner="ann", confirmed="yes")
    ).status == 303

    async def one_is_left() -> bool:
        return "Adopt all 1 VM" in (await client.get(f"{path}?all=1")).text

    await eventually(one_is_left)
    page = await client.get(f"{path}?all=1")
    answer = {"csrf": page.csrf, "all": "1", "confirmed": "yes"}
    assert (await client.post(path, None, **answer, owner="mira")).status == 409  # for none that was shown
    answer["guest"] = str(second["id"])
    unknown = await client.post(path, None, **answer, owner="nobody")
    assert (unknown.status, 'id="owner-error"' in unknown.text) == (422, True)
    assert (await client.post(path, None, **answer, owner="mira")).status == 303
    await eventually(lambda: _are_owned(innkeeper, {"ann", "mira"}))


async def _are_owned(innkeeper: Deployment, owners: set[str]) -> bool:
    return {machine["owner"] for machine in await innkeeper.get("machines/")} == owners


@pytest.mark.slow
async def test_a_release_that_deletes_takes_the_name_and_offers_no_quick_erase(
    innkeeper: Deployment, system_id: str
) -> None:
    await execute(database(innkeeper), "update machine set composed_by_allocate = true")
    client = await logged_in(innkeeper)
    page = (await client.get(f"/MAAS/ui/vms/{system_id}/release")).text
    assert ('id="erase-secure"' in page, 'id="erase-quick"' in page, 'id="typed"' in page) == (True, False, True)
    refused = await release(innkeeper, system_id, typed="other", erase="secure")
    assert (refused.status, 'id="typed-error"' in refused.text) == (422, True)
    released = await release(innkeeper, system_id, typed="vm", erase="secure")
    assert (released.status, released.headers["Location"]) == (303, "/MAAS/ui/vms")  # its own page is gone soon
    await eventually(lambda: _is_gone(innkeeper))
    assert innkeeper.simulated().guest_names() == []
    cookie = released.headers["Set-Cookie"]
    assert "Path=/MAAS/ui/vms;" in f"{cookie};"


async def _is_gone(innkeeper: Deployment) -> bool:
    return list(await innkeeper.get("machines/")) == []


@pytest.mark.slow
async def test_several_are_released_with_the_same_options(innkeeper: Deployment, system_id: str) -> None:
    client = await logged_in(innkeeper)
    csrf = (await client.get("/MAAS/ui/account/ssh-keys")).csrf
    asked = await client.post(BULK, None, csrf=csrf, action="release", selected=system_id)
    assert (asked.status, 'id="erase-quick"' in asked.text, 'id="force"' in asked.text) == (200, True, True)
    sent = {**asked.hidden, "typed": "vm", "erase": "quick", "force": "true", "comment": "all of them"}
    too_long = await client.post(BULK, None, **{**sent, "comment": "c" * 5000})
    assert (too_long.status, 'id="comment-error"' in too_long.text) == (422, True)
    assert (await client.post(BULK, None, **sent)).status == 303
    await reaches(innkeeper, system_id, "Ready")
    assert innkeeper.simulated().written_disks_of("vm") == [False, False]
    assert "shut_down" not in await steps_of_release(innkeeper)
    assert "all of them" in str(await innkeeper.fetch("select details from event where kind = 'machine_released'"))
