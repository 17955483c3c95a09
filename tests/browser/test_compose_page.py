"""The form that composes a VM, in a browser."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor


@pytest.mark.first_tier
async def test_the_preview_follows_the_form_also_when_a_field_is_wrong(admin: Visitor) -> None:
    await admin.go("compose?host=alder")
    preview = admin.page.locator("#preview")
    await expect(preview).to_contain_text("chosen")
    await admin.page.fill("#memory", "5")
    await expect(preview).to_contain_text("Must be at least 1024")
    admin.expected_statuses.add(422)
    await admin.page.locator("button.p-button--positive[value=compose]").click()
    await expect(admin.page.locator("#problems")).to_contain_text("memory")
    await expect(admin.page.locator("#memory")).to_have_value("5")
    await admin.page.fill("#memory", "1024")
    await expect(preview).to_contain_text("chosen")
    await admin.page.fill("#hostname", "from-a-form")
    await admin.page.locator("button.p-button--positive[value=compose]").click()
    await expect(admin.page.locator("#task-head")).to_contain_text("Succeeded")
