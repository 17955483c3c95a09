"""What open pages show and keep while the network, the region, the database or a rack is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Locator, Page, expect

from tests.deployment.runner import RACK, REGION
from tests.support.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment


@pytest.fixture
def mortal(tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    """The fleet on a region that can be killed, and whose database can be away."""
    from tests.browser.support.fleet import add_fleet
    from tests.deployment.in_process import deployed

    deployment = deployed(tmp_path, database_url, killable=True)
    started = settle(deployment.__aenter__())
    settle(started.start_rack())
    settle(add_fleet(started))
    yield started
    settle(deployment.__aexit__(None, None, None))


@pytest.fixture
def mira(chromium: Browser, mortal: Deployment) -> Iterator[Visitor]:
    """An administrator who is logged in. Its browser complains only that what is away does not answer."""
    from tests.browser.support.visitor import visitor

    came = settle(visitor(chromium, mortal, "mira"))
    settle(came.log_in())
    came.expects_outages = True
    yield came
    settle(came.leave())
    assert came.complaints == []


@asynccontextmanager
async def no_database(mortal: Deployment) -> AsyncIterator[None]:
    proxy = mortal.in_process.proxy
    assert proxy is not None
    proxy.shut()
    yield
    await proxy.open()


def live_state(page: Page) -> Locator:
    return page.locator("#live-state")


async def hostnames(mortal: Deployment) -> list[str]:
    return sorted(one["hostname"] for one in await mortal.get("machines/"))


async def test_a_cut_connection_loses_no_change_and_no_text(chromium: Browser, mortal: Deployment) -> None:
    from tests.browser.support.visitor import visitor
    from tests.deployment.link_proxy import LinkProxy

    wire = LinkProxy(region_port=mortal.in_process.settings.http_port)
    mira = await visitor(chromium, mortal, "mira", port=wire.port)
    mira.expects_outages = True
    async with wire.listening():
        await mira.log_in()
        await mira.page.clock.set_fixed_time(datetime(2026, 11, 21, 12, 0, tzinfo=UTC))
        await mira.go("vms")
        await expect(live_state(mira.page)).to_have_text("Live")
        await mira.page.locator("#q").press_sequentially("web", delay=20)
        await expect(mira.page.locator("#vms")).not_to_contain_text("db-1")
    await expect(live_state(mira.page)).to_have_text("Not live since 12:00")
    await mira.page.clock.set_fixed_time(datetime(2026, 11, 21, 12, 5, tzinfo=UTC))
    async with mira.page.expect_event("requestfailed"):  # it tries again, and is cut as long as before
        pass
    await expect(live_state(mira.page)).to_have_text("Not live since 12:00")
    await mortal.compose(mortal.hosts["birch"], hostname="web-2", memory=1024)
    async with wire.listening():
        await expect(live_state(mira.page)).to_have_text("Live")
        await expect(mira.page.locator("#vms")).to_contain_text("web-2")
        await expect(mira.page.locator("#q")).to_be_focused()
        assert await mira.page.input_value("#q") == "web"
        await mira.leave()
    assert mira.complaints == []


@pytest.mark.first_tier
async def test_a_form_outlives_the_death_of_the_region(mira: Visitor, mortal: Deployment) -> None:
    page = mira.page
    await mira.go("compose?host=birch")
    await page.fill("#hostname", "kept-1")
    await page.fill("#memory", "1024")
    await expect(live_state(page)).to_have_text("Live")
    mortal.kill(REGION)
    await expect(live_state(page)).to_contain_text("Not live since")
    compose = page.locator("button.p-button--positive[value=compose]")
    await compose.click()
    await expect(page.locator("[role=alert]")).to_contain_text("Innkeeper does not answer")
    assert await page.input_value("#hostname") == "kept-1"
    await mortal.restart(REGION)
    await mortal.in_process.restart(RACK)
    await expect(live_state(page)).to_have_text("Live")
    assert await page.input_value("#hostname") == "kept-1"
    await compose.click()
    await expect(page.locator("#note")).to_contain_text("succeeded")
    assert await hostnames(mortal) == ["db-1", "kept-1", "web-1"]


async def test_a_form_is_kept_while_the_database_is_away(mira: Visitor, mortal: Deployment) -> None:
    page = mira.page
    await mira.go("hosts/2/settings")
    await page.fill("#tags", "kept")
    async with no_database(mortal):
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("[role=alert]")).to_contain_text("database")
        assert await page.input_value("#tags") == "kept"
    await expect(live_state(page)).to_have_text("Live")
    await page.get_by_role("button", name="Review and save").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#note")).to_contain_text("Saved.")
    assert "kept" in (await mortal.get("vm-hosts/2/"))["tags"]


async def test_without_scripts_a_form_that_met_an_outage_is_sent_again(chromium: Browser, mortal: Deployment) -> None:
    from tests.browser.support.visitor import visitor

    mira = await visitor(chromium, mortal, "mira", scripts=False)
    mira.expects_outages = True
    await mira.log_in()
    await mira.go("zones/add")
    await mira.page.fill("#name", "east")
    async with no_database(mortal):
        await mira.page.get_by_role("button", name="Add zone").click()
        await expect(mira.page.locator("main")).to_contain_text("What you sent is still here")
    await mira.page.get_by_role("button", name="Send it again").click()
    await expect(mira.page.locator("h1")).to_contain_text("zones")
    assert "east" in [zone["name"] for zone in await mortal.get("zones/")]
    await mira.leave()
    assert mira.complaints == []


async def test_a_refresh_that_finds_no_session_leaves_typed_text(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("zones/add")
    await expect(live_state(admin.page)).to_have_text("Live")
    await admin.page.fill("#name", "east")
    await fleet.fetch("delete from web_session returning id")
    admin.expected_statuses.add(401)
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(admin.page.locator("[role=alert]")).to_contain_text("Your session has ended")
    assert await admin.page.input_value("#name") == "east"


async def test_pages_say_that_the_database_is_away_and_come_back(mira: Visitor, mortal: Deployment) -> None:
    async with no_database(mortal):
        for path in ("hosts", "vms/nosuch"):
            await mira.go(path, status=503)
            await expect(mira.page.locator("h1")).to_have_text("Not available now")
            await expect(mira.page.locator("main")).to_contain_text("cannot reach its database")
            assert mortal.in_process.proxy is not None
            assert str(mortal.in_process.proxy.folder) not in await mira.page.content()  # strangers see this page too
            assert "Traceback" not in await mira.page.content()
            assert await mira.violations() == []
        await mira.go("hosts", status=503)
    await expect(mira.page.locator("h1")).to_have_text("Hosts")
    await expect(live_state(mira.page)).to_have_text("Live")


async def test_an_open_page_says_that_the_database_is_away(mira: Visitor, mortal: Deployment) -> None:
    await mira.go("vms")
    await expect(live_state(mira.page)).to_have_text("Live")
    async with no_database(mortal):
        await expect(live_state(mira.page)).to_contain_text("Not live since")
        await expect(mira.page.locator("#vms")).to_contain_text("web-1")
    await mortal.compose(mortal.hosts["birch"], hostname="late-1", memory=1024)
    await expect(mira.page.locator("#vms")).to_contain_text("late-1")
    await expect(live_state(mira.page)).to_have_text("Live")


async def test_the_login_works_again_when_the_database_is_back(chromium: Browser, mortal: Deployment) -> None:
    from tests.browser.support.visitor import visitor

    mira = await visitor(chromium, mortal, "mira")
    mira.expects_outages = True
    async with no_database(mortal):
        await mira.log_in()
        await expect(mira.page.locator("[role=alert]")).to_contain_text("database")
        assert await mira.page.input_value("#username") == "mira"
    await mira.log_in()
    await expect(mira.page.locator("h1")).to_have_text("Overview")
    await mira.leave()
    assert mira.complaints == []


async def test_a_dead_rack_is_shown_until_it_is_back(mira: Visitor, mortal: Deployment) -> None:
    """Its hosts count as reachable for some seconds, in which a rack that was only restarted is back."""
    page = mira.page
    await mira.go("hosts/2/vms")
    await expect(live_state(page)).to_have_text("Live")
    mortal.kill(RACK)
    notice = page.locator("#host-notices")
    await expect(notice).to_contain_text("No connected rack reaches")
    await expect(page.locator("#host-head")).to_contain_text("Unreachable")
    await mira.go("settings/racks")
    await expect(page.locator("#racks")).to_contain_text("Disconnected")
    await mira.go("hosts/2/vms")
    await mortal.restart(RACK)
    await expect(page.locator("#host-head")).to_contain_text("Connected")
    await expect(notice).to_be_empty()
