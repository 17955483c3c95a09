"""Which cores and which memory of the server a guest gets: the part of a definition that says so. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from xml.etree import ElementTree as ET

from common.errors import InvalidRequest, NotFound, OutOfCapacity, Unsupported
from common.values import GuestSpec, NumaNode
from rackd.drivers.libvirt.trees import Element


def check_cpu(spec: GuestSpec) -> None:
    """InvalidRequest when the pinned cores are not one for each virtual core, or name a core twice."""
    pinned = spec.pinned_core_ids
    if pinned and len(pinned) != spec.cores:
        raise InvalidRequest(f"{spec.cores} virtual cores cannot be pinned to {len(pinned)} cores: one for each.")
    if len(set(pinned)) != len(pinned):
        raise InvalidRequest(f"A core is named twice among those to pin to: {_listed(pinned)}.")
    if min((*pinned, *spec.numa_node_ids), default=0) < 0:
        raise InvalidRequest("Cores and NUMA nodes are numbered from 0.")


def check_host(spec: GuestSpec, nodes: Sequence[NumaNode]) -> None:
    """Whether the server of these NUMA nodes has the cores, nodes and huge pages; not checked where it tells none.

    NotFound for a core or node that there is not, Unsupported for a size of pages, OutOfCapacity for too few of them.
    """
    if not nodes:
        return
    _check_there("core", spec.pinned_core_ids, {core for node in nodes for core in node.core_ids})
    _check_there("NUMA node", spec.numa_node_ids, {node.node_id for node in nodes})
    if spec.huge_page_size_kib is not None:
        chosen = [node for node in nodes if node.node_id in spec.numa_node_ids or not spec.numa_node_ids]
        _check_pages(spec, spec.huge_page_size_kib, chosen)


def _check_there(what: str, wanted: Iterable[int], there: Container[int]) -> None:
    for number in wanted:
        if number not in there:
            raise NotFound(f"The server has no {what} {number}.")


def _check_pages(spec: GuestSpec, size_kib: int, nodes: Iterable[NumaNode]) -> None:
    totals = [pages.total for node in nodes for pages in node.huge_pages if pages.size_kib == size_kib]
    if not totals:
        raise Unsupported(f"The server has no huge pages of {size_kib} KiB.")
    wanted = -(-spec.memory_mib * 1024 // size_kib)
    if wanted > sum(totals):
        raise OutOfCapacity(
            f"{spec.memory_mib} MiB are {wanted} huge pages of {size_kib} KiB; the server has {sum(totals)} there.",
            asked=wanted,
            total=sum(totals),
        )


def add_cpu(domain: Element, spec: GuestSpec) -> None:
    """Memory, virtual cores, and where on the server both come from."""
    ET.SubElement(domain, "memory", unit="MiB").text = str(spec.memory_mib)
    if spec.huge_page_size_kib is not None:
        pages = ET.SubElement(ET.SubElement(domain, "memoryBacking"), "hugepages")
        ET.SubElement(pages, "page", size=str(spec.huge_page_size_kib), unit="KiB")
    cores = ET.SubElement(domain, "vcpu", placement="static")
    cores.text = str(spec.cores)
    if spec.pinned_core_ids:
        cores.set("cpuset", _listed(spec.pinned_core_ids))
        _add_pins(domain, spec.pinned_core_ids)
    if spec.numa_node_ids:
        memory = ET.SubElement(domain, "numatune")
        ET.SubElement(memory, "memory", mode="strict", nodeset=_listed(spec.numa_node_ids))


def _add_pins(domain: Element, core_ids: tuple[int, ...]) -> None:
    """QEMU's own threads run on the guest's cores too: on others they would take time from those guests."""
    tuning = ET.SubElement(domain, "cputune")
    for number, core in enumerate(core_ids):
        ET.SubElement(tuning, "vcpupin", vcpu=str(number), cpuset=str(core))
    ET.SubElement(tuning, "emulatorpin", cpuset=_listed(core_ids))


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(str(number) for number in sorted(numbers))
