"""Juju's calls, made by gomaasapi, bring a real guest on a real LXD server from nothing to its report and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.environment import run
from tests.clients.go_programs import PROGRAMS, built, key_of
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.deployed_guest import GuestBridge, guest_bridge
from tests.lab.deployed_host import add_lxd
from tests.lab.guest_image import BOOT_S, upload_image
from tests.lab.lxd_server import LxdServer, booting_server, why_no_lxd
from tests.lab.needs import require
from tests.waiting import eventually


@pytest.fixture
def server() -> Iterator[LxdServer]:
    require(why_no_lxd())
    server = booting_server()
    bridge, prefix = server.managed_bridge, server.managed_subnet.rpartition(".")[0]
    server.lxc("network", "set", bridge, f"ipv4.dhcp.ranges={prefix}.100-{prefix}.200")  # the others are for containers
    with server.restored(""):
        yield server
        server.delete_our_images()
    server.lxc("network", "unset", bridge, "ipv4.dhcp.ranges")


@pytest.fixture
def bridge() -> Iterator[GuestBridge]:
    with guest_bridge("10.254.16") as bridge:
        yield bridge


async def space_of(innkeeper: Deployment, cidr: str) -> str:
    """The id of a new space with the subnet."""
    (subnet,) = (one for one in await innkeeper.get("subnets/") if one["cidr"] == cidr)
    space = await innkeeper.post("spaces/", name="alpha")
    await innkeeper.put(f"vlans/{subnet['vlan']['id']}/", space="alpha")
    return str(space["id"])


@pytest.mark.boot
@pytest.mark.deadline(2 * BOOT_S)
async def test_juju_bootstraps_on_lxd_and_ends(
    tmp_path: Path, database_url: str, server: LxdServer, bridge: GuestBridge
) -> None:
    juju, before = await built(PROGRAMS / "juju.go", tmp_path / "juju"), server.volumes()
    async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
        await bridge.start_rack(innkeeper)
        await upload_image(innkeeper, "ubuntu/noble")
        await add_lxd(innkeeper, server)
        space, url = await space_of(innkeeper, server.managed_subnet), innkeeper.api.url
        output = await run(
            juju,
            url,
            key_of(innkeeper),
            space,
            HOME=str(tmp_path),
            JUJU_WAIT_S=str(int(BOOT_S)),
            deadline_s=1.5 * BOOT_S,
        )
        found = json.loads(output)
        prefix = server.managed_subnet.rpartition(".")[0]
        assert [address.startswith(f"{prefix}.") for address in found["addresses"]] == [True]
        assert found["container"][2] == [f"{prefix}.2"], "outside of the DHCP range"
        assert (found["allocated"], found["owner data"]) == ([2, 2048, "Allocated"], "true")
        await eventually(lambda: _is_empty(innkeeper), deadline_s=120)
        assert server.volumes() == before, "an allocation that composed ends with its release"
        assert await innkeeper.ledger_problems() == []


async def _is_empty(innkeeper: Deployment) -> bool:
    return not await innkeeper.get("machines/")
