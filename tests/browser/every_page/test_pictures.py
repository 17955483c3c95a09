"""The pictures in the README.

INNKEEPER_SCREENSHOTS=docs/images ./dev test tests/browser/every_page/test_pictures.py makes them anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.support.fleet import NETWORKS
from tests.browser.support.visitor import SCREENSHOTS, Visitor
from tests.deployment.deployment import Deployment

CHECKOUT = Path(__file__).parents[3]
MOST_BYTES = 150_000
SIZE = {"width": 1280, "height": 800}
BIG = {"threads_per_core": 2, "numa_nodes": 2, "hugepages_mib": 8192, "hugepage_size_mib": 1024, "networks": NETWORKS}
HOSTS: dict[str, dict[str, Any]] = {
    "cedar": {"cores": 32, "memory_mib": 131072, "pools": "local:1000", **BIG},
    "juniper": {"cores": 8, "memory_mib": 16384, "pinned_guests": "0-3:8192"},
    "maple": {"cores": 8, "memory_mib": 32768},
    "willow": {"cores": 16, "memory_mib": 65536, "guests": 3},
}
MACHINES: dict[str, tuple[dict[str, Any], ...]] = {
    "alder": (
        {"hostname": "cache-1", "pinned_cores": [0, 1], "memory": 8192},
        {"hostname": "ci-1", "cores": 6, "memory": 12288},
    ),
    "cedar": (
        {"hostname": "db-2", "pinned_cores": [0, 1, 2, 3, 8, 9], "memory": 32768, "storage": "root:40,data:400"},
        {"hostname": "web-2", "cores": 4, "memory": 8192},
        {"hostname": "web-3", "cores": 4, "memory": 8192},
    ),
    "willow": ({"hostname": "mail-1", "cores": 2, "memory": 4096}, {"hostname": "git-1", "cores": 8, "memory": 24576}),
}


async def furnish(fleet: Deployment) -> None:
    """More hosts and VMs, one host that is closed, and most VMs running."""
    for name, size in HOSTS.items():
        await fleet.add_simulated(name, **size)
    for host, machines in MACHINES.items():
        for fields in machines:
            await fleet.compose(fleet.hosts[host], power_on="true", **fields)
    await fleet.post("vm-hosts/maple/", op="maintenance", reason="new disks until Monday")


async def picture(admin: Visitor, name: str, folder: Path) -> int:
    """Takes the picture as `name`.png, and returns its size in bytes."""
    await admin.page.set_viewport_size({"width": SIZE["width"], "height": SIZE["height"]})
    path = folder / f"{name}.png"
    await admin.page.screenshot(path=path)
    return path.stat().st_size


async def test_the_pictures_of_the_readme_are_taken(admin: Visitor, fleet: Deployment, tmp_path: Path) -> None:
    page, folder = admin.page, Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
    await furnish(fleet)
    await admin.go("hosts")
    await expect(page.locator("#live-state")).to_have_text("Live")
    sizes = {"hosts": await picture(admin, "hosts", folder)}

    await fleet.post("quotas/", pool="default", machines="10")
    await admin.go("overview")
    sizes["overview"] = await picture(admin, "overview", folder)

    (vm,) = [one for one in await fleet.get("machines/") if one["hostname"] == "db-2"]
    await admin.go(f"vms/{vm['system_id']}")
    await expect(admin.page.locator("h1")).to_have_text("db-2")
    sizes["vm"] = await picture(admin, "vm", folder)

    await admin.go("compose")
    await page.fill("#hostname", "db-3")
    await page.get_by_label("Pinned cores by id").check()
    await page.fill("#pinned_cores", "4-7")
    await page.fill("#memory", "16384")
    await expect(page.locator("#p-fits")).to_have_text("1 host fits")
    sizes["compose"] = await picture(admin, "compose", folder)

    await admin.go("hosts/1/resources?vm=db-1")
    await expect(page.locator("tr.is-selected")).to_contain_text("db-1")
    sizes["host"] = await picture(admin, "host", folder)
    assert max(sizes.values()) <= MOST_BYTES, sizes


@pytest.mark.first_tier
def test_the_readme_shows_pictures_of_bounded_size() -> None:
    text = (CHECKOUT / "README.md").read_text()
    pictures = {path.name: path.stat().st_size for path in (CHECKOUT / "docs/images").glob("*.png")}
    assert set(pictures) == {"compose.png", "host.png", "hosts.png", "overview.png", "vm.png"}
    assert [name for name in pictures if f"](docs/images/{name})" not in text] == []
    assert max(pictures.values()) <= MOST_BYTES
