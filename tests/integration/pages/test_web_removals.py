"""An answer confirms what the page of a removal or release showed: with more by then, it is shown again."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import evolve

from common.guests.compose_request import ComposeRequest
from regiond.clusters.service import apply_membership
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.accounts.test_zone_races import UncommittedDatabase, started
from tests.integration.hosts.test_clusters import FACTS
from tests.integration.machines.deployment.test_deployments import database
from tests.integration.support.rigs.concurrent_composes import SMALL, all_composed, compose_all, composer_of, stages_on
from tests.integration.support.web_client import Answer, WebClient
from tests.postgresql.database import execute
from tests.support.waiting import eventually, settle

UI = "/MAAS/ui"
CHANGED = "This changed since the page was shown: read it again."


@pytest.fixture
def region(innkeeper: Deployment) -> Deployment:
    async def prepare() -> None:
        await add_administrator_with_password(innkeeper)
        await innkeeper.add_simulated("alder", cores=8)
        await compose(innkeeper, "web")

    settle(prepare())
    return innkeeper


@pytest.fixture
def client(region: Deployment) -> WebClient:
    client = WebClient(urlsplit(region.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


async def compose(region: Deployment, name: str) -> Any:
    return await region.compose(region.hosts["alder"], hostname=name, cores=1, memory=1024, storage="root:1")


async def names(region: Deployment) -> list[str]:
    return sorted(one["hostname"] for one in await region.get("machines/"))


async def are_gone(region: Deployment, path: str = "machines/") -> bool:
    return list(await region.get(path)) == []


def is_asked_again(answer: Answer) -> bool:
    """The name has to be typed again: the one that was typed confirmed less."""
    is_typed = re.search(r'name="typed" value="[^"]', answer.text) is not None
    return (answer.status, CHANGED in answer.text, 'id="question"' in answer.text, is_typed) == (409, True, True, False)


async def test_a_vm_composed_meanwhile_is_shown_before_it_is_destroyed(region: Deployment, client: WebClient) -> None:
    path = f"{UI}/hosts/{region.hosts['alder']}/remove"
    shown = await client.get(f"{path}?destroy=1")
    assert shown.status == 200
    assert re.search(r"<b>web</b> on alder(, which is running)?, with root \(1 GB on \w+\)", shown.text)
    assert re.search(
        r'<span class="ik-second ik-break">root is volume ik-[0-9a-f]{32}-[0-9a-f]{32}-0</span>', shown.text
    )
    await compose(region, "late")
    again = await client.post(path, None, **shown.hidden, typed="alder")
    assert is_asked_again(again)
    assert "<b>late</b>" in again.text
    assert await names(region) == ["late", "web"]
    assert (await client.post(path, None, **again.hidden, typed="alder")).status == 303
    await eventually(lambda: are_gone(region, "vm-hosts/"))
    assert region.simulated_guests("alder") == []


async def test_a_vm_that_is_being_added_is_shown_first_too(region: Deployment, client: WebClient) -> None:
    """The compose commits after the answer has read its plan, and before the removal is opened."""
    path = f"{UI}/hosts/{region.hosts['alder']}/remove"
    shown = await client.get(f"{path}?destroy=1")
    uncommitted = UncommittedDatabase(database(region), asyncio.Event(), asyncio.Event())
    composer = composer_of(region, await stages_on(region, uncommitted))
    request = ComposeRequest(**SMALL, host_id=region.hosts["alder"], hostname="late")
    composing = asyncio.create_task(compose_all(region, request, composer=composer))
    await uncommitted.written.wait()
    answering = await started(region, client.post(path, None, **shown.hidden, typed="alder"))
    uncommitted.proceed.set()
    all_composed(await composing)
    again = await answering
    assert is_asked_again(again)
    assert "<b>late</b>" in again.text
    assert [one["state"] for one in await region.get("vm-hosts/")] == ["ready"]
    assert [one for one in await region.get("operations/") if one["kind"] == "remove_host"] == []


async def test_a_vm_deleted_meanwhile_does_not_ask_again(region: Deployment, client: WebClient) -> None:
    path = f"{UI}/hosts/{region.hosts['alder']}/remove"
    other = await compose(region, "other")
    shown = await client.get(f"{path}?destroy=1")
    await region.delete(f"machines/{other['system_id']}/")
    await eventually(lambda: _is_alone(region))
    assert (await client.post(path, None, **shown.hidden, typed="alder")).status == 303


async def _is_alone(region: Deployment) -> bool:
    return await names(region) == ["web"]


async def test_an_answer_without_a_plan_that_was_shown_is_asked_again(region: Deployment, client: WebClient) -> None:
    path = f"{UI}/hosts/{region.hosts['alder']}/remove"
    csrf = (await client.get(path)).csrf
    asked = await client.post(path, None, csrf=csrf, destroy="1", confirmed="yes", typed="alder")
    assert (asked.status, "Read what this does, then confirm it." in asked.text) == (409, True)
    assert [one["state"] for one in await region.get("vm-hosts/")] == ["ready"]


async def test_the_removal_of_a_cluster_shows_what_came_meanwhile(region: Deployment, client: WebClient) -> None:
    async with database(region).transaction() as db:
        await apply_membership(db, region.hosts["alder"], evolve(FACTS, cluster_member="alder"))
    (cluster,) = await region.get("vm-clusters/")
    path = f"{UI}/clusters/{cluster['id']}/remove"
    shown = await client.get(f"{path}?destroy=1")
    await compose(region, "late")
    again = await client.post(path, None, **shown.hidden, typed=cluster["name"])
    assert is_asked_again(again)
    assert (await client.post(path, None, **again.hidden, typed=cluster["name"])).status == 303
    await eventually(lambda: are_gone(region, "vm-hosts/"))


async def test_a_release_that_deletes_by_then_is_shown_first(region: Deployment, client: WebClient) -> None:
    machine = await region.post("machines/", op="allocate", name="web")
    path = f"{UI}/vms/{machine['system_id']}/release"
    shown = await client.get(path)
    assert "This is deleted for good" not in shown.text
    await execute(database(region), "update machine set composed_by_allocate = true")
    again = await client.post(path, None, **shown.hidden, erase="", comment="")
    assert is_asked_again(again)
    assert "This is deleted for good" in again.text
    assert again.text.index("This is deleted for good") < again.text.index("What this means:")
    assert (await region.get(f"machines/{machine['system_id']}/"))["status_name"] == "Allocated"
    assert (await client.post(path, None, **again.hidden, typed="web")).status == 303
    await eventually(lambda: are_gone(region))


async def test_a_vm_that_was_started_meanwhile_is_shown_as_running(region: Deployment, client: WebClient) -> None:
    (machine,) = await region.get("machines/")
    path = f"{UI}/vms/{machine['system_id']}/delete"
    shown = await client.get(path)
    await region.post(f"machines/{machine['system_id']}/", op="power_on")
    again = await client.post(path, None, **shown.hidden, typed="web")
    assert is_asked_again(again)
    assert "which is running" in again.text


@pytest.mark.parametrize("action", ["release", "delete"])
async def test_many_vms_are_shown_again_if_more_is_deleted(region: Deployment, client: WebClient, action: str) -> None:
    machine = await region.post("machines/", op="allocate", name="web")
    path, system_id = f"{UI}/vms/bulk", machine["system_id"]
    csrf = (await client.get(f"{UI}/account")).csrf
    shown = await client.post(path, None, csrf=csrf, action=action, selected=system_id)
    assert shown.status == 200
    await region.post(f"machines/{system_id}/", op="power_on")
    await execute(database(region), "update machine set composed_by_allocate = true")
    again = await client.post(path, None, **shown.hidden, typed="web", at_once="4")
    assert is_asked_again(again)
    assert again.hidden["selected"] == system_id
    assert [one for one in await region.get("operations/") if one["kind"] == "bulk"] == []
    assert (await client.post(path, None, **again.hidden, typed="web", at_once="4")).status == 303
    await eventually(lambda: are_gone(region))


async def test_a_range_added_to_a_subnet_is_shown_before_it_goes(region: Deployment, client: WebClient) -> None:
    subnet = await region.post("subnets/", cidr="10.9.0.0/24")
    path = f"{UI}/networks/subnets/{subnet['id']}/delete"
    shown = await client.get(path)
    await region.post("ipranges/", type="reserved", start_ip="10.9.0.5", end_ip="10.9.0.9")
    again = await client.post(path, None, **shown.hidden)
    assert is_asked_again(again)
    assert "10.9.0.5" in again.text
    assert (await client.post(path, None, **again.hidden)).status == 303


async def test_the_place_of_what_is_left_is_shown_before_it_is_used(region: Deployment, client: WebClient) -> None:
    zone = await region.post("zones/", name="east")
    await region.put(f"vm-hosts/{region.hosts['alder']}/", zone="east")
    path = f"{UI}/zones/{zone['id']}/delete"
    shown = await client.get(path)
    assert "Not possible yet" in shown.text
    again = await client.post(path, None, **shown.hidden, typed="east", move_to="default")
    assert again.status == 409
    assert 'class="ik-plan"' in again.text
    assert (await client.post(path, None, **again.hidden, typed="east", move_to="default")).status == 303
    assert [one["name"] for one in await region.get("zones/")] == ["default"]


async def test_a_missing_vm_does_not_stay_and_only_lxd_has_trust(region: Deployment, client: WebClient) -> None:
    region.simulated("alder").remove("web")
    await region.post(f"vm-hosts/{region.hosts['alder']}/", op="refresh")
    page = await client.get(f"{UI}/hosts/{region.hosts['alder']}/remove")
    assert page.status == 200
    assert "Missing on the host; their records stay: web." in page.text
    assert "This stays:" not in page.text
    assert "Keep the trust" not in page.text
