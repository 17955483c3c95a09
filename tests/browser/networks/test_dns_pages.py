"""Domains and DNS names in the browser: added, changed, deleted, and their zone files."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.networks.test_device_pages import ask, follow, press
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment


def read(path: Path) -> str:
    return path.read_text()


@pytest.mark.first_tier
async def test_a_name_in_a_new_domain_is_in_its_zone_file(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("networks/dns/add")
    await page.fill("#name", "lab.example")
    await page.fill("#ttl", "300")
    await press(page, "Add domain")
    await follow(page, "Add DNS name")
    await page.fill("#name", "www")
    await page.fill("#ip_addresses", "10.1.0.7 10.1.0.8\nfd00::7")
    await press(page, "Add DNS name")
    await admin.go("networks/dns")
    await follow(page, "lab.example")
    await expect(page.locator("#names")).to_contain_text("fd00::7")
    await follow(page, "Edit www.lab.example")
    await page.fill("#ip_addresses", "10.1.0.7, 10.1.0.9")
    await press(page, "Save")
    await follow(page, "Zone file")
    await expect(page.locator("#zone-text")).to_contain_text("www IN A 10.1.0.9")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    file = await download.value
    assert file.suggested_filename == "lab.example.zone"
    assert "www IN A 10.1.0.9" in read(await file.path())
    (name,) = await fleet.get("dnsresources/")
    assert [one["ip"] for one in name["ip_addresses"]] == ["10.1.0.7", "10.1.0.9"]


async def test_a_domain_with_names_is_deleted_after_them(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await fleet.post("domains/", name="lab.example")
    await fleet.post("dnsresources/", fqdn="www.lab.example", ip_addresses="10.1.0.7")
    await admin.go("networks/dns")
    dialog = await ask(page, "Delete lab.example")
    await expect(dialog).to_contain_text("1 static names; delete them first")
    await expect(dialog.get_by_role("button")).to_have_count(0)
    await dialog.get_by_role("link", name="Cancel").click()
    await follow(page, "lab.example")
    await ask(page, "Delete www.lab.example")
    await press(page, "Delete DNS name")
    await expect(page.locator("#names")).to_contain_text("No DNS names")
    dialog = await ask(page, "Delete")
    await dialog.get_by_label("Type lab.example to confirm").fill("lab.example")
    await press(page, "Delete domain")
    await expect(page.locator("#domains")).not_to_contain_text("lab.example")


async def test_a_new_name_appears_on_the_open_page_of_its_domain(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("networks/dns/0")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await fleet.post("dnsresources/", fqdn="late.maas", ip_addresses="10.1.0.7")
    await expect(admin.page.locator("#names")).to_contain_text("late.maas")


async def test_the_pages_of_dns_are_accessible(admin: Visitor, fleet: Deployment) -> None:
    domain = await fleet.post("domains/", name="lab.example")
    name = await fleet.post("dnsresources/", fqdn="www.lab.example", ip_addresses="10.1.0.7")
    one, www = f"networks/dns/{domain['id']}", f"networks/dns-names/{name['id']}"
    paths = ("networks/dns", "networks/dns/add", one, f"{one}/edit", f"{one}/delete", f"{one}/zone")
    names = ("networks/dns-names/add", f"{www}/edit", f"{www}/delete", "networks/dns/0/zone")
    assert await admin.problems_of((*paths, *names)) == {}
