"""Chooses the cores to which a machine is pinned; does not split physical cores if it can.

Machines that share a physical core share its caches and can observe each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from common.words.phrases import number_of
from regiond.placement.candidate import CandidateNode
from regiond.placement.requirements import PinRequirement

Threads = tuple[int, ...]  # of one physical core, sorted


@frozen(kw_only=True)
class PinOption:
    """One way to pin: the cores and their nodes. Without cores, `nodes` are those that memory may come from."""

    nodes: tuple[CandidateNode, ...]
    core_ids: tuple[int, ...] = ()


def pin_options(
    pins: PinRequirement, nodes: Sequence[CandidateNode], *, one_node: bool
) -> tuple[tuple[PinOption, ...], str | None]:
    """Returns every way to pin the cores, the best first, or the reason why there is none.

    Cores given by id have one option. For a count, each node with enough free cores is an option; the node with the
    fewest is first, so that large gaps stay free.
    """
    if pins.count is None:
        reason = _missing_cores(pins.core_ids, nodes, one_node=one_node)
        wanted = {*pins.core_ids}
        used = tuple(node for node in nodes if wanted & {*node.core_ids})
        return ((PinOption(nodes=used, core_ids=pins.core_ids),), None) if reason is None else ((), reason)
    enough = [node for node in nodes if len(node.free_core_ids) >= pins.count]
    enough.sort(key=lambda node: (len(node.free_core_ids), node.node_id))
    if not enough:
        return (), _too_few_cores(pins.count, nodes)
    return tuple(PinOption(nodes=(node,), core_ids=choose_cores(node, pins.count)) for node in enough), None


def choose_cores(node: CandidateNode, count: int) -> tuple[int, ...]:
    """Returns `count` free cores of a node that has as many, sorted, on as few physical cores as possible.

    Takes whole physical cores first, then the rest of the partly used core that it fills best, so that no other
    free core is split.
    """
    whole, partial = _physical_cores(node)
    chosen: list[int] = []
    for core in sorted(whole, key=lambda threads: (-len(threads), threads)):
        if len(core) <= count - len(chosen):
            chosen += core
    unused = [core for core in whole if core[0] not in chosen]
    while len(chosen) < count:
        rest = count - len(chosen)
        core = _best_for(rest, partial) or _best_for(rest, unused) or max(partial, key=len)
        partial = [other for other in partial if other != core]
        chosen += core[:rest]
    return tuple(sorted(chosen))


def _best_for(rest: int, cores: Iterable[Threads]) -> Threads | None:
    return min((core for core in cores if len(core) >= rest), key=lambda core: (len(core), core), default=None)


def _physical_cores(node: CandidateNode) -> tuple[list[Threads], list[Threads]]:
    """Returns the free threads of physical cores that are entirely free, and of those that are partly free."""
    own, free = {*node.core_ids}, {*node.free_core_ids}
    grouped = [own & {*threads} for threads in node.siblings]
    single = [{core_id} for core_id in own.difference(*grouped)]
    cores = [threads for threads in (*grouped, *single) if threads & free]
    whole = [tuple(sorted(threads)) for threads in cores if threads <= free]
    partial = [tuple(sorted(threads & free)) for threads in cores if not threads <= free]
    return sorted(whole), sorted(partial)


def _missing_cores(core_ids: Sequence[int], nodes: Sequence[CandidateNode], *, one_node: bool) -> str | None:
    if not nodes:
        return f"needs to pin {_cores(core_ids)}, the host does not report its cores"
    node_of = {core_id: node.node_id for node in nodes for core_id in node.core_ids}
    free = {core_id for node in nodes for core_id in node.free_core_ids}
    unknown = [core_id for core_id in core_ids if core_id not in node_of]
    if unknown:
        do = "does" if len(unknown) == 1 else "do"
        return f"{_cores(unknown)} {do} not exist, the host has {core_ranges(node_of)}"
    pinned = [core_id for core_id in core_ids if core_id not in free]
    if pinned:
        names = {node.pinned_by[core_id]: None for core_id in pinned for node in nodes if core_id in node.pinned_by}
        by = f" by {' and '.join(names)}" if names else ""
        return f"{_cores(pinned)} {'is' if len(pinned) == 1 else 'are'} already pinned{by}"
    if one_node and len({node_of[core_id] for core_id in core_ids}) > 1:
        where = ", ".join(f"core {core_id} is on node {node_of[core_id]}" for core_id in core_ids)
        return f"pinned cores are not on one NUMA node: {where}"
    return None


def _too_few_cores(count: int, nodes: Sequence[CandidateNode]) -> str:
    required = f"needs {number_of(count, 'unpinned core')} on one NUMA node"
    if not nodes:
        return f"{required}, the host does not report its cores"
    free = (
        f"{len(node.free_core_ids)} of {len(node.core_ids)}{' free' if number == 0 else ''} on node {node.node_id}"
        for number, node in enumerate(nodes)
    )
    return f"{required}, {', '.join(free)}"


def _cores(core_ids: Sequence[int]) -> str:
    *others, last = map(str, core_ids)
    return f"cores {', '.join(others)} and {last}" if others else f"core {last}"


def core_ranges(core_ids: Iterable[int]) -> str:
    """Returns the ids as ranges, such as `0-7,16`."""
    runs: list[list[int]] = []
    for core_id in sorted(core_ids):
        if runs and core_id == runs[-1][-1] + 1:
            runs[-1].append(core_id)
        else:
            runs.append([core_id])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
