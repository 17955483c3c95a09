"""Memory that a guest can get while it runs: a virtio-mem device, which its system fills on request. Pure.

The device is as large as what may be added. libvirt counts all of it as the guest's memory, also what the guest does
not have.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rackd.drivers.libvirt.xml import Element, bytes_at

BLOCK_KIB = 2048  # of a huge page, the least that QEMU adds
_MODEL = "virtio-mem"
_KIB_PER_MIB = 1024


def memory_device(domain: Element) -> Element | None:
    """Returns the virtio-mem device; None without one, or beside another memory device."""
    found = domain.findall("devices/memory")
    return found[0] if len(found) == 1 and found[0].get("model") == _MODEL else None


def absent_kib(domain: Element) -> int:
    """Returns how much of the memory that libvirt counts the guest does not have."""
    devices = domain.iterfind(f"devices/memory[@model='{_MODEL}']")
    return sum(_kib(device, "size") - given_kib(device) for device in devices)


def given_kib(device: Element) -> int:
    """Returns what the guest has of the device, or may take at any time."""
    return max(_kib(device, "requested"), _kib(device, "current"))


def taken_kib(device: Element) -> int:
    """Returns what the system of a running guest has taken."""
    return _kib(device, "current")


def requesting(device: Element, kib: int) -> Element | None:
    """Returns a copy of the device that asks the guest to take this much; None if it cannot be that much."""
    if not 0 <= kib <= _kib(device, "size") or kib % BLOCK_KIB:
        return None
    copy: Element = ET.fromstring(ET.tostring(device))  # noqa: S314  made of a parsed element
    requested = copy.find("target/requested")
    if requested is None:
        return None
    requested.text = str(kib)
    requested.set("unit", "KiB")
    return copy


def add_memory(domain: Element, memory_mib: int, maximum_mib: int | None) -> None:
    """Adds the memory, and what can be added to it while the guest runs."""
    size_mib = _device_mib(memory_mib, maximum_mib)
    ET.SubElement(domain, "memory", unit="MiB").text = str(memory_mib + size_mib)
    if size_mib:
        ET.SubElement(domain, "currentMemory", unit="MiB").text = str(memory_mib)


def add_device(domain: Element, memory_mib: int, maximum_mib: int | None) -> None:
    """Adds the device for memory beyond `memory_mib` to a domain whose cell 0 has this memory; see `prepare_cell`.

    Does nothing if nothing can be added.
    """
    size_mib, devices = _device_mib(memory_mib, maximum_mib), domain.find("devices")
    if not size_mib or devices is None:
        return
    ET.SubElement(domain, "maxMemory", slots="1", unit="MiB").text = str(memory_mib + size_mib)
    target = ET.SubElement(ET.SubElement(devices, "memory", model=_MODEL), "target")
    ET.SubElement(target, "size", unit="MiB").text = str(size_mib)
    ET.SubElement(target, "node").text = "0"
    ET.SubElement(target, "block", unit="KiB").text = str(BLOCK_KIB)
    ET.SubElement(target, "requested", unit="MiB").text = "0"


def prepare_cell(domain: Element, cores: int, memory_mib: int, maximum_mib: int | None) -> None:
    """Gives the guest one NUMA cell with all its cores and memory, which memory devices need."""
    if not _device_mib(memory_mib, maximum_mib):
        return
    cpu = domain.find("cpu")
    if cpu is None:
        cpu = ET.SubElement(domain, "cpu")
    cpus = "0" if cores == 1 else f"0-{cores - 1}"
    ET.SubElement(ET.SubElement(cpu, "numa"), "cell", id="0", cpus=cpus, memory=str(memory_mib), unit="MiB")


def set_memory(domain: Element, memory_mib: int, maximum_mib: int) -> None:
    """Gives a domain with one cell this memory from its start, and the device the rest up to `maximum_mib`."""
    device = memory_device(domain)
    for devices in domain.findall("devices"):
        if device is not None:
            devices.remove(device)
    for most in domain.findall("maxMemory"):
        domain.remove(most)
    for cell in domain.iterfind("cpu/numa/cell"):
        cell.set("memory", str(memory_mib * _KIB_PER_MIB))
        cell.set("unit", "KiB")
    total_mib = memory_mib + _device_mib(memory_mib, maximum_mib)
    for name, amount_mib in (("memory", total_mib), ("currentMemory", memory_mib)):
        for element in domain.findall(name):
            element.text = str(amount_mib * _KIB_PER_MIB)
            element.set("unit", "KiB")
    add_device(domain, memory_mib, maximum_mib)


def _device_mib(memory_mib: int, maximum_mib: int | None) -> int:
    """Returns the size of the device, which has whole blocks; 0 if nothing can be added."""
    blocks = max(0, (maximum_mib or 0) - memory_mib) * _KIB_PER_MIB // BLOCK_KIB
    return blocks * BLOCK_KIB // _KIB_PER_MIB


def _kib(device: Element, name: str) -> int:
    return (bytes_at(device, f"target/{name}", unit="KiB") or 0) // 1024
