"""The event log in the browser: filtered, followed live, and exported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment

PAGES = ("events", "events?level=error", "events?host=nothing")


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def test_the_pages_of_events_are_accessible(admin: Visitor) -> None:
    admin.expected_statuses.add(422)
    for path, status in zip(PAGES, (200, 200, 422), strict=True):
        for width, dark in ((1400, False), (320, True)):
            await admin.go(path, status=status)
            assert await admin.look(f"events-{width}-{status}-{PAGES.index(path)}", width=width, dark=dark) == [], path


async def test_events_are_filtered_by_what_they_are_about(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("overview")
    await admin.page.get_by_role("link", name="Events", exact=True).click()
    rows = admin.page.locator("#events tbody tr")
    await expect(rows.filter(has_text="alder").first).to_be_visible()
    await expect(rows.filter(has_text="birch").first).to_be_visible()
    await admin.page.fill("#host", "birch")
    await admin.page.get_by_role("button", name="Filter").click()
    await expect(rows.filter(has_text="alder")).to_have_count(0)
    await expect(rows.filter(has_text="birch").first).to_be_visible()
    await admin.page.get_by_role("link", name="Only events of the kind host added").first.click()
    await expect(rows).to_have_count(1)
    await expect(admin.page.locator("#kind")).to_have_value("host_added")
    admin.expected_statuses.add(422)
    await admin.page.fill("#host", "nothing-has-this-name")
    await admin.page.get_by_role("button", name="Filter").click()
    await expect(admin.page.locator("#host-error")).to_contain_text("nothing-has-this-name")


async def test_a_new_event_appears_on_the_open_page(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("events?kind=domain_created")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await expect(admin.page.locator("#events")).to_contain_text("No event matches")
    await fleet.post("domains/", name="lab.example")
    await expect(admin.page.locator("#events")).to_contain_text("lab.example")


async def test_the_events_that_match_are_exported(admin: Visitor, fleet: Deployment) -> None:
    await fleet.post("tags/", name="ssd")
    await admin.go("events?user=admin&kind=tag_created")
    for name in ("CSV", "JSON"):
        async with admin.page.expect_download() as download:
            await admin.page.get_by_role("link", name=f"Export {name}").click()
        lines = read_lines(await (await download.value).path())
        (one,) = csv.DictReader(lines) if name == "CSV" else map(json.loads, lines)
        assert one["kind"] == "tag_created"
        assert "ssd" in (one["message"] if name == "CSV" else one["description"])
