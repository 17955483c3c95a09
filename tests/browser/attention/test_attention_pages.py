"""All that needs attention: its page, its number in the navigation, its lines on the pages of objects, the overview."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment

_EARLIER = "update machine set missing_since = now() - interval '2 hours' where state = 'missing'"
STALE = "update vm_host_schedule set refreshed_at = now() - interval '3 hours' where host_id = 2"
LONG = "a-name-of-sixty-three-letters-that-no-line-of-a-page-is-made-for"[:63]
BROKEN = "update machine set state = 'broken', error_description = $1, hostname = $2 where hostname = 'web-1'"
_NO_MORE = "delete from machine where hostname like 'many-%'"  # they have no claims, which the ledger needs
_MANY = """
    insert into machine (uuid, system_id, hostname, host_id, state, missing_since, architecture, cores, memory_mib)
    select gen_random_uuid(), 'many' || lpad(n::text, 3, '0'), 'many-' || n, 1, 'missing', now() - n * interval '1 min',
           'amd64', 1, 1024
      from generate_series(1, 120) n
"""
_EVENTS = """
    insert into event (kind, level, message, username)
    select 'machine_composed', 'info', 'vm-' || n || ' was composed', 'alice' from generate_series(1, 12) n
    union all select 'logged_in', 'info', 'mira logged in', 'mira' from generate_series(1, 30)
"""
_LARGE = "update storage_pool set total_bytes = 273300000000000, used_elsewhere_bytes = 13000000000000"
_WIDE = "[document.querySelector('main')].map((main) => main.scrollWidth - main.clientWidth)[0]"


async def lose_web_1(fleet: Deployment) -> None:
    """Removes the guest from its host, two hours ago."""
    fleet.simulated("alder").remove("web-1")
    assert await fleet.refreshed(1)
    await fleet.fetch(_EARLIER)


def without_age(text: str) -> str:
    return re.sub(r", \d+ (s|min|h|days)\n", "\n", text)


async def alert(visitor: Visitor) -> str:
    """The number at the list's entry in the navigation; empty without one."""
    return "".join(await visitor.page.locator("#nav .ik-nav__alert").all_inner_texts())


@pytest.mark.first_tier
async def test_the_list_says_since_when_why_and_what_helps(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("attention")
    assert "Nothing needs attention" in await admin.page.inner_text("#attention")
    assert await alert(admin) == ""
    await lose_web_1(fleet)  # the page is live
    await admin.page.locator("#attention li", has_text="web-1 is missing from alder").wait_for()
    await admin.page.locator("#nav .ik-nav__alert", has_text="1").wait_for()
    line = admin.page.locator("#attention li")
    await line.get_by_text("2 h", exact=False).wait_for()
    text = await line.inner_text()
    assert "since" in text
    assert "The last refresh of alder did not list it." in text
    assert "Bring it back on the host" in text
    assert await admin.violations() == []
    await line.get_by_role("button", name="Refresh host").click()
    await admin.page.wait_for_url("**/hosts/1/vms")


async def test_the_list_is_filtered_by_kind_and_searched(admin: Visitor, fleet: Deployment) -> None:
    await fleet.fetch(_MANY)
    await fleet.fetch(STALE)
    await admin.go("attention")
    assert await alert(admin) == "121"
    headings = await admin.page.locator("#attention h2").all_inner_texts()
    assert headings == ["120 VMs are missing from their hosts", "1 host has old data"]
    assert await admin.page.locator("#attention li").count() == 11
    await admin.page.get_by_role("link", name="All 120").click()
    await expect(admin.page.locator("#attention li")).to_have_count(50)
    assert "many-1 " in await admin.page.locator("#attention li").first.inner_text()
    for page in (2, 3):
        await admin.page.get_by_role("link", name="Next").click()
        await admin.page.wait_for_url(f"**page={page}")
    await expect(admin.page.locator("#attention li")).to_have_count(20)
    await admin.go("attention?q=birch")
    assert await admin.page.locator("#attention li").count() == 1
    await admin.go("attention?zone=default&pool=default&kind=host_stale")
    assert "birch has old data" in await admin.page.inner_text("#attention")
    await admin.go("attention?q=nothing-has-this-name")
    assert "121 items elsewhere" in await admin.page.inner_text("#attention")
    await fleet.fetch(_NO_MORE)


async def test_the_page_of_an_object_says_the_same(admin: Visitor, fleet: Deployment) -> None:
    await lose_web_1(fleet)
    await fleet.fetch(STALE)
    await fleet.post("quotas/", pool="default", machines=2)
    await fleet.put("vm-hosts/1/", cpu_over_commit_ratio=0)
    rack = await fleet.fetch("select id from rack")
    await fleet.stop_rack()
    await admin.go("attention")
    lines = {
        await one.locator(".ik-issues__title a").inner_text(): without_age(await one.locator("> div").inner_text())
        for one in await admin.page.locator("#attention li").all()
    }
    assert set(lines) == {"web-1", "birch", "alder", "The quota of pool default", "rack"}
    await admin.go("vms?q=web-1")
    await admin.page.get_by_role("link", name="web-1", exact=True).click()
    vm = admin.page.url.partition("/ui/")[2]
    places = {
        "web-1": vm, "birch": "hosts/2/vms", "alder": "hosts/1/settings",
        "The quota of pool default": "settings/quotas", "rack": f"settings/racks/{rack[0]['id']}",
    }  # fmt: skip
    for name, path in places.items():
        await admin.go(path)
        found = await admin.page.locator(".ik-issues li > div").all_inner_texts()
        assert lines[name] in [without_age(one) for one in found]


async def test_pools_and_zones_name_what_needs_attention_there(admin: Visitor, fleet: Deployment) -> None:
    await fleet.fetch(STALE)
    await fleet.post("zones/", name="east")
    for path, number in (("pools/0", 1), ("zones/1", 1), ("zones/2", 0)):
        await admin.go(path)
        assert await admin.page.locator("main .ik-issues li").count() == number
    await admin.go("pools/0")
    await admin.page.get_by_role("link", name="All 1 that need attention").click()
    await admin.page.wait_for_url("**/attention?pool=default")


async def test_the_overview_shows_the_first_and_counts_the_rest(admin: Visitor, fleet: Deployment) -> None:
    await fleet.fetch(STALE)
    await fleet.fetch(_MANY)
    await admin.go("overview")
    card = admin.page.locator("section", has=admin.page.locator("#attention"))
    assert await card.locator("li").count() == 2
    first, second = await card.locator("li").all_inner_texts()
    assert "120 VMs are missing from their hosts" in first
    assert "The newest: many-1 is missing from alder" in first
    assert "birch has old data" in second
    await card.get_by_role("link", name="All 121 that need attention").click()
    await admin.page.wait_for_url("**/attention")
    await fleet.fetch(_NO_MORE)


async def test_no_word_of_the_overview_is_too_long(admin: Visitor, fleet: Deployment) -> None:
    await fleet.fetch(BROKEN, "x" * 300, LONG)
    await fleet.fetch("update zone set name = repeat('z', 200)")
    await fleet.fetch("insert into event (kind, level, message) values ('odd', 'info', repeat('e', 300))")
    for width in (1400, 320):
        await admin.page.set_viewport_size({"width": width, "height": 900})
        for path in ("overview", "attention"):
            await admin.go(path)
            assert await admin.page.evaluate(_WIDE) == 0, (path, width)


async def test_what_changed_groups_equal_events_without_logins(admin: Visitor, fleet: Deployment) -> None:
    await fleet.fetch("delete from event")
    await fleet.fetch(_EVENTS)
    await admin.go("overview")
    texts = await admin.page.locator(".ik-events li span").all_inner_texts()
    assert texts == ["12 VMs composed by alice"]


async def test_free_resources_are_those_of_open_hosts(admin: Visitor, fleet: Deployment) -> None:
    await fleet.fetch(_LARGE)
    await fleet.post("vm-hosts/1/", op="maintenance")
    await admin.go("overview")
    figures = await admin.page.locator(".ik-figure").all_inner_texts()
    assert [" ".join(one.split()) for one in figures] == [
        "1 of 2 open for placement", "4 free of 4", "8 free of 8 GiB", "260.3 free of 273.3 TB",
    ]  # fmt: skip
    zone = " ".join((await admin.page.locator(".ik-byzone li").inner_text()).split())
    assert zone == "default 1 of 2 hosts open Cores 4 RAM 8 GiB Storage 260.3 TB"
