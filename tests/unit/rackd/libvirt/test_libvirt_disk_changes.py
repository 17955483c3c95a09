"""Disk changes that libvirt or a guest refuses, that an administrator has half made, or that are interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve, frozen

from common.disks.volume_names import volume_name
from common.errors import DriverFailed, HostUnreachable, InvalidRequest, Unsupported, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize
from common.values import OwnershipMarker, PowerAction, PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests import live_devices
from rackd.drivers.libvirt.guests.disks import disk_changes
from rackd.drivers.libvirt.xml import attribute, parse
from tests.contract.support.guest_samples import DISK_BYTES, small_guest
from tests.contract.support.libvirt_fixtures import disk_element
from tests.contract.support.libvirt_node import NODE, opened

GROUP = '<pool type="logical"><name>group</name><target><path>/dev/group</path></target></pool>'
NO_SLOT = DriverFailed("Cannot attach a device: internal error: No more available PCI slots")
LIVE, PERSISTENT = 0, 2


@frozen
class Host:
    client: Client
    driver: LibvirtDriver
    spec: GuestSpec

    @property
    def domain(self) -> Any:
        return self.client.connection.lookupByName(self.spec.name)

    @property
    def pool(self) -> Any:
        return self.client.connection.storagePoolLookupByName("main")

    def start(self) -> None:
        self.driver.power(self.spec.ref, PowerAction.ON, grace_s=0.1)

    def volumes_in(self, flags: int) -> list[str]:
        tree = parse(self.domain.XMLDesc(flags), "a guest")
        return [Path(attribute(disk, "source", "file")).name for disk in tree.iterfind("devices/disk")]

    def attach(self, disk: DiskSpec, *, create: bool = True) -> PowerState:
        return self.driver.attach_disk(self.spec.ref, disk, 1, create=create)

    def detach(self, disk: DiskSpec) -> PowerState:
        return self.driver.detach_disk(self.spec.ref, disk.pool_id, disk.volume)

    def define_with(self, *disks: ET.Element) -> None:
        """Changes the definition as an administrator can; a running guest does not notice."""
        tree = parse(self.domain.XMLDesc(PERSISTENT), "a guest")
        devices = tree.find("devices")
        assert devices is not None
        for disk in devices.findall("disk")[1:]:
            devices.remove(disk)
        devices.extend(disks)
        self.client.connection.defineXML(ET.tostring(tree, encoding="unicode"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A guest with one disk that is off."""
    marker = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    with opened(tmp_path, NODE.replace("<network>", f"{GROUP}<network>", 1)) as client:
        pool_id = client.connection.storagePoolLookupByName("main").UUIDString()
        spec = small_guest("vm", marker, (pool_id,))
        driver = LibvirtDriver(lambda: client, marker.installation_id)
        driver.compose(spec)
        yield Host(client, driver, spec)


@pytest.fixture
def disk(host: Host) -> DiskSpec:
    """Another disk for the guest."""
    return evolve(host.spec.disks[0], volume=volume_name(host.spec.marker, 1), serial="second")


def answers(monkeypatch: pytest.MonkeyPatch, method: str, answer: Callable[..., None]) -> None:
    """The test driver has no calls that change devices of a running domain."""
    monkeypatch.setattr(Domain, method, answer)


def refuse(error: Exception) -> Callable[..., None]:
    def answer(*_: object, **__: object) -> None:
        raise error

    return answer


def accept(*_: object, **__: object) -> None: ...


@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
def test_a_refused_disk_leaves_nothing_behind(
    host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    host.start()
    if exists:
        host.pool.createXML(f"<volume><name>{disk.volume}</name><capacity>{DISK_BYTES}</capacity></volume>")
    volumes = host.pool.listVolumes()
    answers(monkeypatch, "attach_live", refuse(NO_SLOT))
    with pytest.raises(WrongState, match=r"No more available PCI slots\. It can be attached while vm is off"):
        host.attach(disk)
    assert host.pool.listVolumes() == volumes
    assert host.volumes_in(LIVE) == host.volumes_in(PERSISTENT) == [host.spec.disks[0].volume]


def test_a_volume_stays_whose_attachment_only_seemed_to_fail(
    host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attached_all_the_same(*_: object, **__: object) -> None:
        host.define_with(disk_element("vdb", f"/ikdrv/main/{disk.volume}"))
        raise DriverFailed("internal error: the monitor did not answer")

    host.start()
    answers(monkeypatch, "attach_live", attached_all_the_same)
    with pytest.raises(WrongState):
        host.attach(disk)
    assert disk.volume in host.pool.listVolumes()


def test_a_lost_connection_leaves_the_volume_for_the_next_try(
    host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.start()
    answers(monkeypatch, "attach_live", refuse(HostUnreachable("the connection was lost")))
    with pytest.raises(HostUnreachable):
        host.attach(disk)
    assert disk.volume in host.pool.listVolumes()
    host.driver.power(host.spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    host.attach(disk)
    assert host.volumes_in(PERSISTENT)[1:] == [disk.volume]


def test_half_a_change_of_an_administrator_is_completed(host: Host, disk: DiskSpec) -> None:
    host.attach(disk)
    host.start()
    host.define_with()
    assert (host.volumes_in(LIVE)[1:], host.volumes_in(PERSISTENT)[1:]) == ([disk.volume], [])
    assert host.attach(disk) is PowerState.ON
    assert host.volumes_in(PERSISTENT)[1:] == [disk.volume]


def test_a_running_guest_gets_the_disk_that_its_definition_has(
    host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def attach_live(_: Domain, __: str, *, persistent: bool) -> None:
        asked.append(persistent)

    host.start()
    host.pool.createXML(f"<volume><name>{disk.volume}</name><capacity>{DISK_BYTES}</capacity></volume>")
    answers(monkeypatch, "attach_live", attach_live)
    host.attach(disk)
    host.define_with(disk_element("vdb", f"/ikdrv/main/{disk.volume}"))
    host.attach(disk)
    assert asked == [True, False]


def test_a_guest_that_keeps_a_disk_is_not_changed(host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    host.attach(disk)
    host.start()
    before = host.domain.XMLDesc(LIVE), host.domain.XMLDesc(PERSISTENT)
    monkeypatch.setattr(live_devices, "UNPLUG_S", 0.0)
    for answer, reason in (
        (accept, r"within 0 s\. Unmount it in the guest"),
        (refuse(DriverFailed("already in the process of unplug")), "within 0 s"),
        (refuse(DriverFailed("the bus does not support hot-unplugging")), "hot-unplugging"),
    ):
        answers(monkeypatch, "detach_live", answer)
        with pytest.raises(WrongState, match=reason):
            host.detach(disk)
        assert (host.domain.XMLDesc(LIVE), host.domain.XMLDesc(PERSISTENT)) == before


def test_a_guest_that_stops_meanwhile_loses_the_disk(
    host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.attach(disk)
    host.start()
    answers(monkeypatch, "detach_live", lambda domain, _: domain.destroy())
    assert host.detach(disk) is PowerState.OFF
    assert host.volumes_in(PERSISTENT) == [host.spec.disks[0].volume]


def test_a_driver_that_closes_does_not_wait_for_a_guest(
    host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.attach(disk)
    host.start()
    answers(monkeypatch, "detach_live", accept)
    closing = threading.Event()
    closing.set()
    with pytest.raises(HostUnreachable, match="closed the connection while vm"):
        disk_changes.detach(host.client, host.spec.ref, disk.pool_id, disk.volume, closing=closing)
    assert disk.volume in host.volumes_in(PERSISTENT)


def test_no_images_but_raw_and_qcow2_are_attached(host: Host, disk: DiskSpec) -> None:
    image = "<volume><name>{}</name><capacity>{}</capacity><target><format type='{}'/></target></volume>"
    for name, kind in (("kept", "vmdk"), ("plain", "raw")):
        host.pool.createXML(image.format(name, DISK_BYTES, kind))
    with pytest.raises(WrongState, match="kept is an image of the format vmdk, of which Innkeeper attaches none"):
        host.attach(evolve(disk, volume="kept"), create=False)
    host.attach(evolve(disk, volume="plain"), create=False)
    assert host.volumes_in(PERSISTENT)[1:] == ["plain"]


def test_a_disk_with_an_invalid_serial_is_not_made(host: Host, disk: DiskSpec) -> None:
    with pytest.raises(InvalidRequest, match="serial"):
        host.attach(evolve(disk, serial="a serial"))
    assert disk.volume not in host.pool.listVolumes()


def test_a_running_guest_keeps_the_size_that_qemu_refuses(
    host: Host, disk: DiskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.attach(disk)
    host.start()
    asked: list[tuple[str, int]] = []
    answers(monkeypatch, "grow_live", lambda _, device, size_bytes: asked.append((device, size_bytes)))
    wanted = DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=DISK_BYTES + 1)
    host.driver.grow_disk(host.spec.ref, wanted)
    assert asked == [("vdb", DISK_BYTES + 512)]  # in whole sectors
    for error in (DriverFailed("no"), Unsupported("no")):
        answers(monkeypatch, "grow_live", refuse(error))
        assert host.driver.grow_disk(host.spec.ref, wanted).size_bytes == DISK_BYTES
    answers(monkeypatch, "grow_live", refuse(HostUnreachable("lost")))
    with pytest.raises(HostUnreachable):
        host.driver.grow_disk(host.spec.ref, wanted)


def test_a_guest_with_only_disks_of_other_machines_is_its_machines(host: Host, disk: DiskSpec) -> None:
    other = evolve(host.spec.marker, machine_id=uuid4())
    host.attach(evolve(disk, volume=volume_name(other, 1)))
    host.detach(host.spec.disks[0])
    (guest,) = host.driver.discover().guests
    assert guest.marker == host.spec.marker
    host.driver.disown(guest.guest_id, guest.name, host.spec.marker)
    (guest,) = host.driver.discover().guests
    assert guest.marker is None


def test_a_disk_does_not_make_a_guest_that_of_its_machine(host: Host, disk: DiskSpec) -> None:
    """A copy of a domain has the metadata and other ids, and a foreign domain has neither."""
    host.attach(disk)
    copy = parse(host.domain.XMLDesc(PERSISTENT), "a guest")
    for key, text in (("name", "copy"), ("uuid", str(uuid4()))):
        copy.find(key).text = text  # type: ignore[union-attr]  # every domain has them
    host.client.connection.defineXML(ET.tostring(copy, encoding="unicode"))
    found = {guest.name: guest.marker for guest in host.driver.discover().guests}
    assert found == {"copy": None, "vm": host.spec.marker}


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_block_device_is_attached_as_one_and_does_not_grow(host: Host, disk: DiskSpec, *, on: bool) -> None:
    pool = host.client.connection.storagePoolLookupByName("group")
    device = evolve(disk, pool_id=pool.UUIDString())
    host.attach(device)
    tree = parse(host.domain.XMLDesc(), "a guest")
    (found,) = tree.iterfind("devices/disk[@type='block']/source")
    assert found.get("dev") == f"/dev/group/{disk.volume}"
    if on:
        host.start()
    wanted = DiskSize(pool_id=device.pool_id, volume=disk.volume, size_bytes=2 * DISK_BYTES)
    with pytest.raises(Unsupported, match="volumes in a storage pool of the type logical, such as group"):
        host.driver.grow_disk(host.spec.ref, wanted)
    assert host.driver.grow_disk(host.spec.ref, evolve(wanted, size_bytes=1)).size_bytes == DISK_BYTES


def test_a_guest_whose_memory_is_saved_keeps_its_disks(host: Host, disk: DiskSpec) -> None:
    """It would start with those that it had, also with one that another guest has by then."""
    own = host.spec.disks[0]
    wanted = DiskSize(pool_id=own.pool_id, volume=own.volume, size_bytes=2 * DISK_BYTES)
    host.start()
    host.domain.managedSave()
    for change in (
        lambda: host.attach(disk),
        lambda: host.detach(own),
        lambda: host.driver.grow_disk(host.spec.ref, wanted),
    ):
        with pytest.raises(WrongState, match="virsh managedsave-remove"):
            change()
    assert host.volumes_in(PERSISTENT) == host.pool.listVolumes() == [own.volume]
    host.domain.managedSaveRemove()
    host.attach(disk)
    assert host.detach(own) is PowerState.OFF
