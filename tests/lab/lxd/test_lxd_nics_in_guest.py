"""A NIC that a booted guest on a real LXD gets and loses while it runs, as its own system sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.values import NicKind, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.contract.support.guest_samples import nic
from tests.lab.lxd.test_lxd_disks_in_guest import PREFIX, address_of, answering, started
from tests.lab.servers.host_setup import host_bridge
from tests.lab.servers.lxd_server import LxdServer, booting_server, why_no_lxd
from tests.lab.servers.needs import require
from tests.lab.support.guest_image import SshKey, image_file
from tests.lab.support.key_pair import make_key_pair
from tests.lab.support.own_images import delete_images, import_image
from tests.support.waiting import eventually


@pytest.fixture
def server() -> Iterator[LxdServer]:
    require(why_no_lxd())
    server = booting_server()
    with server.restored(PREFIX):
        import_image(server, image_file(), f"{PREFIX}image")
        yield server
    delete_images(server, PREFIX)


@pytest.fixture
def driver(server: LxdServer) -> Iterator[LxdDriver]:
    pair = make_key_pair("ik-seen-nics")
    server.add_trust(pair)
    opened = LxdDriverFactory().open(server.access(pair))
    yield opened
    opened.close()


@pytest.fixture
def bridge() -> Iterator[str]:
    with host_bridge("10.254.9.1/24") as made:
        yield made


async def test_a_booted_guest_sees_a_nic_come_and_go(
    tmp_path: Path, server: LxdServer, driver: LxdDriver, bridge: str
) -> None:
    key = SshKey(tmp_path)
    guest = started(server, driver, key)
    address = await address_of(server, guest)
    await answering(key, address)
    new = nic(1, NicKind.BRIDGE, bridge)
    before = [guest.nics[0].mac_address]

    async def sees(*mac_addresses: str) -> bool:
        """The loopback has no device."""
        found = await key.run(
            address, "for link in /sys/class/net/*; do test ! -e $link/device || cat $link/address; done"
        )
        return sorted(set(found.split())) == sorted(mac_addresses)

    assert await sees(*before)
    for _ in range(2):
        assert driver.attach_nic(guest.ref, new) is PowerState.ON
        await eventually(lambda: sees(*before, new.mac_address), deadline_s=30.0)
        assert driver.detach_nic(guest.ref, new.mac_address) is PowerState.ON
        await eventually(lambda: sees(*before), deadline_s=30.0)
