"""A libvirt host with a storage pool for one test, read and changed as its administrator does."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import libvirt

from rackd.drivers.libvirt.connection.errors import ensure_event_loop
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.definitions.metadata import MARKER_NAMESPACE
from tests.contract.support.libvirt_fixtures import WITH_ALL, disk_element

MIB = 1024 * 1024
FOREIGN_DISK_BYTES = 16 * MIB
_LOGS = Path("/var/log/libvirt/qemu")
_NVRAM = Path("/var/lib/libvirt/qemu/nvram")


class LabHost:
    """`close` removes everything whose name starts with `prefix`."""

    def __init__(self, folder: Path, *, uri: str = "qemu:///system", prefix: str = "iklab") -> None:
        ensure_event_loop()
        self.prefix = f"{prefix}-{uuid4().hex[:6]}-"
        self._folder = folder / "pool"
        self._folder.mkdir()
        self._uri = uri
        self.connect()
        self._make_pool()
        self.pool_id: str = self.pool.UUIDString()

    def connect(self) -> None:
        """Reconnects after libvirtd was killed."""
        self.connection: Any = libvirt.open(self._uri)

    def _make_pool(self) -> None:
        pool = ET.Element("pool", type="dir")
        ET.SubElement(pool, "name").text = f"{self.prefix}pool"
        ET.SubElement(ET.SubElement(pool, "target"), "path").text = str(self._folder)
        defined = self.connection.storagePoolDefineXML(ET.tostring(pool, encoding="unicode"))
        defined.create()
        defined.setAutostart(1)

    @property
    def pool(self) -> Any:
        return self.connection.storagePoolLookupByName(f"{self.prefix}pool")

    @property
    def pool_folder(self) -> Path:
        return self._folder

    def volumes(self) -> set[str]:
        """Files in the pool's folder, without asking libvirt."""
        return {path.name for path in self._folder.iterdir()}

    def lose_volumes(self) -> None:
        """Deletes the files without libvirt, as a broken disk does."""
        for path in self._folder.iterdir():
            path.unlink()

    def names(self) -> set[str]:
        """Names of the domains of this test."""
        return {domain.name() for domain in self.connection.listAllDomains() if self._is_ours(domain)}

    def _is_ours(self, domain: Any) -> bool:
        return bool(domain.name().startswith(self.prefix))

    def domain(self, name: str) -> Any:
        return self.connection.lookupByName(name)

    def tree(self, name: str) -> ET.Element:
        return ET.fromstring(self.domain(name).XMLDesc())  # noqa: S314  libvirt's own answer

    def marker(self, name: str) -> dict[str, str] | None:
        """Our marker in the domain's metadata: `installation` and `machine`."""
        found = self.tree(name).find(f"metadata/{{{MARKER_NAMESPACE}}}marker")
        return None if found is None else dict(found.attrib)

    def is_running(self, name: str) -> bool:
        return bool(self.domain(name).isActive())

    def console(self, name: str) -> str:
        """What the domain has written to its serial console since it was started."""
        found = self.tree(name).find("devices/*/log")
        log = None if found is None else Path(found.get("file", ""))
        return log.read_text(errors="replace") if log is not None and log.exists() else ""

    def firmware_variables(self, name: str) -> Path:
        """The file of the UEFI variables, which exists after the first start with UEFI."""
        return _NVRAM / f"{name}_VARS.fd"

    def make_foreign(self, name: str, *, cores: int = 1, memory_mib: int = 64, disk: bool = True) -> Any:
        """Defines a foreign domain, powered off."""
        domain = ET.Element("domain", type="qemu")
        ET.SubElement(domain, "name").text = f"{self.prefix}{name}"
        ET.SubElement(domain, "title").text = "Somebody else's"
        ET.SubElement(domain, "memory", unit="MiB").text = str(memory_mib)
        ET.SubElement(domain, "vcpu").text = str(cores)
        ET.SubElement(ET.SubElement(domain, "os"), "type").text = "hvm"
        devices = ET.SubElement(domain, "devices")
        if disk:
            volume = volume_xml(f"{name}.img", FOREIGN_DISK_BYTES, "dir")
            devices.append(disk_element("vda", self.pool.createXML(volume).path()))
        return self.connection.defineXML(ET.tostring(domain, encoding="unicode"))

    def compute(self) -> tuple[int, int]:
        """Cores and MiB of memory of all domains on this host."""
        infos = [domain.info() for domain in self.connection.listAllDomains()]
        return sum(info[3] for info in infos), sum(info[1] // 1024 for info in infos)

    def close(self) -> None:
        if not self.connection.isAlive():
            self.connect()
        for domain in self.connection.listAllDomains():
            if self._is_ours(domain):
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(WITH_ALL)
        pool = self.pool
        pool.destroy()
        pool.undefine()
        self.connection.close()
        for log in _LOGS.glob(f"{self.prefix}*"):
            log.unlink()


def definition(domain: Any) -> str:
    """The persistent definition, as libvirt completed it."""
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
