"""Every kind of page, found by following links: accessible, and no wider than its window in any look."""

from __future__ import annotations

from importlib import import_module

import pytest
from playwright.async_api import Browser

from tests.browser.support.crawl import ROUTES, Crawl, crawl
from tests.browser.support.furnished import furnish
from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment

STARTS = ("overview", "account/filters/add")  # the second is a form that lists open with what they show
PARTS = 4  # of the pages, so that workers share them
SHARE_OF_A_USER = 3  # each third page is drawn: most are those of administrators, with fewer buttons

# Routes to which nothing in the fleet of this test links, with the test that opens them.
_CLUSTER = "hosts/test_add_host.py::test_the_members_of_a_cluster_appear_with_it"
_SERVER = "maas/test_maas_server_pages.py::test_a_server_is_added_edited_and_deleted"
_HAND_OVER = "maas/test_maas_import_pages.py::test_a_host_is_handed_over_after_its_differences"
ELSEWHERE = {
    **{f"clusters/<cluster>/{tab}": _CLUSTER for tab in ("hosts", "vms", "resources", "settings", "maintenance")},
    "clusters/<cluster>": "hosts/test_add_host.py::test_a_cluster_is_removed_after_its_name",
    "clusters/<cluster>/remove": "hosts/test_add_host.py::test_a_cluster_is_removed_after_its_name",
    "vms/<system_id>/abort": "machines/test_deployment_pages.py::test_a_deployment_is_followed_and_aborted",
    "tasks/<task>/cancel": "every_page/test_questions.py::test_a_task_is_cancelled_after_a_question",
    "tasks/<task>/abandon": "every_page/test_questions.py::test_a_task_whose_undoing_fails_is_abandoned_with_a_reason",
    "settings/images/<image>/default": "images/test_image_pages.py::test_an_image_is_made_the_default_after_a_question",
    "vms/<system_id>/network/<nic>/remove": "machines/test_nic_changes.py::test_a_nic_is_added_changed_and_removed",
    "vms/<system_id>/rebuild": "machines/test_rebuild_page.py::test_a_machine_gets_another_system",
    **{f"settings/maas/<id>{end}": _SERVER for end in ("", "/delete")},
    **{f"settings/maas-imports/<import>/hosts/<host>/{way}": _HAND_OVER for way in ("take-over", "give-back")},
    "settings/image-upload/<image>": "images/test_image_pages.py::test_a_file_is_uploaded_in_parts",
}
# Routes that answer scripts of a page or a reload, and are no pages of their own.
PARTS_OF_PAGES = {
    "session": "the script that sends forms",
    "hosts/bulk": "a reload of the outcomes of a form",
    "vms/bulk": "a reload of the outcomes of a form",
    "vms/<system_id>/act": "a reload after an action that was refused",
    "vms/<system_id>/storage/<disk>/boot": "a reload, which leads to the tab",
    "vms/<system_id>/storage/<disk>/adopt": "a reload, which leads to the tab",
    "vms/<system_id>/console/log": "the script of the console",
    "settings/images/<image>": "the address of an image, which leads to the list",
    "settings/exports/<export>": "the address of a file, which leads to the list",
    "compose/hosts": "the names of hosts that the form suggests",
    "compose/started": "what follows a form that composes several VMs",
    "search": "the search field of the navigation, a form",
    "account/password": "a reload after a form that was refused",
    "settings/racks/<rack>/zones": "a reload after a form that was refused",
    "tasks/<task>/note": "the script of a note, which follows its task",
    "vms/<system_id>/console/tail": "the card of the console",
    "vms/<system_id>/usage": "the tiles of usage, every ten seconds",
    "hosts/<host>/usage": "the tiles of usage, every ten seconds",
    "vms/<system_id>/network/<nic>/unlink": "a reload, which leads to the tab",
    "vms/<system_id>/notes": "a reload after a form that was refused",
    "hosts/<host>/trust": "a reload after a form of trust that was refused",
}


async def furnished(admin: Visitor, fleet: Deployment) -> Crawl:
    await furnish(admin, fleet)
    return await crawl(admin, STARTS)


async def test_links_lead_to_every_route_and_to_no_error(admin: Visitor, fleet: Deployment) -> None:
    found = await furnished(admin, fleet)
    assert not found.dead, "\n".join(found.dead)
    reached = {*found.pages, *found.files}
    assert sorted({*ROUTES} - reached - ELSEWHERE.keys() - PARTS_OF_PAGES.keys()) == [], "nothing links to these"
    assert sorted((ELSEWHERE.keys() | PARTS_OF_PAGES.keys()) - {*ROUTES}) == [], "there are no such routes"
    assert sorted(ELSEWHERE.keys() & reached) == [], "the crawl examines these now"


@pytest.mark.parametrize(("route", "test"), ELSEWHERE.items())
def test_routes_that_the_crawl_misses_have_a_test(route: str, test: str) -> None:
    """Its marker names the route, and it fails if it does not open it."""
    path, _, name = test.partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    found = getattr(import_module(f"tests.browser.{module}"), name)
    assert route in {each for mark in found.pytestmark if mark.name == "opens" for each in mark.args}


@pytest.mark.parametrize("part", range(PARTS))
async def test_each_kind_of_page_fits_in_every_look(admin: Visitor, fleet: Deployment, part: int) -> None:
    found = await furnished(admin, fleet)
    addresses = [address for address in dict.fromkeys(found.pages.values())][part::PARTS]
    assert {address: problems for address in addresses if (problems := await admin.looks_of(address))} == {}


async def test_a_user_follows_only_links_that_work(chromium: Browser, admin: Visitor, fleet: Deployment) -> None:
    await furnish(admin, fleet)
    ann = await visitor(chromium, fleet, "ann")
    await ann.enter()
    found = await crawl(ann)
    assert not found.dead, "\n".join(found.dead)
    assert len(found.pages) > 30
    addresses = tuple(dict.fromkeys(found.pages.values()))[::SHARE_OF_A_USER]
    assert await ann.problems_of(addresses) == {}
    assert ann.complaints == []
    await ann.leave()
