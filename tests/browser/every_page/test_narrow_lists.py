"""Lists as cards on a narrow screen: above each value is the head of its column, also when columns are hidden."""

from __future__ import annotations

import pytest

from tests.browser.support.visitor import Visitor

_CELLS = """() => [...document.querySelectorAll("table.ik-rows")].map((table) => ({
    heads: [...table.querySelectorAll("thead th")].slice(1).map((head) => head.textContent.trim()),
    rows: [...table.querySelectorAll("tbody tr:has(td)")].map((row) => [...row.querySelectorAll("th ~ td")].map(
        (cell) => getComputedStyle(cell, "::before").content.replaceAll('"', ""))),
}))"""
LISTS = (
    "vms", "vms?group=host", "vms?columns=task", "vms?columns=cores&columns=owner",
    "vms?columns=addresses&columns=pool", "vms?columns=host&columns=memory&columns=task", "hosts/1/vms",
    "hosts", "hosts?group=zone", "tasks",
)  # fmt: skip


@pytest.mark.parametrize("width", [320, 375])
async def test_each_value_has_the_head_of_its_column_above_it(admin: Visitor, width: int) -> None:
    await admin.page.set_viewport_size({"width": width, "height": 900})
    for path in LISTS:
        await admin.go(path)
        (table,) = await admin.page.evaluate(_CELLS)
        assert table["rows"], path
        assert {tuple(row) for row in table["rows"]} == {tuple(table["heads"])}, path


async def test_values_have_no_label_where_the_heads_are_visible(admin: Visitor) -> None:
    await admin.page.set_viewport_size({"width": 768, "height": 900})
    await admin.go("vms")
    (table,) = await admin.page.evaluate(_CELLS)
    assert {label for row in table["rows"] for label in row} == {"none"}


@pytest.mark.first_tier
async def test_links_and_ticks_of_a_row_name_their_vm(admin: Visitor) -> None:
    await admin.go("vms")
    row = admin.page.locator("#vms tbody tr", has_text="web-1")
    await row.get_by_role("checkbox", name="Select web-1", exact=True).check()
    await row.get_by_role("rowheader", name="web-1").get_by_role("link", name="web-1", exact=True).wait_for()
    await row.get_by_role("link", name="Compose web-1: succeeded", exact=True).click()
    await admin.page.wait_for_url("**/tasks/*")
