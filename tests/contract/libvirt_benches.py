"""The contract suite's libvirt hosts: libvirt's own test driver with a node of ours, and the real QEMU."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import libvirt
import pytest

from common.values import DiskSpec, GuestRef, GuestSpec, Mark, NicKind, NicSpec
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.definition import volume_xml
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.lab.needs import why_no_libvirt

SYSTEM = "qemu:///system"
DISK_BYTES = 64 * 1024 * 1024
NODE = """<node>
  <cpu>
    <mhz>2000</mhz><model>x86_64</model><active>8</active><nodes>2</nodes><sockets>1</sockets><cores>4</cores>
    <threads>1</threads>
  </cpu>
  <memory>16777216</memory>
  <pool type="dir"><name>main</name><target><path>/ikdrv/main</path></target></pool>
  <network>
    <name>default</name><bridge name="virbr0"/>
    <ip address="192.168.122.1" netmask="255.255.255.0"><dhcp>
      <range start="192.168.122.2" end="192.168.122.9"/>
    </dhcp></ip>
  </network>
</node>
"""


def free_serial(mark: Mark, index: int) -> str:
    """Where a disk has whatever serial number is asked for, of up to 20 characters."""
    return f"{mark.machine_id.hex[:17]}-{index}"


class LibvirtBench:
    """A libvirt host with one storage pool to use, and the library itself as an administrator's hands."""

    def __init__(self, driver: LibvirtDriver, connection: Any, pool: Any, *, prefix: str, nic: NicSpec) -> None:
        self.driver, self.administrator, self._pool = driver, connection, pool
        self.prefix, self.pool_id, self.architecture, self.nics = prefix, pool.UUIDString(), "amd64", (nic,)

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


class QemuBench(LibvirtBench):
    """The real QEMU of this machine, shared with others: only what has our prefix or is in our pool is touched."""

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
