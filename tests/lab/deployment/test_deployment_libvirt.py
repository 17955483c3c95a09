"""A real guest is deployed through API, region, rack and libvirt, and found as it was ordered by logging in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.support.deployed_guest import GuestBridge, check_console, deploy, guest_bridge
from tests.lab.support.deployed_host import add_libvirt
from tests.lab.support.guest_image import SshKey, becomes, upload_image
from tests.support.waiting import eventually


@pytest.fixture
def network(lab_host: LabHost) -> Iterator[LabNetwork]:
    with lab_network(lab_host.connection) as network:
        yield network


@pytest.fixture
def bridge() -> Iterator[GuestBridge]:
    with guest_bridge("10.254.11") as bridge:
        yield bridge


def definition(lab_host: LabHost, name: str) -> str:
    """The domain's whole definition, without its firmware, which stays as the image needs it, and without the number of
    uses, which a release leaves.
    """
    tree = lab_host.tree(name)
    for element in tree.iter():
        element.attrib.pop("generation", None)
    for os in tree.findall("os"):
        tree.remove(os)
    return ET.tostring(tree, encoding="unicode")


def addresses_found(lab_host: LabHost, name: str) -> list[tuple[str, ...] | None]:
    """Addresses of each NIC, in order, as the driver finds them: the guest's agent tells those without a lease."""
    installation_id = UUID(lab_host.marker(name)["installation"])  # type: ignore[index]
    driver = LibvirtDriver(lambda: Client.open("qemu:///system"), installation_id)
    try:
        (guest,) = (one for one in driver.discover().guests if one.name == name)
        return [one.addresses for one in guest.nics]
    finally:
        driver.close()


async def check_copy(innkeeper: Deployment, lab_host: LabHost) -> None:
    """The region knows the copy with the space that it takes, before and after a refresh, and claims it."""
    (file,) = (one for one in lab_host.pool_folder.glob("ik-image-*") if not one.name.endswith("-complete"))
    query = """
        select c.state, c.size_bytes, k.amount from image_copy c join claim k on k.image_copy_id = c.id
          join storage_pool p on p.id = c.storage_pool_id where p.pool_key = $1
    """
    (planned,) = await innkeeper.fetch(query, lab_host.pool_id)
    (host,) = await innkeeper.get("vm-hosts/")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    (found,) = await innkeeper.fetch(query, lab_host.pool_id)
    assert planned["state"] == found["state"] == "complete"
    assert planned["size_bytes"] == planned["amount"] == file.stat().st_size
    assert await innkeeper.ledger_problems() == []
    assert found["size_bytes"] == found["amount"]


async def test_a_deployed_guest_is_what_was_ordered(
    tmp_path: Path, database_url: str, lab_host: LabHost, network: LabNetwork, bridge: GuestBridge
) -> None:
    key = SshKey(tmp_path)
    async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
        await bridge.start_rack(innkeeper)
        await innkeeper.post("account/prefs/sshkeys/", key=key.public)
        await upload_image(innkeeper)
        host, name = await add_libvirt(innkeeper, lab_host), f"{lab_host.prefix}web"
        machine = await bridge.compose(innkeeper, host, name, dhcp_subnet=f"{SUBNET}.0/24")
        path = f"machines/{machine['system_id']}/"
        before, volumes = definition(lab_host, name), lab_host.volumes()

        deployed_machine = await deploy(innkeeper, machine, lambda: lab_host.console(name))
        assert (deployed_machine["osystem"], deployed_machine["distro_series"]) == ("debian", "bookworm")
        images = {one for one in lab_host.volumes() if one.startswith("ik-image-")}
        assert len(images) == 2, "the image, and the volume that says that it is complete"
        await check_copy(innkeeper, lab_host)
        await bridge.check_guest(innkeeper, key, deployed_machine, dhcp_subnet=f"{SUBNET}.0/24")

        async def tells_its_address() -> bool:  # no lease shows it; a slow guest's agent may need longer than is waited
            return bridge.guest_address in ((await asyncio.to_thread(addresses_found, lab_host, name))[0] or ())

        await eventually(tells_its_address)

        assert "Linux version" in (await innkeeper.send("GET", path, op="console_log")).text
        await check_console(innkeeper, deployed_machine)

        await innkeeper.post(path, op="release")
        released = await becomes(innkeeper, machine["system_id"], "Ready", lambda: lab_host.console(name))
        assert released["power_state"] == "off"
        assert released["ip_addresses"] == [bridge.guest_address]
        assert definition(lab_host, name) == before
        assert lab_host.volumes() - images == volumes
        root = lab_host.pool_folder / next(one for one in volumes if one.endswith("-0"))
        assert root.stat().st_blocks * 512 < 2**20, "the root disk is empty"
        await innkeeper.delete(path)
        assert lab_host.names() == set()
        assert lab_host.volumes() == images
        removal = await innkeeper.begin(f"vm-hosts/{host['id']}/", method="DELETE")
        assert await innkeeper.ended(removal) == "succeeded"
        assert lab_host.volumes() == set(), "the host is as it was before Innkeeper"
        assert not lab_host.firmware_variables(name).exists()
