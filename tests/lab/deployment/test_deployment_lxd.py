"""A real guest is deployed through API, region, rack and LXD, or Incus, and found as it was ordered by logging in."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rackd.drivers.lxd.inventory.ownership import GENERATION_KEY
from regiond.machines.running.deployment import mime_parts
from regiond.machines.running.deployment.mime_parts import Part
from tests.deployment.in_process import deployed
from tests.lab.servers.every_product import server_of
from tests.lab.servers.lxd_server import LxdServer, booting_server
from tests.lab.support.deployed_guest import USER_DATA, GuestBridge, deploy, guest_bridge
from tests.lab.support.deployed_host import add_lxd
from tests.lab.support.guest_image import SshKey, becomes, upload_image

pytestmark = pytest.mark.every_product
PREFIX = "ikdep-"
NAME = f"{PREFIX}web"
LARGE = random.Random(7).randbytes(150_000)  # noqa: S311  # not a secret
FILE = {"path": "/root/large", "encoding": "b64", "content": base64.b64encode(LARGE).decode()}
# The guest fetches it: LXD stores 128 KiB. Its own host name and report, which Innkeeper's parts, after it, replace.
USERS_CONFIG = {
    "write_files": [FILE],
    "runcmd": ["echo the runcmd of the user >/run/users-runcmd"],
    "hostname": "mine",
    "phone_home": {"url": "http://127.0.0.1:9/", "tries": 1},
    "users": [{"name": "ann"}],
}
LARGE_USER_DATA = mime_parts.join((
    Part(content_type="text/x-shellscript", content=USER_DATA, filename="script"),
    Part(content_type="text/cloud-config", content=b"#cloud-config\n" + json.dumps(USERS_CONFIG).encode()),
))  # fmt: skip


@pytest.fixture(scope="session")
def lxd(request: pytest.FixtureRequest) -> LxdServer:
    """A server whose guests find their root disk."""
    return server_of(request, lxd=booting_server)


@pytest.fixture
def server(server: LxdServer) -> Iterator[LxdServer]:
    yield server
    server.delete_our_images()


@pytest.fixture
def bridge() -> Iterator[GuestBridge]:
    with guest_bridge("10.254.12") as bridge:
        yield bridge


def instance(server: LxdServer) -> Any:
    """The instance's config and devices, without what LXD and its drivers write at each creation, and without the
    number of uses, which a release leaves.
    """
    found = server.ask(f"/1.0/instances/{NAME}")
    config = {
        key: text for key, text in found["config"].items() if not key.startswith("volatile.") and key != GENERATION_KEY
    }
    return found["status"], config, found["devices"]


async def check_large_user_data(server: LxdServer, key: SshKey, address: str) -> None:
    """The guest has fetched what its instance does not have, and merged it as if the instance had it.

    `check_guest` has found the host name and the keys of ours, and the effect of the user's script.
    """
    assert len(server.ask(f"/1.0/instances/{NAME}")["config"]["cloud-init.user-data"]) < 8192
    assert (await key.run(address, "sudo sha256sum /root/large")).split()[0] == hashlib.sha256(LARGE).hexdigest()
    assert await key.run(address, "cat /run/users-runcmd") == "the runcmd of the user\n"
    assert "uid=" in await key.run(address, "id ann")


async def check_instance_id(key: SshKey, address: str, machine: Any) -> None:
    """cloud-init knows the deployment, not LXD's own instance id: that of a second deployment is another one."""
    found = (await key.run(address, "cat /var/lib/cloud/data/instance-id")).strip()
    uuid, _, deployment_id = found.rpartition("-")
    assert uuid == machine["hardware_uuid"].lower()
    assert deployment_id.isdecimal()


async def test_a_deployed_guest_is_what_was_ordered(
    tmp_path: Path, database_url: str, server: LxdServer, bridge: GuestBridge
) -> None:
    key, subnet = SshKey(tmp_path), server.managed_subnet
    async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
        await bridge.start_rack(innkeeper)
        await innkeeper.post("account/prefs/sshkeys/", key=key.public)
        await upload_image(innkeeper)
        host = await add_lxd(innkeeper, server)
        machine = await bridge.compose(innkeeper, host, NAME, dhcp_subnet=subnet)
        path = f"machines/{machine['system_id']}/"
        before, volumes = instance(server), server.volumes()

        deployed_machine = await deploy(innkeeper, machine, lambda: server.console(NAME), user_data=LARGE_USER_DATA)
        assert (deployed_machine["osystem"], deployed_machine["distro_series"]) == ("debian", "bookworm")
        images = server.our_images()
        assert len(images) == 1
        await bridge.check_guest(innkeeper, key, deployed_machine, dhcp_subnet=subnet)
        await check_large_user_data(server, key, bridge.guest_address)
        await check_instance_id(key, bridge.guest_address, deployed_machine)

        await innkeeper.post(path, op="release")
        released = await becomes(innkeeper, machine["system_id"], "Ready", lambda: server.console(NAME))
        assert released["power_state"] == "off"
        assert released["ip_addresses"] == [bridge.guest_address]
        assert instance(server) == before
        assert server.volumes() == volumes
        assert "image" not in str(server.ask(f"/1.0/instances/{NAME}")["config"])
        await innkeeper.delete(path)
        assert server.instances(PREFIX) == set()
        assert server.volumes() == set()
        assert server.our_images() == images
        removal = await innkeeper.begin(f"vm-hosts/{host['id']}/", method="DELETE")
        assert await innkeeper.ended(removal) == "succeeded"
        assert server.our_images() == set(), "the server is as it was before Innkeeper"
