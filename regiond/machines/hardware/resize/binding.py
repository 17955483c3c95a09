"""Chooses the pinned cores and huge pages of a machine that is resized. Pure.

It stays on the NUMA nodes that it is on, unless the request names other cores: its memory is there. What it has is free
for it, and kept as far as it suffices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from common.errors import InvalidRequest, OutOfCapacity
from common.guests.guest_placement import GuestPlacement
from common.guests.sizes import GuestSize
from common.words.phrases import number_of
from regiond.ledger.model import DiscreteResources, page_size_kib, pages_key, read_pages_key
from regiond.machines.values.resize import SizeRequest
from regiond.placement.candidate import Candidate, CandidateNode
from regiond.placement.cpu_pinning import choose_cores
from regiond.placement.numa_placement import assign_numa
from regiond.placement.requirements import PinRequirement, Requirements

KIB_PER_MIB = 1024


@frozen(kw_only=True)
class BoundMachine:
    """A machine that is resized: its cores, what it claims of the pinned ones and huge pages now, and its host."""

    hostname: str
    host: Candidate
    cores: int
    bound: DiscreteResources

    @property
    def nodes(self) -> tuple[CandidateNode, ...]:
        """The nodes of the host, where what the machine has is free too."""
        return tuple(_given_back(node, self.bound) for node in self.host.nodes)

    @property
    def home(self) -> tuple[CandidateNode, ...]:
        """The nodes that it is on, by its cores, else by its pages."""
        pinned = {*self.bound.pinned_core_ids}
        of_pages = {read_pages_key(key)[0] for key in self.bound.huge_pages}
        by_cores = tuple(node for node in self.nodes if pinned & {*node.core_ids})
        return by_cores or tuple(node for node in self.nodes if node.node_id in of_pages)


def guest_placement(bound: DiscreteResources) -> GuestPlacement:
    """Returns the part of a guest's definition that binds it to these cores and pages."""
    return GuestPlacement(
        pinned_core_ids=bound.pinned_core_ids,
        huge_page_size_kib=page_size_kib(bound.huge_pages),
        numa_node_ids=tuple(sorted({read_pages_key(key)[0] for key in bound.huge_pages})),
    )


def is_bound(bound: DiscreteResources) -> bool:
    return bool(bound.pinned_core_ids or bound.huge_pages)


def new_binding(machine: BoundMachine, request: SizeRequest, wanted: GuestSize) -> DiscreteResources:
    """Returns the cores and huge pages that the machine has with the size `wanted`.

    Raises InvalidRequest by field, and OutOfCapacity with the numbers of each node and what would help.
    """
    bound = machine.bound
    in_pages = bool(bound.huge_pages) if request.huge_pages is None else request.huge_pages
    if request.huge_page_size_mib is not None and not in_pages:
        raise InvalidRequest.of({"hugepage_size": ["This requires hugepages_backed."]})
    pinned = _cores(machine, request, wanted)
    if not in_pages:
        return DiscreteResources(pinned_core_ids=pinned)
    size_kib = (request.huge_page_size_mib or 0) * KIB_PER_MIB or page_size_kib(bound.huge_pages)
    if pinned == bound.pinned_core_ids and _covers(bound, wanted, size_kib):
        return bound
    return _with_pages(machine, wanted, pinned, size_kib)


def _covers(bound: DiscreteResources, wanted: GuestSize, size_kib: int | None) -> bool:
    """Returns whether its pages are of that size, and exactly as many as the memory needs."""
    kib = sum(read_pages_key(key)[1] * pages for key, pages in bound.huge_pages.items())
    return kib == wanted.memory_mib * KIB_PER_MIB and size_kib == page_size_kib(bound.huge_pages)


def _cores(machine: BoundMachine, request: SizeRequest, wanted: GuestSize) -> tuple[int, ...]:
    own = machine.bound.pinned_core_ids
    if request.pinned_cores:
        return _named(machine, request.pinned_cores)
    if request.pin_cores == 0 or not (request.pin_cores or own):
        return ()
    if own and wanted.cores == machine.cores:
        return own
    if len(own) > wanted.cores:
        return _fewer(machine, wanted.cores)
    return _more(machine, wanted.cores) if own else _first(machine, wanted.cores)


def _named(machine: BoundMachine, core_ids: tuple[int, ...]) -> tuple[int, ...]:
    requirements = _requirements(1, 1, PinRequirement(core_ids=core_ids))
    _, failures = assign_numa(requirements, evolve(machine.host, nodes=machine.nodes))
    if failures:
        raise OutOfCapacity(f"{machine.hostname} cannot be pinned: {'; '.join(one.reason for one in failures)}.")
    return tuple(sorted(core_ids))


def _fewer(machine: BoundMachine, count: int) -> tuple[int, ...]:
    """Keeps cores of as few nodes and physical cores as possible."""
    own, kept = {*machine.bound.pinned_core_ids}, list[int]()
    for node in sorted(machine.home, key=lambda node: (-len(own & {*node.core_ids}), node.node_id)):
        here = own & {*node.core_ids}
        mine = evolve(node, free_core_ids=tuple(sorted(here)))
        kept += choose_cores(mine, min(count - len(kept), len(here)))
    return tuple(sorted(kept))


def _more(machine: BoundMachine, count: int) -> tuple[int, ...]:
    """Adds the free threads of physical cores that it has in part, then others of its nodes."""
    chosen = {*machine.bound.pinned_core_ids}
    free = {core for node in machine.home for core in node.free_core_ids}
    threads = [{*group} for node in machine.home for group in node.siblings]
    beside = sorted(core for group in threads if group & chosen for core in group & free - chosen)
    chosen |= {*beside[: count - len(chosen)]}
    for node in sorted(machine.home, key=lambda node: (-len({*node.free_core_ids} - chosen), node.node_id)):
        left = tuple(core for core in node.free_core_ids if core not in chosen)
        chosen |= {*choose_cores(evolve(node, free_core_ids=left), min(count - len(chosen), len(left)))}
    if len(chosen) < count:
        raise _too_few_cores(machine, count)
    return tuple(sorted(chosen))


def _first(machine: BoundMachine, count: int) -> tuple[int, ...]:
    """As at compose, on one of the nodes that its memory is on."""
    host = evolve(machine.host, nodes=machine.home or machine.nodes)
    numa, failures = assign_numa(_requirements(count, 1, PinRequirement(count=count)), host)
    if failures:
        raise _too_few_cores(machine, count)
    return numa.core_ids


def _too_few_cores(machine: BoundMachine, count: int) -> OutOfCapacity:
    where = machine.home or machine.nodes
    stays = f" and stays on {_names(where)}" if machine.home else " on one NUMA node"
    if not machine.nodes:
        return OutOfCapacity(f"{machine.hostname} cannot be pinned: {machine.host.name} does not report its cores.")
    return OutOfCapacity(
        f"{machine.hostname} needs {number_of(count, 'pinned core')}{stays}: {_free_cores(where)}"
        f"{', its own included' if machine.bound.pinned_core_ids else ''}. {_elsewhere(machine, where)}"
        "Ask for fewer, free some there, or name cores that are free with pinned_cores."
    )


def _with_pages(
    machine: BoundMachine, wanted: GuestSize, pinned: tuple[int, ...], size_kib: int | None
) -> DiscreteResources:
    where = machine.nodes if pinned else (machine.home or machine.nodes)
    pins = PinRequirement(core_ids=pinned) if pinned else None
    requirements = evolve(
        _requirements(wanted.cores, wanted.memory_mib, pins), huge_pages=True, huge_page_size_kib=size_kib
    )
    numa, failures = assign_numa(requirements, evolve(machine.host, nodes=where))
    if failures:
        used = tuple(node for node in where if not pinned or {*pinned} & {*node.core_ids})
        raise OutOfCapacity(
            f"{machine.hostname} {'; '.join(one.reason for one in failures)}"
            f"{', its own included' if machine.bound.huge_pages else ''}. {_elsewhere(machine, used, pages=True)}"
            "Ask for less, reserve more pages on the host, or take its memory out of them with hugepages_backed=false."
        )
    pages = {pages_key(one.node_id, one.size_kib): one.pages for one in numa.pages}
    return DiscreteResources(pinned_core_ids=pinned, huge_pages=pages)


def _requirements(cores: int, memory_mib: int, pins: PinRequirement | None) -> Requirements:
    return Requirements(cores=cores, memory_mib=memory_mib, disks=(), pins=pins)


def _elsewhere(machine: BoundMachine, used: Sequence[CandidateNode], *, pages: bool = False) -> str:
    """Returns what the other nodes have, as a sentence; empty without other nodes."""
    others = [node for node in machine.nodes if node not in used]
    if not others:
        return ""
    free = [
        f"{one.free} huge pages of {page_size(one.size_kib)} on node {node.node_id}"
        for node in others
        for one in node.pages
        if pages
    ]
    return f"Elsewhere are {'; '.join([_free_cores(others), *free])}. "


def page_size(size_kib: int) -> str:
    """Returns such as `2 MiB`."""
    return f"{size_kib} KiB" if size_kib % KIB_PER_MIB else f"{size_kib // KIB_PER_MIB} MiB"


def _free_cores(nodes: Iterable[CandidateNode]) -> str:
    return ", ".join(
        f"{len(node.free_core_ids)} of {number_of(len(node.core_ids), 'core')} unpinned on node {node.node_id}"
        for node in nodes
    )


def _names(nodes: Sequence[CandidateNode]) -> str:
    return f"NUMA {'node' if len(nodes) == 1 else 'nodes'} {', '.join(str(node.node_id) for node in nodes)}"


def without(host: Candidate, taken: DiscreteResources) -> Candidate:
    """Returns the host once others have taken these cores and pages."""
    return evolve(host, nodes=tuple(_taken_from(node, taken) for node in host.nodes))


def _taken_from(node: CandidateNode, taken: DiscreteResources) -> CandidateNode:
    return evolve(
        node,
        free_core_ids=tuple(core_id for core_id in node.free_core_ids if core_id not in taken.pinned_core_ids),
        pages=tuple(
            evolve(one, free=max(0, one.free - taken.huge_pages.get(pages_key(node.node_id, one.size_kib), 0)))
            for one in node.pages
        ),
    )


def newly_taken(before: DiscreteResources, then: DiscreteResources) -> DiscreteResources:
    """Returns the cores and pages that `then` has more."""
    return DiscreteResources(
        pinned_core_ids={*then.pinned_core_ids} - {*before.pinned_core_ids},
        huge_pages={key: max(0, pages - before.huge_pages.get(key, 0)) for key, pages in then.huge_pages.items()},
    )


def together(one: DiscreteResources, other: DiscreteResources) -> DiscreteResources:
    return DiscreteResources(
        pinned_core_ids={*one.pinned_core_ids, *other.pinned_core_ids},
        huge_pages=Counter(one.huge_pages) + Counter(other.huge_pages),
    )


def _given_back(node: CandidateNode, bound: DiscreteResources) -> CandidateNode:
    """Returns the node with what the machine has there as free."""
    own = {*bound.pinned_core_ids} & {*node.core_ids}
    return evolve(
        node,
        free_core_ids=tuple(sorted({*node.free_core_ids} | own)),
        pages=tuple(
            evolve(
                one,
                free=min(one.total, one.free + bound.huge_pages.get(pages_key(node.node_id, one.size_kib), 0)),
            )
            for one in node.pages
        ),
    )
