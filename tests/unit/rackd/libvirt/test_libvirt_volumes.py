"""Orphaned volumes, and the volumes of a deleted machine, on libvirt's test driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.disks.volume_names import seed_name, serial_log_name, volume_name
from common.errors import DriverFailed, InnkeeperError, NotFound, WrongState
from common.hosts.discovery import OrphanedVolume, VolumeRef
from common.values import OwnershipMarker
from rackd.drivers.libvirt.connection.client import BulkDomain, Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.domain_config import volume_names
from rackd.drivers.libvirt.definitions.volume_references import references
from rackd.drivers.libvirt.deployment import deployer
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.volume_users import VolumeUsers, file_on_this_computer
from rackd.drivers.libvirt.xml import parse
from tests.contract.support.guest_samples import small_guest
from tests.contract.support.libvirt_node import opened

INSTALLATION = UUID(int=7)
MARKER = OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4())
DISK, SECOND, SEED = volume_name(MARKER, 0), volume_name(MARKER, 1), seed_name(MARKER)
SNAPSHOT_OF = "<backingStore><path>{}</path><format type='raw'/></backingStore>"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with opened(tmp_path) as client:
        yield client


@pytest.fixture
def driver(client: Client) -> Iterator[LibvirtDriver]:
    driver = LibvirtDriver(lambda: client, INSTALLATION)
    yield driver
    driver.close()


def make_volume(client: Client, name: str, more: str = "") -> VolumeRef:
    pool = client.connection.storagePoolLookupByName("main")
    pool.createXML(f"<volume><name>{name}</name><capacity>1000</capacity>{more}</volume>")
    return VolumeRef(pool_id=pool.UUIDString(), name=name)


def define(client: Client, name: str, disk: str) -> None:
    """Defines a domain: its configuration at the next start."""
    client.connection.defineXML(
        f"<domain type='test'><name>{name}</name><uuid>{UUID(int=1)}</uuid><memory>1024</memory><vcpu>1</vcpu>"
        f"<os><type>hvm</type></os><devices>{disk}</devices></domain>"
    )


def names(driver: LibvirtDriver) -> set[str]:
    return {one.name for one in driver.discover().orphaned_volumes}


def delete(client: Client, refs: list[tuple[str, str]]) -> None:
    volumes.delete(client, volumes.volumes_to_delete(client, MARKER, refs), VolumeUsers({}, file_on_this_computer))


def test_volume_names_are_read_from_every_source_form() -> None:
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


def test_references_are_read_from_every_part_that_can_have_one() -> None:
    tree = parse(
        """<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
           <metadata><note file='/no/reference'/></metadata>
           <os><kernel>/boot/kernel</kernel><nvram type='file'><source file='/vars/template'/></nvram></os>
           <os><nvram>/vars/own.fd</nvram></os>
           <devices>
             <emulator>/usr/bin/qemu</emulator>
             <disk type='volume'><source pool='main' volume='in-a-pool'/></disk>
             <disk type='file' device='floppy'><source file='/drivers.vfd'/></disk>
             <disk type='file'><source file='/top'/><backingStore><source file='/bottom'/></backingStore></disk>
             <disk type='dir'><source dir='/folder'/></disk>
             <memory model='nvdimm'><source><path>/nvdimm</path></source></memory>
             <serial type='file'><source path='/serial'/><log file='/log'/></serial>
           </devices>
           <qemu:commandline><qemu:arg value='file=/in/arguments,if=none'/><qemu:arg value='-drive'/></qemu:commandline>
           </domain>""",
        "a guest",
    )
    assert references(tree) == {
        "/boot/kernel", "/vars/template", "/vars/own.fd", "in-a-pool", "/drivers.vfd", "/top", "/bottom", "/folder",
        "/nvdimm", "/serial", "/log", "/log.0", "/log.1", "/log.2", "/in/arguments",
    }  # fmt: skip


def test_orphaned_disks_and_seeds_are_listed_and_removed(client: Client, driver: LibvirtDriver) -> None:
    disk, seed = make_volume(client, DISK), make_volume(client, SEED)
    make_volume(client, "theirs")
    assert driver.discover().orphaned_volumes == tuple(
        OrphanedVolume(pool_id=disk.pool_id, name=name, marker=MARKER) for name in (DISK, SEED)
    )
    driver.remove_volumes(MARKER, [disk, seed])
    assert client.volume_names({disk.pool_id}) == {disk.pool_id: ("theirs",)}


@pytest.mark.parametrize(
    "disk",
    [
        f"<disk type='volume' device='disk'><source pool='main' volume='{DISK}'/><target dev='vda'/></disk>",
        f"<disk type='file' device='cdrom'><source file='/ikdrv/main/{DISK}'/><target dev='hdc'/></disk>",
        f"<disk type='file' device='disk'><source file='/a-link/{DISK}'/><target dev='vda'/></disk>",
    ],
)
def test_used_volumes_are_neither_listed_nor_removed(client: Client, driver: LibvirtDriver, disk: str) -> None:
    volume = make_volume(client, DISK)
    define(client, "theirs", disk)
    assert names(driver) == set()
    with pytest.raises(WrongState, match=f"{DISK} in main \\(by theirs\\)"):
        driver.remove_volumes(MARKER, [volume])
    assert client.volume_names({volume.pool_id}) == {volume.pool_id: (DISK,)}


@pytest.mark.parametrize("now", [True, False])
def test_live_and_persistent_disks_are_both_in_use(client: Client, driver: LibvirtDriver, *, now: bool) -> None:
    volume = make_volume(client, DISK)
    disk = f"<disk type='file' device='disk'><source file='/a-link/{DISK}'/><target dev='vda'/></disk>"
    define(client, "theirs", disk if now else "")
    client.connection.lookupByName("theirs").create()
    define(client, "theirs", "" if now else disk)
    with pytest.raises(WrongState, match=r"by theirs"):
        driver.remove_volumes(MARKER, [volume])
    assert client.volume_names({volume.pool_id}) == {volume.pool_id: (DISK,)}


def test_a_guest_with_invalid_xml_keeps_only_what_it_names(
    client: Client, driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, other = make_volume(client, DISK), make_volume(client, SECOND)
    define(client, "broken", f"<disk type='file'><source file='/a-link/{DISK}'/><target dev='vda'/></disk>")
    xml = Domain.xml
    monkeypatch.setattr(Domain, "xml", lambda domain: f"{xml(domain)}\x01")
    monkeypatch.setattr(Domain, "definition", Domain.xml)
    with pytest.raises(WrongState, match=f"{DISK} in main \\(by broken\\)"):
        driver.remove_volumes(MARKER, [disk, other])
    assert client.volume_names({disk.pool_id}) == {disk.pool_id: (DISK,)}


def test_base_images_are_not_removed(client: Client, driver: LibvirtDriver) -> None:
    volume = make_volume(client, DISK)
    make_volume(client, "a-snapshot", SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    with pytest.raises(WrongState, match=r"by a-snapshot"):
        driver.remove_volumes(MARKER, [volume])
    assert DISK in client.volume_names({volume.pool_id})[volume.pool_id]


class Unreadable:
    def xml(self) -> str:
        raise DriverFailed("another job holds it")


class UnreadableDomains(Client):
    def all_domains(self) -> list[BulkDomain]:
        return [evolve(domain, handle=Unreadable()) for domain in super().all_domains()]


def test_unknown_domain_config_suppresses_orphans(client: Client) -> None:
    make_volume(client, DISK)
    define(client, "hangs", "")
    found = LibvirtDriver(lambda: UnreadableDomains(client.connection), INSTALLATION).discover()
    assert (found.orphaned_volumes, found.inspected_pools) == ((), ())


def test_disks_with_a_linked_clone_are_not_deleted(client: Client) -> None:
    disks = [make_volume(client, name) for name in (DISK, SECOND, SEED)]
    make_volume(client, "a-clone", SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    delete(client, [(disk.pool_id, disk.name) for disk in disks])
    assert set(client.volume_names({disks[0].pool_id})[disks[0].pool_id]) == {DISK, "a-clone"}


def test_a_machines_dependent_disks_are_all_deleted(client: Client) -> None:
    below = make_volume(client, DISK)
    make_volume(client, SECOND, SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    delete(client, [(below.pool_id, DISK), (below.pool_id, SECOND)])
    assert client.volume_names({below.pool_id})[below.pool_id] == ()


@pytest.mark.parametrize("left", [slice(1, None), slice(0)], ids=["data-disk", "no-disk"])
@pytest.mark.parametrize("erase", [False, True])
def test_no_data_disk_is_emptied_as_the_root_disk(client: Client, left: slice, *, erase: bool) -> None:
    data = make_volume(client, SECOND)
    spec = small_guest("vm", MARKER, (data.pool_id, data.pool_id))
    define(client, "vm", f"<disk type='volume'><source pool='main' volume='{SECOND}'/><target dev='vdb'/></disk>")
    with pytest.raises(WrongState, match=f"vm does not have its root disk {DISK}"):
        deployer.undeploy(client, evolve(spec, disks=spec.disks[left]), erase=erase, overwrite=False)
    assert client.volume_names({data.pool_id})[data.pool_id] == (SECOND,)


def test_a_marked_volume_depends_on_nothing_that_it_contains(client: Client, driver: LibvirtDriver) -> None:
    other = OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4())
    below = make_volume(client, DISK)
    forged = [volume_name(other, 0), seed_name(other), serial_log_name(other)]
    for name in forged:
        make_volume(client, name, SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    driver.remove_volumes(MARKER, [below])
    assert set(client.volume_names({below.pool_id})[below.pool_id]) == set(forged)


@pytest.mark.parametrize(
    "source", ["type='file' device='disk'><source file='/ikdrv/main/theirs'/>",
               "type='volume' device='disk'><source pool='main' volume='theirs'/>"],
)  # fmt: skip
@pytest.mark.parametrize(("format_name", "stays"), [("raw", False), ("qcow2", True)])
def test_the_format_that_a_guest_uses_decides(
    client: Client, driver: LibvirtDriver, source: str, format_name: str, *, stays: bool
) -> None:
    below = make_volume(client, DISK)
    make_volume(client, "theirs", SNAPSHOT_OF.format(f"/ikdrv/main/{DISK}"))
    define(client, "foreign", f"<disk {source}<driver type='{format_name}'/><target dev='vda'/></disk>")
    with pytest.raises(WrongState, match="by theirs") if stays else nullcontext():
        driver.remove_volumes(MARKER, [below])
    assert (DISK in client.volume_names({below.pool_id})[below.pool_id]) == stays


class CountedDomains(Client):
    """Counts the guests that are read. The guest `hangs` fails with `error`."""

    error: InnkeeperError | None = None
    read = 0

    def domains(self) -> list[Domain]:
        return [ReadDomain(domain, self) for domain in super().domains()]


class ReadDomain(Domain):
    def __init__(self, domain: Domain, client: CountedDomains) -> None:
        super().__init__(client, client.connection.lookupByName(domain.name))
        self._counted = client

    def xml(self) -> str:
        self._counted.read += 1
        if self._counted.error is not None and self.name == "hangs":
            raise self._counted.error
        return super().xml()


def raw_clone(client: Client, of: str) -> None:
    """A volume that says it depends on `of`, and the only guest that uses it: as a raw disk."""
    make_volume(client, "theirs", SNAPSHOT_OF.format(f"/ikdrv/main/{of}"))
    source = "<source pool='main' volume='theirs'/>"
    define(client, "foreign", f"<disk type='volume'>{source}<driver type='raw'/><target dev='vda'/></disk>")


@pytest.mark.parametrize(("of", "reads"), [(DISK, True), (SECOND, False)], ids=["the deleted one", "another"])
def test_guests_are_read_only_for_a_clone_of_what_is_deleted(client: Client, of: str, *, reads: bool) -> None:
    counted, disk = CountedDomains(client.connection), make_volume(client, DISK)
    make_volume(client, SECOND)
    raw_clone(client, of)
    delete(counted, [(disk.pool_id, DISK)])
    assert bool(counted.read) == reads
    assert set(client.volume_names({disk.pool_id})[disk.pool_id]) == {SECOND, "theirs"}


@pytest.mark.parametrize(("error", "left"), [(DriverFailed("another job"), {DISK}), (NotFound("deleted"), set())])
def test_a_guest_that_cannot_be_read_may_need_the_clone(client: Client, error: InnkeeperError, left: set[str]) -> None:
    counted, disk = CountedDomains(client.connection), make_volume(client, DISK)
    make_volume(client, SECOND)
    raw_clone(client, DISK)
    client.connection.defineXML(
        f"<domain type='test'><name>hangs</name><uuid>{UUID(int=2)}</uuid><memory>1024</memory><vcpu>1</vcpu>"
        "<os><type>hvm</type></os></domain>"
    )
    counted.error = error
    delete(counted, [(disk.pool_id, DISK), (disk.pool_id, SECOND)])
    assert set(client.volume_names({disk.pool_id})[disk.pool_id]) == {*left, "theirs"}


@pytest.mark.parametrize("folder", ["/ikdrv/main/../main", "/a-link", "/a-link/.."])
def test_a_base_is_recognized_by_its_name_at_any_path(client: Client, driver: LibvirtDriver, folder: str) -> None:
    below, other = make_volume(client, DISK), make_volume(client, SECOND)
    make_volume(client, "a-clone", SNAPSHOT_OF.format(f"{folder}/{DISK}"))
    driver.remove_volumes(MARKER, [other])
    delete(client, [(below.pool_id, DISK)])
    with pytest.raises(WrongState, match=r"\(by a-clone\)"):
        driver.remove_volumes(MARKER, [below])
    assert set(client.volume_names({below.pool_id})[below.pool_id]) == {DISK, "a-clone"}


def test_more_volumes_read_no_more_domains(client: Client, driver: LibvirtDriver) -> None:
    calls = []
    for others in range(2):
        if others:
            define(client, "other", "")
        for count in (1, 6):
            wanted = [make_volume(client, volume_name(MARKER, index)) for index in range(count)]
            before = client.calls
            driver.remove_volumes(MARKER, wanted)
            calls.append(client.calls - before)
    assert calls[1] - calls[0] == calls[3] - calls[2]
