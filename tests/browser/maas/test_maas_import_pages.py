"""Imports from MAAS in the browser: begun, planned, decided, carried out, reported, and a parallel run beside MAAS."""

from __future__ import annotations

import re

import pytest
from attrs import evolve
from playwright.async_api import expect

from common.maas.inventory import Machine
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import begin, inventory
from tests.integration.support.rigs.maas_parallel import ADMIN_TOKEN, compare, hosts, maas, url, watched
from tests.maas_api.authentication import api_key
from tests.maas_api.simulated_site import machine
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NORTH

__all__ = ["maas", "url"]
LIST = "settings/maas-imports"
WIDTHS = (320, 1400)


async def looks(admin: Visitor, name: str, *, reload: bool = True) -> list[str]:
    """What is wrong with the page at the widths of a desktop and a phone."""
    return [problem for width in WIDTHS for problem in await admin.look(name, width=width, reload=reload)]


async def with_a_lost_machine(fleet: Deployment) -> int:
    """Begins an import that cannot bring one of its machines, and returns its number."""
    found = inventory()
    lost = Machine(system_id="abcde9", hostname="lost", host_id="7", instance="gone", status=6)
    begun = await begin(fleet, evolve(found, machines=(*found.machines, lost)))
    return int(begun["id"])


@pytest.mark.opens(LIST, "settings/new-maas-import")
async def test_a_maas_is_read_after_a_refused_form(admin: Visitor, maas: Maas, url: str) -> None:
    page = admin.page
    await admin.go("settings")
    await page.get_by_role("link", name="Imports from MAAS").first.click()
    await expect(page.locator("main")).to_contain_text("Nothing was read of a MAAS yet")
    assert await looks(admin, "maas-imports-empty") == []
    await page.get_by_role("link", name="Import from MAAS", exact=True).click()
    assert await looks(admin, "maas-import-new") == []
    admin.expected_statuses.add(422)
    await page.get_by_label("URL").fill("nothing")
    await page.get_by_label("API key").fill("a:b")
    await page.get_by_role("button", name="Read this MAAS").click()
    await expect(page.locator("#url-error")).to_contain_text("is no address of a MAAS")
    await expect(page.get_by_label("URL")).to_have_value("nothing")
    await expect(page.get_by_label("API key")).to_have_value("")
    assert await looks(admin, "maas-import-refused", reload=False) == []
    await page.get_by_label("URL").fill(url)
    await page.get_by_label("API key").fill(api_key(maas, ADMIN_TOKEN))
    await page.get_by_label("Only watch it for now").check()
    await page.get_by_role("button", name="Read this MAAS").click()
    await expect(page.locator("h1")).to_have_text(f"Import from {url}")
    await expect(page.get_by_role("heading", name="Parallel run")).to_be_visible()
    assert maas.changes == []


@pytest.mark.opens(f"{LIST}/<import>")
async def test_a_plan_is_filtered_decided_and_carried_out(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    number = await with_a_lost_machine(fleet)
    await admin.go(LIST)
    assert await looks(admin, "maas-imports") == []
    await page.get_by_role("link", name="Plan of maas.sql").click()
    assert await looks(admin, "maas-import-plan") == []
    await page.get_by_role("link", name="VMs, Left out: 1").click()
    rows = page.locator("#objects tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("MAAS is at work on it (Deploying)")
    await page.get_by_role("link", name="Show all").click()
    admin.expected_statuses.add(422)
    form = page.locator("form#import")
    await form.get_by_role("button", name="Import").click()
    await expect(page.locator("form#import")).to_contain_text("Choose what becomes of it.")
    assert await looks(admin, "maas-import-undecided", reload=False) == []
    await form.get_by_label("Users: admin").select_option("same")
    await form.get_by_label("Leave out as well").fill("machines:abcde3")
    await form.get_by_role("button", name="Import").click()
    await expect(page.locator("main")).to_contain_text("could not be imported")
    await expect(page.locator("main")).to_contain_text("has no VM gone")
    assert await looks(admin, "maas-import-report") == []
    await page.get_by_role("link", name=re.compile(r"^VMs, Here: 2$")).click()
    await expect(page.locator("#objects tbody tr")).to_have_count(2)
    found = await fleet.get(f"maas-imports/{number}/")
    await admin.go(f"tasks/{found['operation']}")
    await expect(page.locator("h1")).to_contain_text("Import from maas.sql")
    assert await looks(admin, "maas-import-task") == []


@pytest.mark.opens(f"{LIST}/<import>/delete")
async def test_what_was_read_is_deleted_after_a_question(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    number = await with_a_lost_machine(fleet)
    await admin.go(LIST)
    await page.get_by_role("link", name="Delete what was read of maas.sql").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("What was imported from it stays as it is.")
    assert await admin.look("maas-import-delete-dialog", width=320, reload=False) == []
    await admin.go(f"{LIST}/{number}/delete")
    assert await looks(admin, "maas-import-delete") == []
    await page.locator("main").get_by_role("button", name="Delete").click()
    await expect(page.locator("main")).to_contain_text("Nothing was read of a MAAS yet")
    assert await fleet.get("maas-imports/") == []


@pytest.mark.opens(f"{LIST}/<import>/hosts/<host>/take-over", f"{LIST}/<import>/hosts/<host>/give-back")
async def test_a_host_is_handed_over_after_its_differences(
    admin: Visitor, fleet: Deployment, maas: Maas, url: str
) -> None:
    page = admin.page
    begun = await watched(fleet, maas, url)
    machine(maas, NORTH, 1)["cpu_count"] = 4
    place = f"{LIST}/{begun['id']}"
    await admin.go(place)
    await page.get_by_role("button", name="Compare now").click()
    await expect(page.locator("#differences")).to_contain_text("foreign-0002")
    assert await looks(admin, "maas-parallel-run") == []
    host = (await hosts(fleet))["kvm-north"]["id"]
    for way in ("take-over", "give-back"):
        if way == "give-back":
            machine(maas, NORTH, 1)["cpu_count"] = 1
            await compare(fleet, begun)
        await admin.go(f"{place}/hosts/{host}/{way}")
        assert await looks(admin, f"maas-{way}") == []
        name = {"take-over": "Take kvm-north over", "give-back": "Give kvm-north back"}
        await page.locator("main").get_by_role("button", name=name[way]).click()
        other = {"take-over": "Give kvm-north back", "give-back": "Take kvm-north over"}
        await expect(page.get_by_role("link", name=other[way])).to_be_visible()
        assert await looks(admin, f"maas-after-{way}") == []
    assert maas.changes == []
