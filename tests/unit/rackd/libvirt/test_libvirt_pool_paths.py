"""The storage pool and volume of a disk, by its path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from common.errors import NotFound, WrongState
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.guests.disks.pools import GuestPool, guest_pool
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from tests.contract.support.libvirt_node import opened

IMAGES, BY_PATH = "/var/lib/libvirt/images", "/dev/disk/by-path"
ROOTS = {
    "images": f"{IMAGES}/",  # a symbolic link or not: libvirt writes it as it was defined
    "fast": f"{IMAGES}/fast",
    "old": "/srv/vms/../old",
    "vg": "/dev/vg0",
    "zfs": "/dev/zvol/tank/vms",
    "iscsi": BY_PATH,
    "no-path": "",
}


def pool(pool_id: str, path: str) -> ET.Element:
    found = ET.Element("pool")
    ET.SubElement(found, "uuid").text = pool_id
    ET.SubElement(ET.SubElement(found, "target"), "path").text = path
    return found


PATHS = PoolPaths.of(pool(pool_id, path) for pool_id, path in ROOTS.items())


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"{IMAGES}/a.img", ("images", "a.img")),
        (f"{IMAGES}//./a.img", ("images", "a.img")),
        (f"/{IMAGES}/a.img", ("images", "a.img")),
        (f"//{IMAGES}/a.img", ("images", "a.img")),
        (f"{IMAGES}/../images/a.img", ("images", "a.img")),
        (f"{IMAGES}/web/../a.img", ("images", "a.img")),
        (f"{IMAGES}/fast/a.img", ("fast", "a.img")),
        ("/srv/old/a.img", ("old", "a.img")),
        ("/srv/vms/../old/a.img", ("old", "a.img")),
        ("/dev/vg0/lv", ("vg", "lv")),
        ("/dev/zvol/tank/vms/vol", ("zfs", "vol")),
        (f"{BY_PATH}/ip-10.0.0.1:3260-iscsi-iqn.a-lun-1", ("iscsi", "ip-10.0.0.1:3260-iscsi-iqn.a-lun-1")),
    ],
)
def test_a_path_in_the_folder_of_a_pool_is_that_of_its_volume(path: str, place: tuple[str, str]) -> None:
    assert PATHS.volume_at(path) == place
    assert PATHS.pool_at(path) == place[0]


@pytest.mark.parametrize(
    ("path", "pool_id"),
    [(f"{IMAGES}/web/a.img", "images"), (f"{IMAGES}/fast/web/a.img", "fast"), (f"{IMAGES}/fast/../web/a", "images")],
)
def test_a_path_in_a_folder_inside_a_pool_is_that_of_no_volume(path: str, pool_id: str) -> None:
    assert PATHS.volume_at(path) == (pool_id, None)
    assert PATHS.pool_at(path) == pool_id


@pytest.mark.parametrize("path", [f"{IMAGES}-old/a", f"{IMAGES}/../a", "/dev/mapper/vg0-lv", "/a"])
def test_a_path_outside_of_all_pools_is_in_none(path: str) -> None:
    assert PATHS.volume_at(path) is None
    assert PATHS.pool_at(path) is None


@pytest.fixture
def main(tmp_path: Path) -> Iterator[GuestPool]:
    with opened(tmp_path) as client:
        found = client.connection.storagePoolLookupByName("main")
        found.createXML(volume_xml("a.img", 1024, "dir"))
        yield guest_pool(client, found.UUIDString())


def disk(path: str) -> ET.Element:
    found = ET.Element("disk", type="file", device="disk")
    ET.SubElement(found, "source", file=path)
    return found


@pytest.mark.parametrize("path", ["/ikdrv/main/a.img", "/ikdrv/main/../main//a.img"])
def test_the_volume_of_a_disk_has_its_path(main: GuestPool, path: str) -> None:
    assert main.volume_of(disk(path), "a.img").path() == "/ikdrv/main/a.img"


def test_a_volume_of_another_path_is_not_that_of_the_disk(main: GuestPool) -> None:
    with pytest.raises(WrongState, match=r"is /ikdrv/main/web/a\.img, but the volume .* main is /ikdrv/main/a\.img"):
        main.volume_of(disk("/ikdrv/main/web/a.img"), "a.img")
    with pytest.raises(NotFound, match=r"main has no volume b\.img"):
        main.volume_of(disk("/ikdrv/main/b.img"), "b.img")
