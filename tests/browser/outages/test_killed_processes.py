"""A form in the browser while real processes are killed: the region, PostgreSQL and the rack, each with SIGKILL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.deployment.runner import POSTGRES, RACK, REGION
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.deployment.deployment import Deployment

pytestmark = pytest.mark.fault


@pytest.fixture
def deployment(tmp_path: Path, server_folder: Path) -> Iterator[Deployment]:
    """A deployment of processes; the test starts them."""
    from tests.deployment.processes import as_processes

    created = as_processes(folder=tmp_path, server_folder=server_folder)
    yield created
    created.processes.kill_all()


async def is_lost(deployment: Deployment) -> bool:
    """Whether the region has noticed that its rack is dead."""
    return not await deployment.is_linked()


async def test_a_form_outlives_the_death_of_every_process(chromium: Browser, deployment: Deployment) -> None:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    await deployment.start()
    await add_administrator_with_password(deployment)
    await deployment.add_simulated("birch")
    mira = await visitor(chromium, deployment, "mira")
    mira.expects_outages = True
    page, live, refused = mira.page, mira.page.locator("#live-state"), mira.page.locator("[role=alert]")
    await mira.log_in()
    await mira.go("compose?host=birch")
    await page.fill("#hostname", "kept-1")
    await page.fill("#memory", "1024")
    compose = page.locator("button.p-button--positive[value=compose]")
    for process, reason in ((REGION, "Innkeeper does not answer"), (POSTGRES, "cannot reach its database")):
        await expect(live).to_have_text("Live")
        deployment.kill(process)
        await expect(live).to_contain_text("Not live since")
        await compose.click()
        await expect(refused).to_contain_text(reason)
        assert await page.input_value("#hostname") == "kept-1"
        await deployment.restart(process)
    await expect(live).to_have_text("Live")
    deployment.kill(RACK)
    await eventually(lambda: is_lost(deployment))
    mira.expected_statuses.add(409)
    await compose.click()
    await expect(refused).to_contain_text("no connected rack reaches it")
    assert await page.input_value("#hostname") == "kept-1"
    await deployment.restart(RACK)
    await compose.click()
    await expect(page.locator("#note")).to_contain_text("succeeded")
    assert [one["hostname"] for one in await deployment.get("machines/")] == ["kept-1"]
    await mira.leave()
    assert mira.complaints == []
