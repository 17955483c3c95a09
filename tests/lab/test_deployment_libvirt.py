"""A real guest is deployed through API, region, rack and libvirt, and found as it was ordered by logging in."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from common.systemd_notify import ServiceManager
from rackd.identity import load
from rackd.service import RackService
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.deployment.runner import RACK
from tests.lab.deployed_host import add_libvirt
from tests.lab.guest_image import BOOT_S, SshKey, becomes, upload_image
from tests.lab.host_setup import host_bridge
from tests.lab.lab_host import LabHost
from tests.lab.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.waiting import eventually

PLAIN = "10.254.11"  # the subnet of a bridge that libvirt does not manage
ADDRESS = f"{PLAIN}.20"
USER_DATA = b"#!/bin/sh\necho it ran as $(whoami) >/run/user-data\n"


@pytest.fixture
def network(lab_host: LabHost) -> Iterator[LabNetwork]:
    with lab_network(lab_host.connection) as network:
        yield network


@pytest.fixture
def bridge() -> Iterator[str]:
    with host_bridge(f"{PLAIN}.1/24") as name:
        yield name


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as listening:
        return int(listening.getsockname()[1])


async def start_rack_for_guests(innkeeper: Deployment, port: int) -> None:
    """The rack receives the reports of guests, which cannot reach the region."""
    runner = innkeeper.in_process
    await runner.enrol_rack()
    settings = evolve(runner.rack_settings(), report_host=f"{PLAIN}.1", report_port=port)
    runner.serve(RACK, RackService(settings, load(settings.identity_folder), ServiceManager({})))
    await eventually(runner.is_linked)


async def composed(innkeeper: Deployment, lab_host: LabHost, bridge: str) -> Any:
    """A machine with a static address on the bridge and DHCP in the network; returns it as the API does."""
    host = await add_libvirt(innkeeper, lab_host)
    fabric = await innkeeper.post("fabrics/", name="yard")
    vlan = await innkeeper.post(f"fabrics/{fabric['id']}/vlans/", vid=101, name="front")
    await innkeeper.post("subnets/", cidr=f"{PLAIN}.0/24", vlan=vlan["id"])
    node = f"nodes/{host['host']['system_id']}/interfaces/"
    found = next(one for one in await innkeeper.get(node) if one["name"] == bridge)
    await innkeeper.put(f"{node}{found['id']}/", vlan=vlan["id"])
    made = await innkeeper.compose(
        host["id"], hostname=f"{lab_host.prefix}web", cores=1, memory=1024, storage="root:3,data:1",
        interfaces=f"eth0:subnet={PLAIN}.0/24,ip={ADDRESS};eth1:subnet={SUBNET}.0/24",
    )  # fmt: skip
    return await innkeeper.get(f"machines/{made['system_id']}/")


def links_of(machine: Any) -> list[tuple[str, str | None, str]]:
    """Mode, address and subnet of each link of the machine's NICs, in their order."""
    links = [link for nic in machine["interface_set"] for link in nic["links"]]
    return [(link["mode"], link.get("ip_address"), link["subnet"]["cidr"]) for link in links]


def devices(lab_host: LabHost, name: str) -> list[str]:
    """The files of disks and the MAC addresses of NICs."""
    tree = lab_host.tree(name)
    files = [source.get("file", "") for source in tree.iterfind("devices/disk[@device='disk']/source")]
    return [*files, *(mac.get("address", "") for mac in tree.iterfind("devices/interface/mac"))]


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


@pytest.mark.deadline(2 * BOOT_S)
async def test_a_deployed_guest_is_what_was_ordered(
    tmp_path: Path, database_url: str, lab_host: LabHost, network: LabNetwork, bridge: str
) -> None:
    port, key = free_port(f"{PLAIN}.1"), SshKey(tmp_path)
    async with deployed(tmp_path, database_url, guest_url=f"http://{PLAIN}.1:{port}") as innkeeper:
        await start_rack_for_guests(innkeeper, port)
        await innkeeper.post("account/prefs/sshkeys/", key=key.public)
        await upload_image(innkeeper)
        machine = await composed(innkeeper, lab_host, bridge)
        path, name = f"machines/{machine['system_id']}/", machine["hostname"]
        before, volumes = devices(lab_host, name), lab_host.volumes()

        await innkeeper.post(path, op="deploy", user_data=base64.b64encode(USER_DATA).decode())
        deployed_machine = await becomes(innkeeper, machine["system_id"], "Deployed", lambda: lab_host.console(name))
        assert (deployed_machine["osystem"], deployed_machine["distro_series"]) == ("debian", "bookworm")
        static, leased = links_of(deployed_machine)
        assert static == ("static", ADDRESS, f"{PLAIN}.0/24")
        assert leased == ("dhcp", deployed_machine["ip_addresses"][1], f"{SUBNET}.0/24")
        assert deployed_machine["ip_addresses"][0] == ADDRESS
        images = {one for one in lab_host.volumes() if one.startswith("ik-image-")}
        assert len(images) == 2, "the image, and the volume that says that it is complete"
        await check_copy(innkeeper, lab_host)

        assert await key.run(ADDRESS, "hostname") == f"{name}\n"
        assert await key.run(ADDRESS, "cat /run/user-data") == "it ran as root\n"
        addresses = await key.run(ADDRESS, "ip -br -4 address")
        assert f"{ADDRESS}/24" in addresses
        assert f" {leased[1]}/24" in addresses, "the address by DHCP is the one that the API shows"
        sizes = (await key.run(ADDRESS, "lsblk -bdno NAME,SIZE; df -B1 --output=size / | tail -1")).split()
        assert sizes[:4] == ["sr0", sizes[1], "vda", str(3 * 10**9)]
        assert int(sizes[-1]) > 2.5 * 10**9, "the root file system has grown"

        released = await innkeeper.post(path, op="release")
        assert (released["status_name"], released["power_state"], released["ip_addresses"]) == (
            "Ready",
            "off",
            [ADDRESS],
        )
        assert devices(lab_host, name) == before
        assert lab_host.volumes() - images == {one for one in volumes if not one.endswith("-seed.iso")}
        root = lab_host.pool_folder / next(one for one in volumes if one.endswith("-0"))
        assert root.stat().st_blocks * 512 < 2**20, "the root disk is empty"
        await innkeeper.delete(path)
        assert lab_host.names() == set()
        assert lab_host.volumes() == images
        (host,) = await innkeeper.get("vm-hosts/")
        removal = await innkeeper.begin(f"vm-hosts/{host['id']}/", method="DELETE")
        assert await innkeeper.ended(removal) == "succeeded"
        assert lab_host.volumes() == set(), "the host is as it was before Innkeeper"
        assert not lab_host.firmware_variables(name).exists()
