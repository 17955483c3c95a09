"""The contract suite's libvirt hosts: libvirt's own test driver with a node of ours, and the real QEMU."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import libvirt
import pytest

from common.marks import seed_name
from common.values import DiskSpec, GuestRef, GuestSpec, Mark, NicAddress, NicKind, NicSpec
from rackd.drivers.libvirt import definitions
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.definition import volume_xml
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.contract.libvirt_node import NODE
from tests.lab.cloud_init_image import cloud_init_files
from tests.lab.host_setup import HUGE_PAGE_KIB, huge_pages
from tests.lab.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.needs import why_no_huge_pages, why_no_libvirt

SYSTEM = "qemu:///system"
DISK_BYTES = 64 * 1024 * 1024
HUGE_PAGES = 64  # as much as one small guest of the suite


def free_serial(mark: Mark, index: int) -> str:
    """Where a disk has whatever serial number is asked for, of up to 20 characters."""
    return f"{mark.machine_id.hex[:17]}-{index}"


class LibvirtBench:
    """A libvirt host with one storage pool to use, and the library itself as an administrator's hands."""

    def __init__(self, driver: LibvirtDriver, connection: Any, pool: Any, *, prefix: str, nic: NicSpec) -> None:
        self.driver, self.administrator, self._pool = driver, connection, pool
        self.prefix, self.pool_id, self.architecture, self.nics = prefix, pool.UUIDString(), "amd64", (nic,)
        self.read_again = definitions.AGAIN
        self._on_the_machine = ExitStack()

    @property
    def pinnable_core_ids(self) -> tuple[int, ...]:
        return 1, 0

    @property
    def huge_page_size_kib(self) -> int:
        return 2048

    @cached_property
    def cards(self) -> tuple[NicSpec, ...]:
        return (
            *self.nics,
            _card(1, NicKind.BRIDGE, "br0"),
            _card(2, NicKind.MACVLAN, "eth3", macvlan_mode="vepa"),
            _card(3, NicKind.SRIOV, "eth3", vid=100),
            _card(4, NicKind.USER),
        )

    @cached_property
    def addressed(self) -> tuple[NicSpec, ...]:
        return (_card(0, NicKind.NETWORK, "default", address=_address("192.168.122.20")),)

    def told_address(self, guest: GuestRef, nic: NicSpec) -> str:
        network = self.administrator.networkLookupByName(nic.source)
        hosts = ET.fromstring(network.XMLDesc()).iterfind("ip/dhcp/host")  # noqa: S314  libvirt's own answer
        return next((host.get("ip", "") for host in hosts if host.get("mac") == nic.mac_address), "")

    @property
    def domain_type(self) -> str:
        return "test" if self.administrator.getType() == "TEST" else "qemu"

    def serial(self, mark: Mark, index: int) -> str:
        return free_serial(mark, index)

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
        self._pool.createXML(volume_xml(disk, "dir"))

    def attach_later(self, guest: GuestRef) -> tuple[str, str]:
        name = f"{self.prefix}later"
        self.attach(self._domain(guest), disk_element("vdz", self._new_volume(name)))
        return self.pool_id, name

    def attach(self, domain: Any, device: ET.Element) -> None:
        """Add a device to the definition of a domain."""
        tree = ET.fromstring(domain.XMLDesc())  # noqa: S314  our own domain
        devices = tree.find("devices")
        assert devices is not None
        devices.append(device)
        self.administrator.defineXML(ET.tostring(tree, encoding="unicode"))

    def rename(self, guest: GuestRef, new_name: str) -> None:
        self._domain(guest).rename(new_name)

    def _domain(self, guest: GuestRef) -> Any:
        return self.administrator.lookupByUUIDString(str(guest.mark.machine_id))

    def _new_volume(self, name: str) -> str:
        spec = DiskSpec(volume=name, pool_id=self.pool_id, size_bytes=DISK_BYTES, serial="foreign")
        return str(self._pool.createXML(volume_xml(spec, "dir")).path())

    def close(self) -> None:
        self.driver.close()


def _card(number: int, kind: NicKind, source: str = "", **fields: Any) -> NicSpec:
    return NicSpec(name=f"eth{number}", mac_address=f"52:54:00:00:00:0{number + 1}", kind=kind, source=source, **fields)


def _address(address: str) -> NicAddress:
    return NicAddress(address=address, prefix_length=24)


class QemuBench(LibvirtBench):
    """The real QEMU of this machine, shared with others: only what has our prefix or is in our pool is touched."""

    @cached_property
    def _network(self) -> LabNetwork:
        return self._on_the_machine.enter_context(lab_network(self.administrator))

    @property
    def huge_page_size_kib(self) -> int:
        """They are there from now on until the bench is closed."""
        if (why := why_no_huge_pages()) is not None:
            pytest.skip(why)
        self._on_the_machine.enter_context(huge_pages(HUGE_PAGES))
        return HUGE_PAGE_KIB

    @cached_property
    def cards(self) -> tuple[NicSpec, ...]:
        port = next(port.name for card in self.driver.discover().facts.network_cards for port in card.ports)
        return (
            *self.nics,
            _card(1, NicKind.NETWORK, self._network.name),
            _card(2, NicKind.BRIDGE, self._network.bridge),
            _card(3, NicKind.MACVLAN, port, macvlan_mode="private"),
        )

    @cached_property
    def addressed(self) -> tuple[NicSpec, ...]:
        return (
            _card(0, NicKind.NETWORK, self._network.name, address=_address(f"{SUBNET}.120")),
            _card(1, NicKind.BRIDGE, self._network.bridge, address=_address(f"{SUBNET}.121")),
        )

    def told_address(self, guest: GuestRef, nic: NicSpec) -> str:
        if nic.kind is NicKind.NETWORK:
            return super().told_address(guest, nic)
        told = cloud_init_files(Path(self._pool.storageVolLookupByName(seed_name(guest.mark)).path()))
        return str(told["network-config"]["ethernets"][nic.name]["addresses"][0]).partition("/")[0]

    def close(self) -> None:
        super().close()
        for domain in self.administrator.listAllDomains():
            if domain.name().startswith(self.prefix):
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        for volume in self._pool.listAllVolumes():
            volume.delete()
        self._pool.destroy()
        self._on_the_machine.close()
        self.administrator.close()
        for log in Path("/var/log/libvirt/qemu").glob(f"{self.prefix}*"):
            log.unlink()


def disk_element(target: str, path: str, *, device: str = "disk", bus: str = "virtio") -> ET.Element:
    disk = ET.Element("disk", type="file", device=device)
    ET.SubElement(disk, "driver", name="qemu", type="raw")
    ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev=target, bus=bus)
    return disk


def pretended_bench(installation_id: UUID, folder: Path) -> LibvirtBench:
    """libvirt's test driver. Its host lives in one connection, which the driver under test shares with the bench."""
    node = folder / "node.xml"
    node.write_text(NODE)
    client = Client.open(f"test://{node}")
    connection = client._connection
    return LibvirtBench(
        LibvirtDriver(lambda: client, installation_id),
        connection,
        connection.storagePoolLookupByName("main"),
        prefix="",
        nic=NicSpec(name="eth0", mac_address="52:54:00:00:00:01", kind=NicKind.NETWORK, source="default", boot=True),
    )


def qemu_bench(installation_id: UUID, folder: Path, *, uri: str = SYSTEM) -> QemuBench:
    """The system's libvirt, or that at `uri`, with a storage pool in `folder`. Skips where there is none."""
    if (why := why_no_libvirt()) is not None:
        pytest.skip(why)
    driver = LibvirtDriver(lambda: Client.open(uri), installation_id)
    driver.reach()  # starts libvirt's event loop before the other connection
    connection = libvirt.open(uri)
    prefix = f"ikdrv-{uuid4().hex[:6]}-"
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = f"{prefix}pool"
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = str(folder)
    return QemuBench(
        driver,
        connection,
        connection.storagePoolCreateXML(ET.tostring(pool, encoding="unicode")),
        prefix=prefix,
        nic=NicSpec(name="eth0", mac_address="52:54:00:00:00:01", kind=NicKind.USER, boot=True),
    )
