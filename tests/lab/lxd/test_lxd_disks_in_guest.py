"""Disks that a booted guest on a real LXD gets and loses while it runs, as its own system sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from common.disks.volume_names import volume_name
from common.errors import InnkeeperError
from common.guests.deployment_spec import CloudInitSeed
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import NicKind, PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.contract.running.test_own_images_contract import ref
from tests.contract.support.guest_samples import DISK_BYTES, nic
from tests.lab.servers.lxd_server import LxdServer, booting_server, why_no_lxd
from tests.lab.servers.needs import require
from tests.lab.support.guest_image import BOOT_S, SshKey, image_file
from tests.lab.support.key_pair import make_key_pair
from tests.lab.support.lxd_specs import small_spec
from tests.lab.support.own_images import delete_images, import_image
from tests.support.waiting import eventually

PREFIX = "ikseen-"
NAME = f"{PREFIX}vm"
DEVICE = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_lxd_disk1"


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
    pair = make_key_pair("ik-seen")
    server.add_trust(pair)
    opened = LxdDriverFactory().open(server.access(pair))
    yield opened
    opened.close()


def started(server: LxdServer, driver: LxdDriver, key: SshKey) -> GuestSpec:
    """A guest that runs."""
    spec = prepared(server, driver, key)
    driver.power(spec.ref, PowerAction.ON, grace_s=1)
    return spec


def prepared(server: LxdServer, driver: LxdDriver, key: SshKey) -> GuestSpec:
    """A guest with one disk, on which the image is."""
    spec = small_spec(NAME, nics=(nic(0, NicKind.NETWORK, server.managed_bridge, boot=True),), size_bytes=3 * 1024**3)
    spec = evolve(spec, memory_mib=768)
    driver.compose(spec)
    user_data = b"#cloud-config\n" + json.dumps({"ssh_authorized_keys": [key.public]}).encode()
    with_dhcp = json.dumps({"version": 2, "ethernets": {"nics": {"match": {"name": "e*"}, "dhcp4": True}}})
    seed = CloudInitSeed(meta_data='{"instance-id": "1"}', user_data=user_data, network_config=with_dhcp)
    driver.deploy(spec, ref(driver.find_image(alias=f"{PREFIX}image")), seed)
    return spec


async def address_of(server: LxdServer, guest: GuestSpec) -> str:
    def leased() -> Any:
        leases = server.ask(f"/1.0/networks/{server.managed_bridge}/leases")
        return next((one["address"] for one in leases if one["hwaddr"] == guest.nics[0].mac_address), None)

    return str(await eventually(leased, deadline_s=BOOT_S, every_s=1.0))


async def answering(key: SshKey, address: str) -> None:
    """Returns when somebody can log in."""

    async def answers() -> bool:
        try:
            return await key.run(address, "hostname") != ""
        except InnkeeperError:
            return False

    await eventually(answers, deadline_s=BOOT_S, every_s=1.0)


async def in_guest(key: SshKey, address: str, *commands: str) -> list[str]:
    """Returns the last lines that the commands print, after the guest's system has seen its disks."""
    script = " && ".join(("sudo udevadm settle", "sync", *commands))
    return (await key.run(address, script)).split()


async def test_a_booted_guest_sees_a_disk_come_and_go(tmp_path: Path, server: LxdServer, driver: LxdDriver) -> None:
    key = SshKey(tmp_path)
    guest = started(server, driver, key)
    address = await address_of(server, guest)
    disk = DiskSpec(volume=volume_name(guest.marker, 1), pool_id="default", size_bytes=DISK_BYTES, serial="lxd_disk1")
    await answering(key, address)

    assert driver.attach_disk(guest.ref, disk, 1, create=True) is PowerState.ON
    fill = f"sudo mkfs.ext4 -q {DEVICE} && sudo mount {DEVICE} /mnt && sudo sh -c 'head -c 20M /dev/urandom >/mnt/data'"
    size, written, _ = await in_guest(
        key, address, f"lsblk -bdno SIZE {DEVICE}", fill, "sha256sum /mnt/data", "sudo umount /mnt"
    )
    assert int(size) == DISK_BYTES

    assert driver.detach_disk(guest.ref, disk.pool_id, disk.volume) is PowerState.ON
    assert await in_guest(key, address, f"test ! -e {DEVICE}") == []
    assert driver.attach_disk(guest.ref, disk, 1, create=False) is PowerState.ON
    found, _ = await in_guest(key, address, f"sudo mount {DEVICE} /mnt", "sha256sum /mnt/data")
    assert found == written

    # It is mounted. LXD takes it nevertheless.
    assert driver.detach_disk(guest.ref, disk.pool_id, disk.volume) is PowerState.ON
    assert await in_guest(key, address, f"test ! -e {DEVICE}") == []
    with pytest.raises(InnkeeperError):
        await in_guest(key, address, "sudo touch /mnt/other")
