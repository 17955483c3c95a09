"""Error pages in the browser: they name the missing right and lead to the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.browser.support.fleet import PASSWORD
from tests.browser.support.visitor import Visitor, visitor

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.deployment.deployment import Deployment


async def test_a_refusal_names_the_right_and_who_can_give_it(chromium: Browser, fleet: Deployment) -> None:
    await fleet.post("users/", username="ann", email="ann@example.org", password=PASSWORD, is_superuser="0")
    ann = await visitor(chromium, fleet, "ann")
    await ann.enter()
    await ann.go("settings/users", status=403)
    main = ann.page.locator("main")
    await expect(ann.page.locator("h1")).to_have_text("You may not do this")
    await expect(main).to_contain_text("to be an administrator")
    await expect(main).to_contain_text("Another administrator can make ann one")
    await expect(ann.page.get_by_role("navigation", name="Main")).to_be_visible()  # the frame stays
    for width in (1400, 320):
        assert await ann.look("forbidden", width=width, dark=width == 320) == []
    await ann.page.get_by_role("link", name="Your roles").click()
    await expect(ann.page.locator("h1")).to_contain_text("ann")
    assert ann.complaints == []
    await ann.leave()


async def test_what_is_not_there_leads_to_its_list(admin: Visitor) -> None:
    for path, kind, title in (("hosts/418/vms", "host", "Hosts"), ("vms/zzzzzz", "VM", "VMs")):
        await admin.go(path, status=404)
        await expect(admin.page.locator("h1")).to_have_text(f"No such {kind}")
        assert await admin.look(f"no-{kind}", width=320) == []
        await admin.page.get_by_role("link", name=f"All {kind}s").click()
        await expect(admin.page.locator("h1")).to_have_text(title)
