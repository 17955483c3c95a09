"""Volumes that are named after a mark and that nothing has, on libvirt's own test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from common.discovery import UnusedVolume, VolumeRef
from common.errors import DriverFailed, WrongState
from common.marks import seed_name, volume_name
from common.values import Mark
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.defined import volume_names
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.handles import Domain
from rackd.drivers.libvirt.trees import parse
from tests.contract.libvirt_node import opened

INSTALLATION = UUID(int=7)
MARK = Mark(installation_id=INSTALLATION, machine_id=uuid4())
DISK, SEED = volume_name(MARK, 0), seed_name(MARK)
SNAPSHOT_OF = "<backingStore><path>{}</path><format type='raw'/></backingStore>"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture
def driver(client: Client) -> Iterator[LibvirtDriver]:
    made = LibvirtDriver(lambda: client, INSTALLATION)
    yield made
    made.close()


def make_volume(client: Client, name: str, more: str = "") -> VolumeRef:
    pool = client._connection.storagePoolLookupByName("main")
    pool.createXML(f"<volume><name>{name}</name><capacity>1000</capacity>{more}</volume>")
    return VolumeRef(pool_id=pool.UUIDString(), name=name)


def define(client: Client, name: str, disk: str) -> None:
    """Again: what it is at its next start."""
    client._connection.defineXML(
        f"<domain type='test'><name>{name}</name><uuid>{UUID(int=1)}</uuid><memory>1024</memory><vcpu>1</vcpu>"
        f"<os><type>hvm</type></os><devices>{disk}</devices></domain>"
    )


def names(driver: LibvirtDriver) -> set[str]:
    return {one.name for one in driver.discover().unused_volumes}


def test_every_way_to_name_a_volume_in_a_definition_is_read() -> None:
    tree = parse(
        """<domain><devices>
             <disk type='file' device='cdrom'><source file='/pool/seed.iso'/></disk>
             <disk type='volume'><source pool='main' volume='in-a-pool'/></disk>
             <disk type='block'><source dev='/dev/vg/device'/></disk>
             <disk type='file'><source file='/pool/top'/><backingStore type='file'><source file='/pool/middle'/>
               <backingStore type='file'><source file='/pool/bottom'/></backingStore></backingStore></disk>
             <disk type='file'><mirror type='file'><source file='/elsewhere/mirror'/></mirror></disk>
             <disk type='file' device='cdrom'/>
           </devices></domain>""",
        "a guest",
    )
    assert volume_names(tree) == {"seed.iso", "in-a-pool", "device", "top", "middle", "bottom", "mirror"}


def test_a_disk_and_an_image_that_nothing_has_are_told_and_removed(client: Client, driver: LibvirtDriver) -> None:
    disk, seed = make_volume(client, DISK), make_volume(client, SEED)
    make_volume(client, "theirs")
    assert driver.discover().unused_volumes == tuple(
        UnusedVolume(pool_id=disk.pool_id, name=name, mark=MARK) for name in (DISK, SEED)
    )
    driver.remove_volumes(MARK, [disk, seed])
    assert client.volume_names({disk.pool_id}) == {disk.pool_id: ("theirs",)}


@pytest.mark.parametrize(
    "disk",
    [
        f"<disk type='volume' device='disk'><source pool='main' volume='{DISK}'/><target dev='vda'/></disk>",
        f"<disk type='file' device='cdrom'><source file='/ikdrv/main/{DISK}'/><target dev='hdc'/></disk>",
        f"<disk type='file' device='disk'><source file='/a-link/{DISK}'/><target dev='vda'/></disk>",
    ],
)
def test_what_a_guest_has_in_whatever_way_is_not_told_and_not_removed(
    client: Client, driver: LibvirtDriver, disk: str
) -> None:
    volume = make_volume(client, DISK)
    define(client, "theirs", disk)
    assert names(driver) == set()
    with pytest.raises(WrongState, match=f"{DISK} in main \\(by theirs\\)"):
        driver.remove_volumes(MARK, [volume])
    assert client.volume_names({volume.pool_id}) == {volume.pool_id: (DISK,)}


@pytest.mark.parametrize("now", [True, False])
def test_what_a_running_guest_has_only_now_or_only_when_it_is_started_again_stays(
    client: Client, driver: LibvirtDriver, *, now: bool
) -> None:
    volume = make_volume(client, DISK)
    disk = f"<disk type='file' device='disk'><source file='/a-link/{DISK}'/><target dev='vda'/></disk>"
    define(client, "theirs", disk if now else "")
    client._connection.lookupByName("theirs").create()
    define(client, "theirs", "" if now else disk)
    with pytest.raises(WrongState, match=r"by theirs"):
        driver.remove_volumes(MARK, [volume])
    assert client.volume_names({volume.pool_id}) == {volume.pool_id: (DISK,)}


def test_what_another_image_is_made_on_stays(client: Client, driver: LibvirtDriver) -> None:
    volume = make_volume(client, DISK)
    make_volume(client, "a-snapshot", SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    with pytest.raises(WrongState, match=r"by a-snapshot"):
        driver.remove_volumes(MARK, [volume])
    assert DISK in client.volume_names({volume.pool_id})[volume.pool_id]


def test_nothing_is_told_of_volumes_while_the_definition_of_a_guest_is_not_known(
    client: Client, driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_volume(client, DISK)
    define(client, "hangs", "")

    def hangs(_: Domain) -> str:
        raise DriverFailed("another job holds it")

    monkeypatch.setattr(Domain, "xml", hangs)
    found = driver.discover()
    assert (found.unused_volumes, found.volumes_told) == ((), ())
