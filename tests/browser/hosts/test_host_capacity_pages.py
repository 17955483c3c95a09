"""The capacity of a host in a browser: ring, meters, NUMA nodes, one table of cores; its networks and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

# Texts of a meter that lie on each other, or a part of a text that continues in another line.
_FAULTS = """
[...document.querySelectorAll(".ik-meter__text")].flatMap((text) => {
  const parts = [...text.children].map((part) => part.getBoundingClientRect()).filter((box) => box.width);
  const broken = parts.filter((box) => box.height > 20).map(() => `wraps: ${text.textContent}`);
  const touching = parts.flatMap((one, at) => parts.slice(at + 1).filter((other) =>
    one.right > other.left + 0.5 && other.right > one.left + 0.5 &&
    one.bottom > other.top + 1 && other.bottom > one.top + 1))
    .map(() => `touches: ${text.textContent}`);
  return [...broken, ...touching];
})
"""


async def test_numbers_of_a_meter_neither_touch_nor_break(admin: Visitor, fleet: Deployment) -> None:
    await fleet.compose(2, hostname="full", cores=4, memory=1024)
    await fleet.put("vm-hosts/birch/", cpu_over_commit_ratio="0.5")
    for path in ("hosts", "hosts/2/vms", "hosts/1/resources", "hosts/1/vms?view=numa"):
        for width in (1400, 1100, 700, 320):
            await admin.page.set_viewport_size({"width": width, "height": 900})
            await admin.go(path)
            assert await admin.page.evaluate(_FAULTS) == [], (path, width)
    await admin.go("hosts")
    over = admin.page.locator(".ik-meter__free.is-over").first
    await expect(over).to_have_text("2 over")
    icon, text = await over.locator("svg").bounding_box(), await over.bounding_box()
    assert icon is not None
    assert text is not None
    assert icon["y"] >= text["y"] - 1
    assert icon["height"] <= text["height"] + 1  # beside the words, not above them


async def test_a_host_shows_its_ram_as_a_ring_and_a_meter_for_each_pool(admin: Visitor) -> None:
    await admin.go("hosts/1/vms")
    summary = admin.page.locator("#host-summary")
    ring = summary.get_by_role("img", name="RAM of alder")
    assert (await ring.get_attribute("aria-label") or "").endswith("free 57")
    await expect(summary.locator(".ik-mini thead")).to_have_text("GeneralHuge pages")
    for pool in ("local", "nvme"):
        await expect(summary.get_by_role("img", name=f"Pool {pool} in GB")).to_be_visible()
    await expect(summary.get_by_role("img", name="Virtual functions of sim0")).to_be_visible()


@pytest.mark.first_tier
async def test_nodes_have_meters_and_all_cores_are_in_one_table(admin: Visitor) -> None:
    await admin.go("hosts/1/resources?vm=db-1")
    for name in ("RAM of node 0", "Pinned cores of node 1", "Huge pages of 1 GiB of node 0"):
        await expect(admin.page.get_by_role("img", name=name)).to_be_visible()
    table = admin.page.get_by_role("region", name="Cores, table")
    rows = [" ".join(text.split()) for text in await table.locator("tbody tr").all_inner_texts()]
    assert rows == ["0–3, 5–7 0 7 Free –", "4 0 1 Pinned by one VM db-1", "8–15 1 8 Free –"]
    await expect(table.locator("tr.is-selected")).to_have_count(1)
    await expect(admin.page.get_by_role("region", name="SR-IOV interfaces, table")).to_contain_text("0000:10:00.0")


async def test_the_vlan_and_the_tags_of_an_interface_are_corrected(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/resources")
    await admin.page.get_by_role("link", name="Edit front").click()
    for width, dark in ((1400, False), (320, True)):
        assert await admin.look("interface", width=width, dark=dark) == []
    await admin.page.select_option("#vlan", label="tag 40, fabric-2")
    await admin.page.fill("#tags", "uplink, fast")
    await admin.page.get_by_role("button", name="Save").click()
    await admin.page.wait_for_url("**/hosts/1/resources")
    row = admin.page.get_by_role("row", name="front")
    await expect(row).to_contain_text("chosen by a person")
    await expect(row).to_contain_text("uplink")
    (changed,) = [one for one in await fleet.get("nodes/alder/interfaces/") if one["name"] == "front"]
    assert (changed["vlan"]["vid"], changed["vlan_set_by_user"], changed["tags"]) == (40, True, ["uplink", "fast"])
    await row.get_by_role("link", name="Edit front").click()
    await admin.page.select_option("#vlan", "")
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.get_by_role("row", name="front")).to_contain_text("tag 10")


async def _review_and_save(admin: Visitor) -> None:
    await admin.page.get_by_role("button", name="Review and save").click()
    await admin.page.get_by_role("button", name="Save", exact=True).click()


async def test_a_refusal_calls_fields_what_the_page_calls_them(admin: Visitor) -> None:
    admin.expected_statuses.add(422)
    await admin.go("hosts/1/settings")
    await admin.page.fill("#power_address", "no such address")
    await _review_and_save(admin)
    await expect(admin.page.locator("#problems")).to_contain_text("Address:")
    await expect(admin.page.locator("#problems")).not_to_contain_text("power")


async def test_the_settings_offer_what_the_api_can_change(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/settings")
    options = await admin.page.locator("#default_storage_pool option").all_inner_texts()
    assert options == ["local (dir, 483 GB of 500 GB free)", "nvme (dir, 200 GB of 200 GB free)"]
    await admin.page.select_option("#default_storage_pool", "nvme")
    await admin.page.select_option("#default_macvlan_mode", "vepa")
    await _review_and_save(admin)
    await expect(admin.page.locator("main")).to_contain_text("Saved.")
    host = await fleet.get("vm-hosts/alder/")
    assert host["default_macvlan_mode"] == "vepa"
    assert [pool["name"] for pool in host["storage_pools"] if pool["default"]] == ["nvme"]


async def test_the_head_of_a_host_leads_to_what_is_done_rarely(admin: Visitor) -> None:
    await admin.go("hosts/1/vms")
    await expect(admin.page.locator("#host-head")).to_contain_text("refreshed ")
    facts = await admin.page.locator("#host-head .ik-factline").bounding_box()
    assert facts is not None
    assert facts["height"] < 30  # one line, however long the address is
    await admin.page.get_by_role("button", name="More actions on alder").click()
    menu = admin.page.locator("#host-menu")
    assert await menu.get_by_role("link").all_inner_texts() == [
        "Close for placement", "Adopt 1 other VM", "Check this host", "Remove host",
    ]  # fmt: skip
    assert await admin.violations() == []
    await menu.get_by_role("link", name="Check this host").click()
    await expect(admin.page.locator("#add-check")).to_contain_text("16 cores, 64 GiB")


async def test_a_description_is_not_set_as_code(admin: Visitor) -> None:
    await admin.go("pools/0")
    fonts = await admin.page.locator("#description").evaluate("(area) => getComputedStyle(area).fontFamily")
    assert "mono" not in fonts
