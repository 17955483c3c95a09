"""Contract fixtures of libvirt's test driver and of a QEMU host."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import libvirt

from common.disks.volume_names import seed_name, volume_name
from common.guests.deployment_spec import ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.values import GuestRef, NicKind, OwnershipMarker
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.inventory import domain_cache
from tests.contract.support.boot_sector import GREETING, boot_sector, echoing_sector
from tests.contract.support.guest_samples import DISK_BYTES, address, free_serial, nic, write_parts
from tests.contract.support.libvirt_node import NODE
from tests.lab.servers.host_setup import HUGE_PAGE_KIB, host_interface, huge_pages
from tests.lab.servers.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.servers.needs import require, why_no_huge_pages, why_no_libvirt
from tests.lab.support.cloud_init_image import cloud_init_files, read_seed_file

WITH_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
)
SYSTEM = "qemu:///system"
HUGE_PAGES = 64  # enough for one small guest of the suite


class LibvirtFixture:
    """A libvirt host with one storage pool, administered with the libvirt library."""

    def __init__(self, driver: LibvirtDriver, connection: Any, pool: Any, *, prefix: str, nic: NicSpec) -> None:
        self.driver, self.administrator, self._pool = driver, connection, pool
        self.prefix, self.pool_id, self.architecture, self.nics = prefix, pool.UUIDString(), "amd64", (nic,)
        self.reread_domains, self.has_spice = domain_cache.REREAD_DOMAINS, False
        self._cleanup = ExitStack()

    @property
    def pinnable_core_ids(self) -> tuple[int, ...]:
        return 1, 0

    @property
    def huge_page_size_kib(self) -> int:
        return 2048

    @cached_property
    def every_nic(self) -> tuple[NicSpec, ...]:
        return (
            *self.nics,
            nic(1, NicKind.BRIDGE, "br0"),
            nic(2, NicKind.MACVLAN, "eth3", macvlan_mode="vepa"),
            nic(3, NicKind.SRIOV, "eth3", vid=100),
            nic(4, NicKind.USER),
        )

    @cached_property
    def addressed(self) -> tuple[NicSpec, ...]:
        return (nic(0, NicKind.NETWORK, "default", address=address("192.168.122.20")),)

    def assigned_address(self, guest: GuestRef, nic: NicSpec) -> str:
        network = self.administrator.networkLookupByName(nic.source)
        hosts = ET.fromstring(network.XMLDesc()).iterfind("ip/dhcp/host")  # noqa: S314  trusted: reported by libvirt
        return next((host.get("ip", "") for host in hosts if host.get("mac") == nic.mac_address), "")

    @property
    def domain_type(self) -> str:
        return "test" if self.administrator.getType() == "TEST" else "qemu"

    def serial(self, marker: OwnershipMarker, index: int) -> str:
        return free_serial(marker, index)

    def volume(self, marker: OwnershipMarker, index: int) -> str:
        return volume_name(marker, index)

    def volumes(self) -> set[tuple[str, str]]:
        return {(self.pool_id, name) for name in self._pool.listVolumes()}

    def make_foreign(self, name: str) -> None:
        domain = ET.Element("domain", type=self.domain_type)
        ET.SubElement(domain, "name").text = name
        ET.SubElement(domain, "memory", unit="MiB").text = "128"
        ET.SubElement(domain, "vcpu").text = "1"
        ET.SubElement(ET.SubElement(domain, "os"), "type").text = "hvm"
        ET.SubElement(domain, "devices").append(disk_element("vda", self._new_volume(f"{name}-disk")))
        self.administrator.defineXML(ET.tostring(domain, encoding="unicode"))

    def start(self, name: str) -> None:
        self.administrator.lookupByName(name).create()

    def make_volume(self, spec: GuestSpec, disk: DiskSpec) -> None:
        self._pool.createXML(volume_xml(disk.volume, disk.size_bytes, "dir"))

    def attach_new_volume(self, guest: GuestRef) -> tuple[str, str]:
        name = f"{self.prefix}later"
        self.attach(self._domain(guest), disk_element("vdz", self._new_volume(name)))
        return self.pool_id, name

    def grow(self, spec: GuestSpec, disk: DiskSpec, size_bytes: int) -> None:
        """The test driver cannot resize a volume."""
        self.delete_volume(disk)
        self._pool.createXML(volume_xml(disk.volume, size_bytes, "dir"))

    def delete_volume(self, disk: DiskSpec) -> None:
        self._pool.storageVolLookupByName(disk.volume).delete()

    def lose_pool(self) -> str:
        self._pool.destroy()
        return "inactive"

    def restore_pool(self) -> None:
        self._pool.create()

    def attach(self, domain: Any, device: ET.Element) -> None:
        """Adds a device to a domain's XML."""
        tree = ET.fromstring(domain.XMLDesc())  # noqa: S314  trusted: a domain of the test
        devices = tree.find("devices")
        assert devices is not None
        devices.append(device)
        self.administrator.defineXML(ET.tostring(tree, encoding="unicode"))

    def rename(self, guest: GuestRef, new_name: str) -> None:
        self._domain(guest).rename(new_name)

    def _domain(self, guest: GuestRef) -> Any:
        return self.administrator.lookupByUUIDString(str(guest.marker.machine_id))

    def _new_volume(self, name: str) -> str:
        return str(self._pool.createXML(volume_xml(name, DISK_BYTES, "dir")).path())

    def close(self) -> None:
        self.driver.close()


class QemuFixture(LibvirtFixture):
    """This machine's QEMU, which other tests share: changes only guests with the prefix and volumes of the pool."""

    @cached_property
    def _network(self) -> LabNetwork:
        return self._cleanup.enter_context(lab_network(self.administrator))

    @property
    def huge_page_size_kib(self) -> int:
        """Reserved until the fixture is closed."""
        require(why_no_huge_pages())
        self._cleanup.enter_context(huge_pages(HUGE_PAGES))
        return HUGE_PAGE_KIB

    @cached_property
    def every_nic(self) -> tuple[NicSpec, ...]:
        port = self._cleanup.enter_context(host_interface())
        return (
            *self.nics,
            nic(1, NicKind.NETWORK, self._network.name),
            nic(2, NicKind.BRIDGE, self._network.bridge),
            nic(3, NicKind.MACVLAN, port, macvlan_mode="private"),
        )

    @cached_property
    def addressed(self) -> tuple[NicSpec, ...]:
        return (
            nic(0, NicKind.NETWORK, self._network.name, address=address(f"{SUBNET}.120")),
            nic(1, NicKind.BRIDGE, self._network.bridge, address=address(f"{SUBNET}.121")),
        )

    def grow(self, spec: GuestSpec, disk: DiskSpec, size_bytes: int) -> None:
        self._pool.storageVolLookupByName(disk.volume).resize(size_bytes)

    def assigned_address(self, guest: GuestRef, nic: NicSpec) -> str:
        if nic.kind is NicKind.NETWORK:
            return super().assigned_address(guest, nic)
        files = cloud_init_files(Path(self._pool.storageVolLookupByName(seed_name(guest.marker)).path()))
        return str(files["network-config"]["ethernets"][nic.name]["addresses"][0]).partition("/")[0]

    def volumes(self) -> set[tuple[str, str]]:
        """Without the serial logs of guests that exist."""
        domains = (ET.fromstring(one.XMLDesc()) for one in self.administrator.listAllDomains())  # noqa: S314  of the test
        logs = {Path(log.get("file", "")).name for tree in domains for log in tree.iterfind("devices/*/log")}
        return {(pool, name) for pool, name in super().volumes() if name not in logs}

    def other_folder(self) -> str:
        folder = self._cleanup.enter_context(TemporaryDirectory(prefix=f"{self.prefix}second-"))
        Path(folder).chmod(0o755)  # QEMU runs as another user
        return folder

    def pool_in(self, folder: str) -> str:
        """Returns the name of another pool in this folder, which keeps what is in it."""
        name = f"{self.prefix}same"
        made = self.administrator.storagePoolCreateXML(ET.tostring(pool_element(name, folder)).decode())
        self._cleanup.callback(made.destroy)
        return name

    def defined_pool(self) -> Any:
        """Returns an active pool that the host knows while it is inactive, too."""
        element = pool_element(f"{self.prefix}defined", self.other_folder())
        made = self.administrator.storagePoolDefineXML(ET.tostring(element).decode())
        self._cleanup.callback(_undefine_pool, made)
        made.create()
        return made

    def second_pool(self) -> str:
        folder = self.other_folder()
        made = self.administrator.storagePoolCreateXML(
            ET.tostring(pool_element(f"{self.prefix}second", folder)).decode()
        )
        self._cleanup.callback(_delete_pool, made)
        return str(made.UUIDString())

    def write_content(self, spec: GuestSpec, disk: DiskSpec) -> str:
        with self._file_of(disk).open("r+b") as file:
            write_parts(file, disk.size_bytes)
        return self.content_of(spec, disk)

    def content_of(self, spec: GuestSpec, disk: DiskSpec) -> str:
        return hashlib.sha256(self._file_of(disk).read_bytes()).hexdigest()

    def _file_of(self, disk: DiskSpec) -> Path:
        pool = self.administrator.storagePoolLookupByUUIDString(disk.pool_id)
        return Path(pool.storageVolLookupByName(disk.volume).path())

    def write_to_disks(self, spec: GuestSpec) -> None:
        for disk in spec.disks:
            with Path(self._pool.storageVolLookupByName(disk.volume).path()).open("r+b") as file:
                file.write(b"written")

    def written_disks(self, spec: GuestSpec) -> tuple[bool, ...]:
        paths = [Path(self._pool.storageVolLookupByName(disk.volume).path()) for disk in spec.disks]
        return tuple(bool(path.read_bytes().strip(b"\0")) for path in paths)

    def root_disk_holds(self, spec: GuestSpec, image: ImageRef | None) -> bool:
        with Path(self._pool.storageVolLookupByName(spec.disks[0].volume).path()).open("rb") as disk:
            if image is None:
                return not disk.read().strip(b"\0")
            return hashlib.sha256(disk.read(image.virtual_size_bytes)).hexdigest() == image.sha256

    def greet_on_boot(self, spec: GuestSpec) -> bytes:
        self._boot(spec, boot_sector(GREETING))
        return GREETING

    def shown_for_hello(self, spec: GuestSpec) -> bytes:
        self._boot(spec, echoing_sector())
        return b"hello"

    def _boot(self, spec: GuestSpec, sector: bytes) -> None:
        with Path(self._pool.storageVolLookupByName(spec.disks[0].volume).path()).open("r+b") as disk:
            disk.write(sector)

    def user_data(self, spec: GuestSpec) -> bytes | None:
        tree = ET.fromstring(self._domain(spec.ref).XMLDesc())  # noqa: S314  trusted: a domain of the test
        source = tree.find("devices/disk[@device='cdrom']/source")
        if source is None:
            assert seed_name(spec.marker) not in self._pool.listVolumes()
            return None
        return read_seed_file(Path(source.get("file", "")), "user-data")

    def close(self) -> None:
        super().close()
        for domain in self.administrator.listAllDomains():
            if domain.name().startswith(self.prefix):
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(WITH_ALL)
        for volume in self._pool.listAllVolumes():
            volume.delete()
        self._pool.destroy()
        self._cleanup.close()
        self.administrator.close()
        for log in Path("/var/log/libvirt/qemu").glob(f"{self.prefix}*"):  # QEMU's own messages
            log.unlink()


def pool_element(name: str, folder: Path | str) -> ET.Element:
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = name
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = str(folder)
    return pool


def _delete_pool(pool: Any) -> None:
    pool.refresh()
    for volume in pool.listAllVolumes():
        volume.delete()
    pool.destroy()


def _undefine_pool(pool: Any) -> None:
    if not pool.isActive():
        pool.create()
    _delete_pool(pool)
    pool.undefine()


def disk_element(target: str, path: str, *, device: str = "disk", bus: str = "virtio") -> ET.Element:
    disk = ET.Element("disk", type="file", device=device)
    ET.SubElement(disk, "driver", name="qemu", type="raw")
    ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev=target, bus=bus)
    return disk


def libvirt_test_fixture(installation_id: UUID, folder: Path) -> LibvirtFixture:
    """libvirt's test driver. Its host lives in one connection, which the driver under test and the fixture share."""
    node = folder / "node.xml"
    node.write_text(NODE)
    client = Client.open(f"test://{node}")
    connection = client.connection
    return LibvirtFixture(
        LibvirtDriver(lambda: client, installation_id),
        connection,
        connection.storagePoolLookupByName("main"),
        prefix="",
        nic=nic(0, NicKind.NETWORK, "default", boot=True),
    )


def qemu_fixture(installation_id: UUID, folder: Path, *, uri: str = SYSTEM) -> QemuFixture:
    """The system's libvirt, or that at `uri`, with a storage pool in `folder`. Skips the test if there is none."""
    require(why_no_libvirt())
    driver = LibvirtDriver(lambda: Client.open(uri), installation_id)
    driver.reach()  # starts libvirt's event loop before the other connection
    connection = libvirt.open(uri)
    prefix = f"ikdrv-{uuid4().hex[:6]}-"
    pool = pool_element(f"{prefix}pool", folder)
    return QemuFixture(
        driver,
        connection,
        connection.storagePoolCreateXML(ET.tostring(pool, encoding="unicode")),
        prefix=prefix,
        nic=nic(0, NicKind.USER, boot=True),
    )
