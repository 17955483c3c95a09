"""Chooses the pinned cores and huge pages of a machine, and their NUMA nodes."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from common.words.phrases import number_of
from regiond.placement.candidate import Candidate, CandidateHugePages, CandidateNode
from regiond.placement.checks import Check, Failure
from regiond.placement.cpu_pinning import PinOption, pin_options
from regiond.placement.model import HugePagesPlacement
from regiond.placement.requirements import Requirements

KIB_PER_MIB = 1024
KIB_PER_GIB = 1024 * 1024


@frozen(kw_only=True)
class NumaAssignment:
    """`node_ids` are the nodes of the memory; empty if it is not in huge pages."""

    core_ids: tuple[int, ...] = ()
    pages: tuple[HugePagesPlacement, ...] = ()
    node_ids: tuple[int, ...] = ()


NO_NUMA = NumaAssignment()


def assign_numa(requirements: Requirements, host: Candidate) -> tuple[NumaAssignment, tuple[Failure, ...]]:
    """Returns cores and pages, or why the host lacks them: cores first, then pages.

    Pages come from the nodes of the pinned cores. Without pinning they come from the nodes with the most free pages,
    or, with `one_numa_node`, from the node with the fewest that has enough.
    """
    if requirements.pins is None and not requirements.huge_pages:
        return NO_NUMA, ()
    nodes = sorted(host.nodes, key=lambda node: node.node_id)
    options, pin_reason = _options(requirements, nodes)
    where = "" if pin_reason is not None else _where(requirements)
    if pin_reason is not None:  # a shortage of pages without any pinning is a shortage in every case: report it too
        options = _anywhere(nodes, one_node=requirements.one_numa_node)
        where = " on one NUMA node" if requirements.one_numa_node else ""
    option, pages, page_reason = (
        _pages(requirements, nodes, options, where) if requirements.huge_pages else (options[0], (), None)
    )
    found = (Check.PINS, pin_reason), (Check.PAGES, page_reason)
    failures = tuple(Failure(check, reason) for check, reason in found if reason is not None)
    if failures:
        return NumaAssignment(), failures
    # General memory is counted per host, so a node may be full. The kernel prefers the node of the cores anyway.
    return NumaAssignment(core_ids=option.core_ids, pages=pages, node_ids=tuple(one.node_id for one in pages)), ()


def _options(requirements: Requirements, nodes: Sequence[CandidateNode]) -> tuple[tuple[PinOption, ...], str | None]:
    if requirements.pins is None:
        return _anywhere(nodes, one_node=requirements.one_numa_node), None
    return pin_options(requirements.pins, nodes, one_node=requirements.one_numa_node)


def _anywhere(nodes: Sequence[CandidateNode], *, one_node: bool) -> tuple[PinOption, ...]:
    if one_node and nodes:
        return tuple(PinOption(nodes=(node,)) for node in nodes)
    return (PinOption(nodes=tuple(nodes)),)


def _where(requirements: Requirements) -> str:
    if requirements.pins is not None and requirements.pins.count is not None:
        return f" on one NUMA node with {requirements.pins.count} free cores"
    if requirements.pins is not None:
        return " on the NUMA nodes of the pinned cores"
    return " on one NUMA node" if requirements.one_numa_node else ""


def _pages(
    requirements: Requirements, nodes: Sequence[CandidateNode], options: Sequence[PinOption], where: str
) -> tuple[PinOption, tuple[HugePagesPlacement, ...], str | None]:
    """Returns the first option with enough pages of the smallest possible size."""
    sizes, reason = _sizes(requirements, nodes)
    for size_kib in sizes:
        required = requirements.memory_mib * KIB_PER_MIB // size_kib
        enough = [option for option in options if _free(option.nodes, size_kib) >= required]
        if requirements.pins is None:  # options are single nodes: prefer the one with the fewest free pages
            enough.sort(key=lambda option: _free(option.nodes, size_kib))
        if enough:
            return enough[0], _distribute(required, size_kib, enough[0].nodes), None
    allowed = [node for node in nodes if any(node in option.nodes for option in options)]
    shortages = [_shortage(requirements, size_kib, allowed, where) for size_kib in sizes]
    return options[0], (), reason or f"needs {'; or '.join(shortages)}"


def _sizes(requirements: Requirements, nodes: Sequence[CandidateNode]) -> tuple[list[int], str | None]:
    """Returns the possible page sizes in KiB, the smallest first, or the reason why there is none."""
    memory_kib, wanted = requirements.memory_mib * KIB_PER_MIB, requirements.huge_page_size_kib
    if wanted is not None and memory_kib % wanted:
        return [], _indivisible(requirements, _size(wanted))
    known = sorted({pages.size_kib for node in nodes for pages in node.pages if pages.total})
    if not known or (wanted is not None and wanted not in known):
        pages = (
            f"{requirements.memory_mib} MiB in huge pages"
            if wanted is None
            else f"{number_of(memory_kib // wanted, 'huge page')} of {_size(wanted)}"
        )
        return [], f"needs {pages}, the host has none"
    fitting = [size for size in known if memory_kib % size == 0 and wanted in (None, size)]
    if not fitting:
        return [], _indivisible(requirements, " or ".join(map(_size, known)))
    return fitting, None


def _indivisible(requirements: Requirements, sizes: str) -> str:
    return f"needs {requirements.memory_mib} MiB in huge pages, which is not a multiple of {sizes}"


def _distribute(required: int, size_kib: int, nodes: Sequence[CandidateNode]) -> tuple[HugePagesPlacement, ...]:
    """Takes pages from the nodes with the most free ones first. The result is in the order of the node ids."""
    places: list[HugePagesPlacement] = []
    for node in sorted(nodes, key=lambda node: (-_free((node,), size_kib), node.node_id)):
        pages = min(required, _free((node,), size_kib))
        if pages:
            places.append(HugePagesPlacement(node_id=node.node_id, size_kib=size_kib, pages=pages))
            required -= pages
    return tuple(sorted(places, key=lambda place: place.node_id))


def _shortage(requirements: Requirements, size_kib: int, nodes: Sequence[CandidateNode], where: str) -> str:
    required = requirements.memory_mib * KIB_PER_MIB // size_kib
    free = (
        f"{_free((node,), size_kib)} of {sum(pages.total for pages in _of_size(node, size_kib))}"
        f"{' free' if number == 0 else ''} on node {node.node_id}"
        for number, node in enumerate(nodes)
    )
    return f"{number_of(required, 'huge page')} of {_size(size_kib)}{where}, {', '.join(free)}"


def _of_size(node: CandidateNode, size_kib: int) -> list[CandidateHugePages]:
    return [pages for pages in node.pages if pages.size_kib == size_kib]


def _free(nodes: Sequence[CandidateNode], size_kib: int) -> int:
    return sum(max(0, pages.free) for node in nodes for pages in _of_size(node, size_kib))


def _size(size_kib: int) -> str:
    for unit, kib in (("GiB", KIB_PER_GIB), ("MiB", KIB_PER_MIB)):
        if size_kib % kib == 0:
            return f"{size_kib // kib} {unit}"
    return f"{size_kib} KiB"
