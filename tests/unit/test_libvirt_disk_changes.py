"""Disks of libvirt's domains: what hosts and guests refuse, and that nothing has changed then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve, frozen

from common.errors import DriverFailed, HostUnreachable, OutOfCapacity, Unsupported, WrongState
from common.guest_spec import DiskSpec, GuestSpec
from common.values import DiskSize, OwnershipMarker, PowerAction, PowerState
from common.volume_names import volume_name
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain, Volume
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests import unplugging
from tests.contract.guest_samples import small_guest
from tests.contract.libvirt_node import opened

NO_SLOT = "internal error: No more available PCI slots"
PENDING = "device virtio-disk1 is already in the process of unplug"


@frozen
class Host:
    """A guest with two disks."""

    client: Client
    driver: LibvirtDriver
    spec: GuestSpec

    @property
    def domain(self) -> Any:
        return self.client.connection.lookupByName(self.spec.name)

    @property
    def pool(self) -> Any:
        return self.client.connection.storagePoolLookupByName("main")

    @property
    def second(self) -> DiskSpec:
        return self.spec.disks[1]

    def new_disk(self, name: str | None = None) -> DiskSpec:
        return evolve(self.second, volume=name or volume_name(self.spec.marker, 2), serial="new")

    def start(self) -> None:
        self.driver.power(self.spec.ref, PowerAction.ON, grace_s=0.1)

    def attach(self, disk: DiskSpec, *, create: bool = True) -> PowerState:
        return self.driver.attach_disk(self.spec.ref, disk, 2, create=create)

    def detach(self) -> PowerState:
        return self.driver.detach_disk(self.spec.ref, self.second.pool_id, self.second.volume)

    def grow(self) -> int:
        size = DiskSize(
            pool_id=self.second.pool_id, volume=self.second.volume, size_bytes=self.second.size_bytes + 2**20
        )
        return self.driver.grow_disk(self.spec.ref, size).size_bytes

    def state(self) -> object:
        """All that could change: the definitions and the volumes."""
        return self.domain.XMLDesc(), self.domain.XMLDesc(2), sorted(self.pool.listVolumes())

    def make_volume(self, name: str, size_bytes: int, format_name: str = "raw") -> None:
        target = f"<target><format type='{format_name}'/></target>"
        self.pool.createXML(f"<volume><name>{name}</name><capacity>{size_bytes}</capacity>{target}</volume>")

    def live_without(self, volume: str) -> str:
        tree = ET.fromstring(self.domain.XMLDesc())  # noqa: S314  trusted: a domain of the test
        devices = tree.find("devices")
        assert devices is not None
        for disk in devices.findall("disk"):
            source = disk.find("source")
            if source is not None and source.get("file", "").endswith(volume):
                devices.remove(disk)
        return ET.tostring(tree, encoding="unicode")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    marker = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    with opened(tmp_path) as client:
        pool_id = client.connection.storagePoolLookupByName("main").UUIDString()
        spec = small_guest("vm", marker, (pool_id, pool_id))
        driver = LibvirtDriver(lambda: client, marker.installation_id)
        driver.compose(spec)
        yield Host(client, driver, spec)
        driver.close()


def failing(error: Exception) -> Callable[..., None]:
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


def ignoring(*_: object, **__: object) -> None:
    """Accepts the request, and does nothing."""


def test_a_running_guest_without_a_free_slot_gets_no_disk(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    monkeypatch.setattr(Domain, "attach_live", failing(DriverFailed(NO_SLOT)))
    before = host.state()
    with pytest.raises(WrongState, match=f"{NO_SLOT} It can be attached while vm is off"):
        host.attach(host.new_disk())
    assert host.state() == before


def test_a_volume_stays_if_the_host_does_not_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest may get the disk all the same, and the next attempt finds it."""
    host.start()
    monkeypatch.setattr(Domain, "attach_live", failing(HostUnreachable("the link is gone")))
    with pytest.raises(HostUnreachable):
        host.attach(host.new_disk())
    assert host.new_disk().volume in host.pool.listVolumes()


def test_a_volume_stays_if_the_guest_has_it_after_an_error(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def define_then_fail(_: Client, xml: str, name: str) -> None:
        host.client.connection.defineXML(xml)
        raise DriverFailed(f"cannot save {name}")

    monkeypatch.setattr(Client, "define", define_then_fail)
    with pytest.raises(DriverFailed):
        host.attach(host.new_disk())
    assert host.new_disk().volume in host.pool.listVolumes()


def test_a_new_volume_goes_if_the_definition_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "define", failing(DriverFailed("XML error: unknown serial")))
    before = host.state()
    with pytest.raises(DriverFailed, match="unknown serial"):
        host.attach(host.new_disk())
    assert host.state() == before


def test_a_volume_that_existed_stays_if_it_is_not_attached(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = host.new_disk()
    host.make_volume(disk.volume, disk.size_bytes)
    monkeypatch.setattr(Client, "define", failing(DriverFailed("XML error: unknown serial")))
    before = host.state()
    with pytest.raises(DriverFailed):
        host.attach(disk)
    assert host.state() == before


def test_a_volume_of_another_size_is_named_with_both_sizes(host: Host) -> None:
    disk = host.new_disk()
    host.make_volume(disk.volume, disk.size_bytes - 1)
    with pytest.raises(WrongState, match=f"{disk.size_bytes - 1} bytes; the new disk would have {disk.size_bytes}"):
        host.attach(disk)
    assert disk.volume in host.pool.listVolumes()


def test_a_volume_that_was_rounded_up_is_used(host: Host) -> None:
    disk = host.new_disk()
    host.make_volume(disk.volume, disk.size_bytes + 4 * 2**20)
    assert host.attach(disk) is PowerState.OFF


def test_a_volume_that_another_guest_has_at_its_next_start_is_used(host: Host) -> None:
    disk = host.new_disk()
    host.make_volume(disk.volume, disk.size_bytes)
    other = small_guest("other", evolve(host.spec.marker, machine_id=uuid4()), (disk.pool_id,), nics=())
    host.driver.compose(other)
    host.driver.power(other.ref, PowerAction.ON, grace_s=0.1)
    host.driver.power(host.spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    tree = host.client.connection.lookupByName("other").XMLDesc(2)
    path = host.pool.storageVolLookupByName(disk.volume).path()
    further = f"<disk type='file'><source file='{path}'/><target dev='vdz'/></disk></devices>"
    host.client.connection.defineXML(tree.replace("</devices>", further))
    with pytest.raises(WrongState, match="is used by other"):
        host.attach(disk, create=False)


def test_an_image_of_another_format_is_not_attached(host: Host) -> None:
    host.make_volume("appliance", host.second.size_bytes, "qcow2")
    host.make_volume("plain", host.second.size_bytes)
    with pytest.raises(Unsupported, match="has the format qcow2"):
        host.attach(host.new_disk("appliance"), create=False)
    assert host.attach(host.new_disk("plain"), create=False) is PowerState.OFF


def test_what_a_guest_wrote_does_not_change_the_format(host: Host) -> None:
    """libvirt takes the format of a volume from its content, which is the guest's."""
    disk = host.new_disk()
    host.make_volume(disk.volume, disk.size_bytes, "qcow2")
    host.attach(disk)
    assert "qcow2" not in host.domain.XMLDesc()


def test_a_guest_that_keeps_its_disk_has_it_at_its_next_start(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    monkeypatch.setattr(Domain, "detach_live", ignoring)
    monkeypatch.setattr(unplugging, "UNPLUG_S", 0.3)
    before = host.state()
    with pytest.raises(WrongState, match=r"did not give the disk .* back within .* Unmount the disk in vm"):
        host.detach()
    assert host.state() == before


def test_a_guest_that_refuses_keeps_its_disk(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    monkeypatch.setattr(Domain, "detach_live", failing(DriverFailed("device unplug request was rejected by the guest")))
    before = host.state()
    with pytest.raises(WrongState, match=r"rejected by the guest.*while vm is off"):
        host.detach()
    assert host.state() == before


@pytest.mark.parametrize("answer", [ignoring, failing(DriverFailed(PENDING))], ids=["requested", "requested before"])
def test_a_disk_that_a_guest_gives_back_later_is_gone(
    host: Host, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., None]
) -> None:
    host.start()
    whole, less, reads = host.domain.XMLDesc(), host.live_without(host.second.volume), iter(range(100))
    monkeypatch.setattr(Domain, "detach_live", answer)
    monkeypatch.setattr(Domain, "xml", lambda _: whole if next(reads) < 4 else less)
    assert host.detach() is PowerState.ON
    assert host.second.volume not in host.domain.XMLDesc(2)
    assert host.second.volume in host.pool.listVolumes()


def test_a_guest_that_stops_meanwhile_gives_its_disk_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    monkeypatch.setattr(Domain, "detach_live", lambda *_: host.domain.destroy())
    assert host.detach() is PowerState.OFF
    assert host.second.volume not in host.domain.XMLDesc(2)


def test_the_wait_for_a_guest_ends_with_the_connection(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    running = host.domain.XMLDesc()
    monkeypatch.setattr(Domain, "detach_live", lambda *_: host.driver.close())
    monkeypatch.setattr(Domain, "is_active", lambda _: True)
    monkeypatch.setattr(Domain, "xml", lambda _: running)
    with pytest.raises(HostUnreachable, match="closed the connection"):
        host.detach()


@pytest.mark.parametrize("error", [DriverFailed("block job"), Unsupported("no such call")])
def test_a_running_guest_that_cannot_grow_a_disk_keeps_its_size(
    host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    host.start()
    monkeypatch.setattr(Domain, "resize_live_disk", failing(error))
    assert host.grow() == host.second.size_bytes


def test_a_running_guest_whose_pool_is_full_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    monkeypatch.setattr(Domain, "resize_live_disk", failing(OutOfCapacity("no space left")))
    with pytest.raises(OutOfCapacity):
        host.grow()


def test_a_disk_that_begins_like_an_image_grows_only_while_its_guest_runs(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt would have qemu-img change the image, and the files that it names as its data."""
    forged = "<volume><target><format type='qcow2'/></target></volume>"
    monkeypatch.setattr(Volume, "xml", lambda _: forged)
    monkeypatch.setattr(Volume, "resize", ignoring)
    with pytest.raises(Unsupported, match="uses it as raw, but its content begins like an image of the format qcow2"):
        host.grow()


def test_a_snapshot_on_top_of_a_disk_is_named(host: Host) -> None:
    path = host.pool.storageVolLookupByName(host.second.volume).path()
    tree = host.domain.XMLDesc()
    base = f"<backingStore type='file'><format type='raw'/><source file='{path}'/></backingStore>"
    above = f"<source file='{path}-top'/>{base}"
    host.client.connection.defineXML(tree.replace(f"<source file='{path}'/>", above))
    with pytest.raises(WrongState, match="has a snapshot on top"):
        host.grow()
    with pytest.raises(WrongState, match="is used by vm"):
        host.attach(host.second, create=False)


def test_a_volume_of_a_volume_group_is_a_block_device_and_does_not_grow(host: Host) -> None:
    pool = host.client.connection.storagePoolCreateXML(
        "<pool type='logical'><name>vg</name><source><name>vg</name></source>"
        "<target><path>/dev/vg</path></target></pool>"
    )
    disk = evolve(host.new_disk(), pool_id=pool.UUIDString())
    host.attach(disk)
    found = ET.fromstring(host.domain.XMLDesc()).find(f"devices/disk/source[@dev='/dev/vg/{disk.volume}']")  # noqa: S314
    assert found is not None
    with pytest.raises(Unsupported, match="its storage pool vg has the type logical"):
        host.driver.grow_disk(
            host.spec.ref, DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=2 * disk.size_bytes)
        )
