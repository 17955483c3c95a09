"""A driver that another distribution brings: its hosts are added, and their machines composed, used and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.doubles.example_driver import installed
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.web_client import WebClient

__all__ = ["client"]


@pytest.fixture
def with_driver(tmp_path: Path) -> Iterator[Path]:
    """The folder of the hosts' files."""
    site = tmp_path / "site"
    site.mkdir()
    with installed(site):
        yield tmp_path


def guests_in(file: Path) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(file.read_text())}


async def test_machines_live_and_end_on_a_host_of_an_added_type(with_driver: Path, rackless: Deployment) -> None:
    file = with_driver / "shelf.json"
    file.write_text("[]")
    await rackless.start_rack()
    host = await rackless.post("vm-hosts/", type="json", power_address=str(file), name="shelf")
    assert (host["type"], host["total"]["cores"], host["total"]["memory"]) == ("json", 16, 32768)

    made = await rackless.compose(host["id"], cores=2, memory=2048, hostname="web")
    system_id = made["system_id"]
    assert guests_in(file)["web"]["cores"] == 2
    machine = await rackless.get(f"machines/{system_id}/")
    assert (machine["power_type"], machine["status_name"]) == ("json", "Ready")
    found = await rackless.get("machines/?pod_type=json")
    assert [one["hostname"] for one in found] == ["web"]

    await rackless.post(f"machines/{system_id}/", op="power_on")
    assert guests_in(file)["web"]["power"] == "on"
    refreshed = await rackless.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert refreshed["used"]["cores"] == 2
    with pytest.raises(InnkeeperError, match="Hosts of JSON have no way to change the size of VMs"):
        await rackless.post(f"machines/{system_id}/", op="resize", cores=3)
    with pytest.raises(InnkeeperError, match="Hosts of JSON have no way to add NICs"):
        await rackless.post(f"machines/{system_id}/", op="add_interface")
    with pytest.raises(InnkeeperError, match="Hosts of JSON have no way to add disks"):
        await rackless.post(f"nodes/{system_id}/blockdevices/", size=5 * 10**9)
    machine = await rackless.get(f"machines/{system_id}/")
    assert [machine["cpu_count"], *(len(machine[key]) for key in ("interface_set", "blockdevice_set"))] == [2, 1, 1]
    assert await rackless.own_discrepancies() == []

    await rackless.delete(f"machines/{system_id}/")
    assert guests_in(file) == {}
    await rackless.delete(f"vm-hosts/{host['id']}/")
    assert await rackless.get("vm-hosts/") == []


async def test_a_rack_without_the_driver_leaves_such_hosts_to_others(tmp_path: Path, rackless: Deployment) -> None:
    await rackless.start_rack("a-without")
    file, site = tmp_path / "shelf.json", tmp_path / "site"
    file.write_text("[]")
    site.mkdir()
    with installed(site):
        host = await rackless.post("vm-hosts/", type="json", power_address=str(file), name="shelf")
        with pytest.raises(InnkeeperError, match="cannot use hosts of type 'json': no driver is installed"):
            await rackless.post(f"vm-hosts/{host['id']}/", op="refresh")
        await rackless.start_rack("b-with")
        await rackless.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert (await rackless.get(f"vm-hosts/{host['id']}/"))["type"] == "json", "it stays a host of a removed driver"


@pytest.mark.usefixtures("with_driver")
async def test_the_pages_add_and_show_a_host_of_an_added_type(innkeeper: Deployment, client: WebClient) -> None:
    file = innkeeper.folder / "shelf.json"
    file.write_text("[]")
    assert "<h3>json host</h3>" in await page(client, "hosts/add")
    asked = await page(client, "hosts/add?type=json")
    assert "As the driver of this type reads it" in asked
    assert "Fingerprint of the server" not in asked
    await innkeeper.stop_rack()
    await innkeeper.start_rack("with-driver")
    host = await innkeeper.post("vm-hosts/", type="json", power_address=str(file), name="shelf")
    assert "shelf" in await page(client, "hosts")
    for path in ("vms", "settings", "resources", "hardware", "remove"):
        assert "shelf" in await page(client, f"hosts/{host['id']}/{path}"), path
    assert "SSH host key" not in await page(client, f"hosts/{host['id']}/settings")


async def test_only_the_type_of_an_installed_driver_can_be_added(rackless: Deployment) -> None:
    with pytest.raises(InnkeeperError) as rejected:
        await rackless.post("vm-hosts/", type="json", power_address="/shelf.json", name="shelf")
    assert list(rejected.value.details["fields"]) == ["type"]
