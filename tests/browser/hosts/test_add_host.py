"""Adding hosts in a browser: an LXD server that does not trust Innkeeper yet, and a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.support.whole_life import succeeded
from tests.support.waiting import eventually, settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment
    from tests.doubles.lxd_double import FakeLxd, FakeLxds


@pytest.fixture
def lxds(tmp_path: Path) -> FakeLxds:
    """LXD servers that the racks of `innkeeper` reach; a test adds them."""
    from tests.doubles.lxd_double import FakeLxds

    return FakeLxds(tmp_path / "simulated")


@pytest.fixture
def mira(chromium: Browser, lxds: FakeLxds, innkeeper: Deployment) -> Iterator[Visitor]:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    settle(add_administrator_with_password(innkeeper))
    came = settle(visitor(chromium, innkeeper, "mira"))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []


def spruce(lxds: FakeLxds) -> FakeLxd:
    from tests.doubles.lxd_double import FakeLxd

    server = FakeLxd(name="spruce")
    lxds.add(server)
    return server


async def add_spruce(mira: Visitor) -> None:
    await mira.go("hosts/add?type=lxd")
    await mira.page.fill("#name", "spruce")
    await mira.page.fill("#power_address", "spruce:8443")
    await mira.page.get_by_role("button", name="Add host").click()
    await mira.page.wait_for_url("**/hosts/add?step=trust&host=1")


@pytest.mark.first_tier
async def test_the_page_continues_by_itself_when_trust_appears(
    mira: Visitor, lxds: FakeLxds, innkeeper: Deployment
) -> None:
    server = spruce(lxds)
    await add_spruce(mira)
    for width in (1400, 320):
        assert await mira.look("add-trust", width=width) == []
    await expect(mira.page.locator("main")).to_contain_text("Waiting for spruce to trust our certificate")
    assert await mira.page.locator("[role=alert]").count() == 0
    parameters = await innkeeper.get("vm-hosts/1/", op="parameters")
    assert await mira.page.inner_text("#cmd-trust") == parameters["trust_command"]
    await expect(mira.page.locator("#live-state")).to_have_text("Live")
    server.trust(parameters["certificate"])
    await innkeeper.refresh_due()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")
    assert await mira.look("add-check", width=1400) == []
    await expect(mira.page.locator("#add-check")).to_contain_text("8 cores, 16 GiB")


async def test_a_host_that_waits_for_trust_can_be_removed_again(
    mira: Visitor, lxds: FakeLxds, innkeeper: Deployment
) -> None:
    spruce(lxds)
    await add_spruce(mira)
    await mira.go("hosts/1/settings")
    await mira.page.get_by_role("link", name="Make spruce trust it").click()
    await mira.page.get_by_role("link", name="Remove spruce again").click()
    dialog = mira.page.get_by_role("dialog")
    await dialog.get_by_label("Type spruce to confirm").fill("spruce")
    await dialog.get_by_role("button", name="Remove host").click()
    await succeeded(mira.page)
    assert await innkeeper.get("vm-hosts/") == []


async def test_what_was_typed_stays_when_a_field_is_refused(mira: Visitor, lxds: FakeLxds) -> None:
    await mira.go("hosts/add?type=lxd")
    mira.expected_statuses.add(422)
    await mira.page.fill("#name", "spruce")
    await mira.page.fill("#power_address", "no such:address")
    await mira.page.get_by_role("button", name="Add host").click()
    await expect(mira.page.locator("#power_address-error")).to_be_visible()
    assert await mira.page.input_value("#name") == "spruce"


@pytest.mark.opens(
    "clusters/<cluster>/hosts", "clusters/<cluster>/vms", "clusters/<cluster>/resources", "clusters/<cluster>/settings",
    "clusters/<cluster>/maintenance",
)  # fmt: skip
async def test_the_members_of_a_cluster_appear_with_it(mira: Visitor, lxds: FakeLxds, innkeeper: Deployment) -> None:
    from tests.integration.hosts.test_cluster_members import cluster_of
    from tests.integration.support.rigs.lxd_hosts import add

    first = cluster_of(lxds, "m1", "m2")
    await add(innkeeper, "m1", password=first.token())
    await innkeeper.post("vm-hosts/m2/", op="refresh")
    await innkeeper.compose(1, hostname="web-1", cores=1, memory=1024)
    await mira.go("clusters")
    name = await mira.page.inner_text("#clusters tbody th a")
    for width in (1400, 320):
        assert await mira.look("clusters", width=width) == []
    for tab, word in (("hosts", "m2"), ("vms", "web-1"), ("resources", "Storage pools"), ("settings", "Close all")):
        await mira.go(f"clusters/1/{tab}")
        await expect(mira.page.locator("main")).to_contain_text(word)
        for width, dark in ((1400, False), (320, True)):
            assert await mira.look(f"cluster-{tab}", width=width, dark=dark) == []
    await mira.page.get_by_role("button", name="Refresh all members").click()
    await mira.page.wait_for_url("**/clusters/1/hosts")
    operations = await innkeeper.get("operations/")
    refreshed = [one["host_id"] for one in operations if one["kind"] == "refresh"]
    assert {1, 2} <= set(refreshed)
    rows = mira.page.locator("#vms tbody tr")
    await mira.go("clusters/1/vms?q=name:web cluster:* -host:m2&group=host")
    await expect(rows).to_contain_text(["m1 1", "web-1"])
    await mira.page.fill("#q", "-name:web")
    await expect(mira.page.locator("#vms")).to_contain_text("No VM matches")
    await mira.go("clusters/1/settings")
    await mira.page.get_by_role("link", name="Close all members").click()
    dialog = mira.page.get_by_role("dialog", name=f"Close all members of {name} for placement?")
    await expect(dialog.locator(".ik-subjects li")).to_have_text(["m1", "m2"])
    await dialog.get_by_role("button", name="Close all members").click()
    await mira.page.wait_for_url("**/clusters/1/hosts")
    await expect(mira.page.locator("main tbody tr", has_text="Closed")).to_have_count(2)
    await mira.go("hosts")
    await mira.page.get_by_role("link", name=name, exact=True).first.click()
    await mira.page.wait_for_url("**/clusters/1/hosts")


@pytest.mark.opens("clusters/<cluster>", "clusters/<cluster>/remove")
async def test_a_cluster_is_removed_after_its_name(mira: Visitor, lxds: FakeLxds, innkeeper: Deployment) -> None:
    from tests.integration.hosts.test_cluster_members import cluster_of
    from tests.integration.support.rigs.lxd_hosts import add

    first = cluster_of(lxds, "m1", "m2")
    await add(innkeeper, "m1", password=first.token())
    await innkeeper.compose(1, hostname="web-1", cores=1, memory=1024)
    await mira.go("clusters/1")
    (name,) = [one["name"] for one in await innkeeper.get("vm-clusters/")]
    await mira.page.get_by_role("link", name="Settings", exact=True).last.click()
    await mira.page.get_by_role("link", name="Destroy and remove").click()
    dialog = mira.page.get_by_role("dialog", name=f"Remove {name} and destroy its VMs?")
    for word in ("web-1 on m1", "cannot be undone"):
        await expect(dialog).to_contain_text(word)
    for width, dark in ((1400, False), (320, True)):
        assert await mira.look("cluster-remove", width=width, dark=dark, reload=False) == []
    mira.expected_statuses.add(422)
    await dialog.get_by_role("button", name="Destroy VMs and remove cluster").click()
    await expect(mira.page.locator("main")).to_contain_text(f"Type {name} to confirm.")
    await mira.page.fill("#typed", name)
    await mira.page.get_by_role("button", name="Destroy VMs and remove cluster").click()
    await expect(mira.page.locator("#note")).to_contain_text(f"Removal of cluster {name} has begun")

    async def is_gone() -> bool:
        return not await innkeeper.get("vm-clusters/") and not await innkeeper.get("vm-hosts/")

    await eventually(is_gone)
    assert await innkeeper.get("machines/") == []
