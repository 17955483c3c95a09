"""Volumes and files on libvirt that are not the machine's alone: nothing is done to them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.errors import InnkeeperError, NotFound, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize
from common.hosts.discovery import VolumeRef
from common.values import GuestDisk
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.contract.running.test_deployment_contract import content, seed
from tests.contract.support.driver_fixtures import FIXTURES, INSTALLATION, CapableFixture, spec_for
from tests.contract.support.guest_samples import DISK_BYTES
from tests.contract.support.libvirt_fixtures import disk_element

if TYPE_CHECKING:
    from tests.contract.support.libvirt_fixtures import LibvirtFixture, QemuFixture

LIBVIRT = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in ("libvirt-test", "libvirt-qemu")], indirect=True
)
QEMU = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id == "libvirt-qemu"], indirect=True)
IN_A_FOLDER = "web/data.img"


def composed(host: CapableFixture, name: str, disks: int = 1) -> GuestSpec:
    spec = spec_for(host, name, disks=disks)
    host.driver.compose(spec)
    return spec


def path_of(host: CapableFixture, volume: str) -> str:
    pool = cast("LibvirtFixture", host).administrator.storagePoolLookupByUUIDString(host.pool_id)
    return str(pool.storageVolLookupByName(volume).path())


def attach(host: CapableFixture, guest: str, path: str) -> None:
    fixture = cast("LibvirtFixture", host)
    fixture.attach(fixture.administrator.lookupByName(guest), disk_element("vdy", path))


def another_uses(host: CapableFixture, volume: str) -> str:
    """Returns the name of a foreign guest that has the volume, too."""
    name = f"{host.prefix}other"
    host.make_foreign(name)
    attach(host, name, path_of(host, volume))
    return name


def refusals(change: Callable[[], object]) -> list[InnkeeperError]:
    try:
        change()
    except InnkeeperError as error:
        return [error]
    return []


def ref_of(place: tuple[str, str]) -> VolumeRef:
    return VolumeRef(pool_id=place[0], name=place[1])


def overlay_on(host: CapableFixture, volume: str) -> str:
    """Returns the name of an image that is based on the volume, as of a linked clone. No guest uses it."""
    base, name = Path(path_of(host, volume)), f"{host.prefix}linked.qcow2"
    made = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(base.with_name(name))]
    subprocess.run(made, check=True)
    return name


def changes_of(host: CapableFixture, spec: GuestSpec) -> dict[str, Callable[[], object]]:
    """Returns what replaces the content of the root disk, and of all disks."""
    source = content(b"Ubuntu")
    host.driver.copy_image(source.image, host.pool_id, source)
    return {
        "deploy": lambda: host.driver.deploy(spec, source.image, seed()),
        "release": lambda: host.driver.undeploy(spec),
        "erase": lambda: host.driver.undeploy(spec, erase=True),
        "overwrite": lambda: host.driver.undeploy(spec, erase=True, overwrite=True),
    }


class Reference:
    """What a guest of others has, beside its own disk, in its definition."""

    def __init__(self, host: CapableFixture, path: str) -> None:
        self.host, self.fixture, self.path, self.folder = (
            host,
            cast("LibvirtFixture", host),
            Path(path),
            Path(path).parent,
        )

    def in_devices(self, kind: str, source: dict[str, str], *, device: str = "disk", bus: str = "virtio") -> ET.Element:
        disk = disk_element({"virtio": "vdx", "fdc": "fda"}.get(bus, "sdx"), "", device=device, bus=bus)
        disk.set("type", kind)
        found = disk.find("source")
        assert found is not None
        found.attrib.clear()
        found.attrib.update(source)
        return disk

    def by_file(self) -> ET.Element:
        return self.in_devices("file", {"file": str(self.path)})

    def by_volume(self) -> ET.Element:
        return self.in_devices("volume", {"pool": f"{self.host.prefix}pool", "volume": self.path.name})

    def by_block_path(self) -> ET.Element:
        return self.in_devices("block", {"dev": str(self.path)})

    def in_drive(self) -> ET.Element:
        return self.in_devices("file", {"file": str(self.path)}, device="cdrom", bus="sata")

    def in_floppy_drive(self) -> ET.Element:
        return self.in_devices("file", {"file": str(self.path)}, device="floppy", bus="fdc")

    def by_link(self) -> ET.Element:
        """Another name, in another folder: no libvirt shows that it is the same file."""
        link = Path(cast("QemuFixture", self.host).other_folder()) / "golden.img"
        link.symlink_to(self.path)
        return self.in_devices("file", {"file": str(link)})

    def by_link_in_its_pool(self) -> ET.Element:
        link = self.folder / f"{self.host.prefix}golden.img"
        link.symlink_to(self.path)
        self.fixture.administrator.storagePoolLookupByUUIDString(self.host.pool_id).refresh()
        return self.in_devices("file", {"file": str(link)})

    def by_hard_link(self) -> ET.Element:
        link = self.folder / f"{self.host.prefix}golden.img"
        link.hardlink_to(self.path)
        self.fixture.administrator.storagePoolLookupByUUIDString(self.host.pool_id).refresh()
        return self.in_devices("file", {"file": str(link)})

    def by_another_pool(self) -> ET.Element:
        fixture = cast("QemuFixture", self.host)
        same = Path(fixture.other_folder()) / "same"
        same.symlink_to(self.folder)  # libvirt refuses a second pool with the same path
        pool = fixture.pool_in(str(same))
        return self.in_devices("volume", {"pool": pool, "volume": self.path.name})

    def by_backing_store(self) -> ET.Element:
        disk = self.in_devices("file", {"file": f"{self.folder}/{self.host.prefix}top.qcow2"})
        chain = ET.SubElement(disk, "backingStore", type="file")
        ET.SubElement(chain, "format", type="raw")
        ET.SubElement(chain, "source", file=str(self.path))
        return disk

    def by_overlay_in_another_pool(self) -> ET.Element:
        fixture = cast("QemuFixture", self.host)
        pool = fixture.administrator.storagePoolLookupByUUIDString(fixture.second_pool())
        folder = ET.fromstring(pool.XMLDesc()).findtext("target/path")  # noqa: S314  trusted: reported by libvirt
        overlay = f"{folder}/{self.host.prefix}linked.qcow2"
        made = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.path), overlay]
        subprocess.run(made, check=True)
        pool.refresh()
        disk = self.in_devices("file", {"file": overlay})
        driver = disk.find("driver")
        assert driver is not None
        driver.set("type", "qcow2")
        return disk

    def as_firmware_variables(self) -> ET.Element:
        loader = ET.Element("os")
        ET.SubElement(loader, "type").text = "hvm"
        ET.SubElement(loader, "loader", readonly="yes", type="pflash").text = "/usr/share/OVMF/OVMF_CODE.fd"
        ET.SubElement(loader, "nvram").text = str(self.path)
        return loader


FORMS = [
    Reference.by_file, Reference.by_volume, Reference.by_block_path, Reference.in_drive, Reference.in_floppy_drive,
    Reference.by_link, Reference.by_link_in_its_pool, Reference.by_hard_link, Reference.by_another_pool,
    Reference.by_backing_store, Reference.by_overlay_in_another_pool, Reference.as_firmware_variables,
]  # fmt: skip


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def shared(host: CapableFixture, request: pytest.FixtureRequest) -> tuple[GuestSpec, str]:
    """A machine whose second disk a guest that is off has, too; and the name of that guest."""
    spec, name = composed(host, "golden", disks=2), f"{host.prefix}other"
    host.make_foreign(name)
    part = request.param(Reference(host, path_of(host, spec.disks[1].volume)))
    fixture = cast("LibvirtFixture", host)
    domain = fixture.administrator.lookupByName(name)
    if part.tag == "disk":
        fixture.attach(domain, part)
    else:
        tree = ET.fromstring(domain.XMLDesc())  # noqa: S314  trusted: a domain of the test
        tree.remove(next(tree.iterfind("os")))
        tree.append(part)
        ET.SubElement(ET.SubElement(tree, "features"), "acpi")
        fixture.administrator.defineXML(ET.tostring(tree, encoding="unicode"))
    return spec, name


@QEMU
def test_a_deletion_leaves_a_volume_that_another_guest_has(host: CapableFixture, shared: tuple[GuestSpec, str]) -> None:
    spec, _ = shared
    root, data = ((disk.pool_id, disk.volume) for disk in spec.disks)
    host.driver.decompose(spec.ref)
    assert host.driver.find(spec.ref) is None
    assert {root, data} & host.volumes() == {data}
    (refusal,) = [str(error) for error in refusals(lambda: host.driver.remove_volumes(spec.marker, [ref_of(data)]))]
    assert f"Volumes in use were not deleted: {data[1]}" in refusal
    assert {root, data} & host.volumes() == {data}


@QEMU
@pytest.mark.parametrize(
    "form", [Reference.by_link_in_its_pool, Reference.by_hard_link], ids=lambda form: form.__name__
)
def test_another_name_of_a_volume_is_recognized_on_another_computer(
    host: CapableFixture, form: Callable[[Reference], ET.Element]
) -> None:
    """The driver reaches libvirt by an address that does not say that it is on this computer."""
    far = LibvirtDriver(lambda: Client.open("qemu+unix:///system"), INSTALLATION)
    spec, name = composed(host, "golden"), f"{host.prefix}other"
    host.make_foreign(name)
    fixture = cast("LibvirtFixture", host)
    part = form(Reference(host, path_of(host, spec.disks[0].volume)))
    fixture.attach(fixture.administrator.lookupByName(name), part)
    far.decompose(spec.ref)
    far.close()
    assert (host.pool_id, spec.disks[0].volume) in host.volumes()


@LIBVIRT
def test_a_release_leaves_a_volume_that_another_guest_uses(host: CapableFixture) -> None:
    spec = composed(host, "golden", disks=2)
    other, guest, volumes = another_uses(host, spec.disks[1].volume), host.driver.find(spec.ref), host.volumes()
    with pytest.raises(WrongState, match=f"{spec.disks[1].volume} .*the guest {other} uses it.*virsh detach-disk"):
        host.driver.undeploy(spec, erase=True)
    assert (host.driver.find(spec.ref), host.volumes()) == (guest, volumes)
    host.driver.undeploy(spec)  # its root disk is its own


@QEMU
@pytest.mark.parametrize("share", [another_uses, overlay_on], ids=["guest", "overlay"])
def test_a_shared_root_disk_is_neither_deployed_nor_emptied(
    host: CapableFixture, share: Callable[[CapableFixture, str], str]
) -> None:
    spec = composed(host, "golden", disks=2)
    host.write_to_disks(spec)
    changes, guest = changes_of(host, spec), host.driver.find(spec.ref)
    user = share(host, spec.disks[0].volume)
    for change in changes.values():
        with pytest.raises(WrongState, match=f"{spec.disks[0].volume} .* cannot be replaced: the [a-z]* {user} "):
            change()
        assert host.driver.find(spec.ref) == guest
        assert host.written_disks(spec) == (True, True)


@QEMU
def test_a_machine_that_alone_uses_its_disks_is_deployed_again_and_emptied(host: CapableFixture) -> None:
    """Its seed, its log, the image and disks of others, also of linked clones, are in the same pool."""
    spec, neighbour = composed(host, "alone", disks=2), composed(host, "neighbour")
    overlay_on(host, neighbour.disks[0].volume)
    changes = changes_of(host, spec)
    for change in (changes["deploy"], *changes.values(), changes["deploy"]):
        change()


@pytest.fixture
def nested(host: CapableFixture) -> Iterator[GuestSpec]:
    """A guest with a disk that is a file in a folder inside its pool. The pool has a volume of that name."""
    spec = composed(host, "nested")
    cast("LibvirtFixture", host).make_volume(spec, disk_named("data.img", host.pool_id))
    path = Path(path_of(host, "data.img")).parent / IN_A_FOLDER
    if path.parent.parent.exists():  # no folder of the test driver does
        path.parent.mkdir()
        path.write_bytes(bytes(DISK_BYTES))
    attach(host, spec.name, str(path))
    yield spec
    path.unlink(missing_ok=True)  # libvirt takes the folder for a volume, which it deletes if it is empty


def disk_named(volume: str, pool_id: str) -> DiskSpec:
    return DiskSpec(volume=volume, pool_id=pool_id, size_bytes=DISK_BYTES, serial="data")


def paths_in(host: CapableFixture, spec: GuestSpec) -> list[str]:
    domain = cast("LibvirtFixture", host).administrator.lookupByName(spec.name)
    tree = ET.fromstring(domain.XMLDesc())  # noqa: S314  trusted: a domain of the test
    return [source.get("file", "") for source in tree.iterfind("devices/disk/source")]


@LIBVIRT
def test_a_file_in_a_folder_of_a_pool_is_a_disk_without_a_volume(host: CapableFixture, nested: GuestSpec) -> None:
    searched = host.driver.find(nested.ref)
    (listed,) = [one for one in host.driver.discover().guests if one.name == nested.name]
    for guest in (searched, listed):
        assert guest is not None
        (disk,) = [one for one in guest.disks if one.device == "vdy"]
        assert evolve(disk, size_bytes=0) == GuestDisk(device="vdy", size_bytes=0, pool_id=host.pool_id)


@LIBVIRT
def test_a_file_in_a_folder_is_not_the_volume_of_its_name(host: CapableFixture, nested: GuestSpec) -> None:
    spec, place = nested, (host.pool_id, "data.img")
    paths, driver = paths_in(host, spec), host.driver
    made = disk_named(host.volume(spec.marker, 1), host.pool_id)
    size = DiskSize(pool_id=host.pool_id, volume="data.img", size_bytes=2 * DISK_BYTES)
    changes: list[tuple[Callable[[], object], type[InnkeeperError]]] = [
        (lambda: driver.copy_disk(spec.ref, *place, made), NotFound),
        (lambda: driver.grow_disk(spec.ref, size), NotFound),
        (lambda: driver.detach_disk(spec.ref, *place), NotFound),
        (lambda: driver.read_disk(spec.ref, *place, 0), NotFound),
        (
            lambda: driver.remove_volumes(spec.marker, [VolumeRef(pool_id=place[0], name=place[1])], adopted=True),
            WrongState,
        ),
    ]
    for change, error in changes:
        with pytest.raises(error, match=r"data\.img"):
            change()
    assert paths_in(host, spec) == paths
    assert place in host.volumes()
    assert (host.pool_id, made.volume) not in host.volumes()


@LIBVIRT
def test_a_deletion_leaves_a_volume_named_like_the_file_in_a_folder(host: CapableFixture, nested: GuestSpec) -> None:
    host.driver.decompose(nested.ref, ((host.pool_id, nested.disks[0].volume),))
    assert (host.pool_id, "data.img") in host.volumes()
    assert (host.pool_id, nested.disks[0].volume) not in host.volumes()


def moved_to_a_folder(host: CapableFixture, spec: GuestSpec) -> str:
    """Moves the root disk of the guest, and returns the error of what would replace it.

    The volume made anew would be a stray one beside the old content, which the guest would start.
    """
    fixture, path = cast("LibvirtFixture", host), path_of(host, spec.disks[0].volume)
    domain = fixture.administrator.lookupByName(spec.name)
    moved = str(Path(path).parent / "web" / Path(path).name)
    fixture.administrator.defineXML(domain.XMLDesc().replace(path, moved))
    fixture.delete_volume(spec.disks[0])
    return rf"{spec.disks[0].volume}, .*cannot be replaced: it is {moved}.*virsh edit"


@LIBVIRT
def test_a_root_disk_that_was_moved_to_a_folder_is_not_emptied_elsewhere(host: CapableFixture) -> None:
    spec = composed(host, "moved")
    refusal = moved_to_a_folder(host, spec)
    for change in (host.driver.undeploy, lambda one: host.driver.undeploy(one, erase=True, overwrite=True)):
        with pytest.raises(WrongState, match=refusal):
            change(spec)
    assert (host.pool_id, spec.disks[0].volume) not in host.volumes()


@QEMU
def test_a_root_disk_that_was_moved_to_a_folder_is_not_deployed_elsewhere(host: CapableFixture) -> None:
    spec = composed(host, "moved")
    deploy, refusal = changes_of(host, spec)["deploy"], moved_to_a_folder(host, spec)
    with pytest.raises(WrongState, match=refusal):
        deploy()
    assert (host.pool_id, spec.disks[0].volume) not in host.volumes()


@QEMU
def test_the_copy_of_an_image_that_a_guest_has_as_its_disk_stays(host: CapableFixture) -> None:
    source = content(b"Ubuntu")
    before = host.volumes()
    host.driver.copy_image(source.image, host.pool_id, source)
    data = max(host.volumes() - before, key=lambda one: Path(path_of(host, one[1])).stat().st_size)
    other = f"{host.prefix}other"
    host.make_foreign(other)
    attach(host, other, path_of(host, data[1]))
    host.driver.remove_image(source.image.sha256, host.pool_id)
    assert data in host.volumes()
    cast("LibvirtFixture", host).administrator.lookupByName(other).undefine()
    host.driver.remove_image(source.image.sha256, host.pool_id)
    assert data not in host.volumes()
