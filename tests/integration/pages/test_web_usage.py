"""Pages show what VMs and hosts use: tiles with lines, and columns that sort."""

from __future__ import annotations

import re
from functools import partial

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.metrics.test_usage import measured, measuring
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.web_client import WebClient
from tests.support.waiting import eventually

__all__ = ["client"]

LINE = 'class="ik-spark__line" d="M'


async def names(client: WebClient, path: str) -> list[str]:
    """The VMs of a list in its order."""
    return re.findall(
        r'<tr id="vm-\w+">.*?<th scope="row"><a href="[^"]+">([\w-]+)</a>', await page(client, path), re.DOTALL
    )


@pytest.mark.slow  # waits for the region's round of watches and for samples
async def test_tiles_of_a_vm_and_of_its_host_have_lines(innkeeper: Deployment, client: WebClient) -> None:
    host = await measuring(innkeeper)
    machine = await innkeeper.compose(host, hostname="busy", cores=4, memory=2048, power_on="true")
    await measured(innkeeper, f"machines/{machine['system_id']}/")
    vm = f"vms/{machine['system_id']}"

    async def with_lines(path: str) -> str | None:
        found = await page(client, path)
        return found if found.count(LINE) == 4 else None

    for path in (vm, f"{vm}/usage", f"hosts/{host}/vms", f"hosts/{host}/resources", f"hosts/{host}/usage"):
        text = await eventually(partial(with_lines, path))
        assert 'hx-trigger="every 10s"' in text
        assert "CPU in the last hour: now" in text
        assert "<script>" not in text
        assert " style=" not in text
    assert "Disk and network: sum of its VMs" in await page(client, f"hosts/{host}/usage")


@pytest.mark.slow
async def test_a_vm_that_is_off_has_no_tiles_but_the_reason(innkeeper: Deployment, client: WebClient) -> None:
    host = await measuring(innkeeper)
    machine = await innkeeper.compose(host, hostname="web", cores=1, memory=1024)
    text = await page(client, f"vms/{machine['system_id']}")
    assert "web is off." in text
    assert LINE not in text


@pytest.mark.slow
@pytest.mark.slow  # waits for the region's round of watches and for samples
async def test_lists_are_sorted_by_what_vms_and_hosts_use(innkeeper: Deployment, client: WebClient) -> None:
    host = await measuring(innkeeper)
    for name in ("idle", "off", "busy"):
        machine = await innkeeper.compose(
            host, hostname=name, cores=1, memory=1024, power_on="false" if name == "off" else "true"
        )
        if name != "off":
            await measured(innkeeper, f"machines/{machine['system_id']}/")
    columns = "&columns=cpu_used&columns=ram_used&columns=disk_used&columns=network_used"
    for key in ("cpu_used", "ram_used", "disk_used", "network_used"):
        assert await names(client, f"vms?sort=-{key}{columns}") == ["busy", "idle", "off"]
        assert await names(client, f"vms?sort={key}{columns}&group=host") == ["idle", "busy", "off"]
    assert await names(client, f"hosts/{host}/vms?sort=-cpu_used") == ["busy", "idle", "off"]
    text = await page(client, f"vms?sort=-cpu_used{columns}")
    assert re.search(r">([5-9]\d|100) %", text)
    for key in ("cpu_used", "ram_used"):
        assert re.search(r">\d+ %", await page(client, f"hosts?sort=-{key}&columns=cpu_used&columns=ram_used"))
