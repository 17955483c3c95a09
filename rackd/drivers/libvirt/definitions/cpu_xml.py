"""Checks and builds the part of domain XML that assigns cores and memory."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from xml.etree import ElementTree as ET

from common.errors import InvalidRequest, NotFound, OutOfCapacity, Unsupported
from common.guest_spec import GuestSpec
from common.phrases import number_of
from common.values import NumaNode
from rackd.drivers.libvirt.definitions import memory_device_xml
from rackd.drivers.libvirt.xml import Element


def check_cpu(spec: GuestSpec) -> None:
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


def check_host(spec: GuestSpec, nodes: Sequence[NumaNode]) -> None:
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
        pages = ET.SubElement(ET.SubElement(domain, "memoryBacking"), "hugepages")
        ET.SubElement(pages, "page", size=str(spec.huge_page_size_kib), unit="KiB")
    cores = ET.SubElement(domain, "vcpu", placement="static")
    cores.text = str(most_cores(spec))
    if most_cores(spec) > spec.cores:
        cores.set("current", str(spec.cores))
    if spec.pinned_core_ids:
        cores.set("cpuset", _listed(spec.pinned_core_ids))
        _add_pins(domain, spec.pinned_core_ids)
    if spec.numa_node_ids:
        memory = ET.SubElement(domain, "numatune")
        ET.SubElement(memory, "memory", mode="strict", nodeset=_listed(spec.numa_node_ids))


def most_cores(spec: GuestSpec) -> int:
    """Returns how many cores the guest can have without a restart."""
    return max(spec.cores, spec.max_cores or 0)


def _add_pins(domain: Element, core_ids: tuple[int, ...]) -> None:
    """Pins the cores, and QEMU's own threads to them, so that these do not slow down other guests."""
    tuning = ET.SubElement(domain, "cputune")
    for number, core in enumerate(core_ids):
        ET.SubElement(tuning, "vcpupin", vcpu=str(number), cpuset=str(core))
    ET.SubElement(tuning, "emulatorpin", cpuset=_listed(core_ids))


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(str(number) for number in sorted(numbers))
