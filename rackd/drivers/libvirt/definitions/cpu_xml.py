"""Checks and builds the part of domain XML that assigns cores and memory."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from xml.etree import ElementTree as ET

from common.errors import InvalidRequest, NotFound, OutOfCapacity, Unsupported
from common.guests.guest_placement import Placed
from common.guests.guest_spec import GuestSpec
from common.values import NumaNode
from common.words.phrases import number_of
from rackd.drivers.libvirt.definitions import memory_device_xml
from rackd.drivers.libvirt.xml import Element


def check_cpu(spec: Placed) -> None:
    """Raises InvalidRequest unless exactly one distinct core is pinned for each virtual core, or none at all."""
    pinned = spec.pinned_core_ids
    if pinned and len(pinned) != spec.cores:
        raise InvalidRequest(
            f"Pin exactly one core for each virtual core: {spec.cores} virtual cores, {len(pinned)} pinned cores."
        )
    if len(set(pinned)) != len(pinned):
        raise InvalidRequest(f"The pinned cores contain a duplicate: {_listed(pinned)}.")
    if min((*pinned, *spec.numa_node_ids), default=0) < 0:
        raise InvalidRequest("Core and NUMA node numbers start at 0.")


def check_host(spec: Placed, nodes: Sequence[NumaNode]) -> None:
    """Checks that the server with these NUMA nodes has the cores, nodes and huge pages. Does nothing if `nodes` is
    empty.

    Raises NotFound for a missing core or node, Unsupported for a huge page size, OutOfCapacity for too few huge pages.
    """
    if not nodes:
        return
    _check_exists("core", spec.pinned_core_ids, {core for node in nodes for core in node.core_ids})
    _check_exists("NUMA node", spec.numa_node_ids, {node.node_id for node in nodes})
    if spec.huge_page_size_kib is not None:
        chosen = [node for node in nodes if node.node_id in spec.numa_node_ids or not spec.numa_node_ids]
        check_pages(spec.name, spec.memory_mib, spec.huge_page_size_kib, chosen)


def _check_exists(what: str, wanted: Iterable[int], existing: Container[int]) -> None:
    for number in wanted:
        if number not in existing:
            raise NotFound(f"The server has no {what} {number}.")


def check_pages(name: str, memory_mib: int, size_kib: int, nodes: Iterable[NumaNode]) -> None:
    """Raises Unsupported for a size of huge pages that the nodes lack, OutOfCapacity if they have too few."""
    totals = [pages.total for node in nodes for pages in node.huge_pages if pages.size_kib == size_kib]
    if not totals:
        raise Unsupported(f"The server has no huge pages of {size_kib} KiB.")
    wanted = -(-memory_mib * 1024 // size_kib)
    if wanted > sum(totals):
        raise OutOfCapacity(
            f"{name} needs {number_of(wanted, 'huge page')} of {size_kib} KiB; the server has {sum(totals)}.",
            requested=wanted,
            total=sum(totals),
        )


def add_cpu(domain: Element, spec: GuestSpec) -> None:
    """Adds memory, virtual cores, and their binding to cores and NUMA nodes."""
    memory_device_xml.add_memory(domain, spec.memory_mib, spec.max_memory_mib)
    if spec.huge_page_size_kib is not None:
        _add_pages(ET.SubElement(domain, "memoryBacking"), spec.huge_page_size_kib)
    cores = ET.SubElement(domain, "vcpu", placement="static")
    cores.text = str(most_cores(spec))
    if most_cores(spec) > spec.cores:
        cores.set("current", str(spec.cores))
    if spec.pinned_core_ids:
        cores.set("cpuset", _listed(spec.pinned_core_ids))
        _add_pins(ET.SubElement(domain, "cputune"), spec.pinned_core_ids)
    if spec.numa_node_ids:
        _bind_memory(ET.SubElement(domain, "numatune"), spec.numa_node_ids)


def set_placement(domain: Element, spec: Placed) -> bool:
    """Returns whether the definition has changed: pins, huge pages and NUMA nodes are those of `spec` then.

    What an administrator has added beside them stays. So does memory that was bound to nodes without huge pages.
    """
    before = ET.tostring(domain)
    _set_pins(domain, spec.pinned_core_ids)
    had_pages = _set_pages(domain, spec.huge_page_size_kib)
    if spec.numa_node_ids or had_pages:
        _set_nodes(domain, spec.numa_node_ids)
    return ET.tostring(domain) != before


def _set_pins(domain: Element, core_ids: tuple[int, ...]) -> None:
    vcpu = domain.find("vcpu")
    tuning = domain.find("cputune")
    default = "" if vcpu is None else vcpu.get("cpuset", "")
    had_pins = default.isdigit() or (tuning is not None and tuning.find("vcpupin") is not None)
    if not core_ids and not had_pins:
        return  # an affinity to several cores is the administrator's
    if vcpu is not None:
        vcpu.attrib.pop("cpuset", None)
        if core_ids:
            vcpu.set("cpuset", _listed(core_ids))
    if tuning is None:
        tuning = ET.SubElement(domain, "cputune")
    for name in ("vcpupin", "emulatorpin"):
        for pin in tuning.findall(name):
            tuning.remove(pin)
    if core_ids:
        _add_pins(tuning, core_ids)
    _drop_empty(domain, tuning)


def _set_pages(domain: Element, size_kib: int | None) -> bool:
    """Returns whether the memory was in huge pages before."""
    backing = domain.find("memoryBacking")
    before = None if backing is None else backing.find("hugepages")
    if size_kib is None and before is None:
        return False
    if backing is None:
        backing = ET.SubElement(domain, "memoryBacking")
    if before is not None:
        backing.remove(before)
    if size_kib is not None:
        _add_pages(backing, size_kib)
    _drop_empty(domain, backing)
    return before is not None


def _set_nodes(domain: Element, node_ids: tuple[int, ...]) -> None:
    tuning = domain.find("numatune")
    if tuning is None:
        tuning = ET.SubElement(domain, "numatune")
    for memory in tuning.findall("memory"):
        tuning.remove(memory)
    if node_ids:
        _bind_memory(tuning, node_ids)
    _drop_empty(domain, tuning)


def _drop_empty(domain: Element, element: Element) -> None:
    if not len(element) and not element.attrib:
        domain.remove(element)


def _add_pages(backing: Element, size_kib: int) -> None:
    ET.SubElement(ET.SubElement(backing, "hugepages"), "page", size=str(size_kib), unit="KiB")


def _bind_memory(tuning: Element, node_ids: tuple[int, ...]) -> None:
    ET.SubElement(tuning, "memory", mode="strict", nodeset=_listed(node_ids))


def most_cores(spec: GuestSpec) -> int:
    """Returns how many cores the guest can have without a restart."""
    return max(spec.cores, spec.max_cores or 0)


def _add_pins(tuning: Element, core_ids: tuple[int, ...]) -> None:
    """Pins the cores, and QEMU's own threads to them, so that these do not slow down other guests."""
    for number, core in enumerate(core_ids):
        ET.SubElement(tuning, "vcpupin", vcpu=str(number), cpuset=str(core))
    ET.SubElement(tuning, "emulatorpin", cpuset=_listed(core_ids))


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(str(number) for number in sorted(numbers))
