"""Which cores of a host a machine gets for itself. Pure.

Threads of one physical core are kept together: who shares a core shares its caches, and sees what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from regiond.placement.model import NodeOffer, PinWish

Threads = tuple[int, ...]  # of one physical core, sorted


@frozen(kw_only=True)
class PinOption:
    """One way to pin: these cores, whose nodes these are. Without cores, `nodes` is where anything else may be."""

    nodes: tuple[NodeOffer, ...]
    core_ids: tuple[int, ...] = ()


def pin_options(
    pins: PinWish, nodes: Sequence[NodeOffer], *, one_node: bool
) -> tuple[tuple[PinOption, ...], str | None]:
    """Every way to give the cores that were asked for, the best first, or the reason why there is none.

    Cores asked for by number can be given in one way. For a number of them, each node with enough free ones is a way,
    and that with the fewest comes first, so that big gaps stay.
    """
    if pins.count is None:
        reason = _why_not(pins.core_ids, nodes, one_node=one_node)
        asked = {*pins.core_ids}
        used = tuple(node for node in nodes if asked & {*node.core_ids})
        return ((PinOption(nodes=used, core_ids=pins.core_ids),), None) if reason is None else ((), reason)
    enough = [node for node in nodes if len(node.free_core_ids) >= pins.count]
    enough.sort(key=lambda node: (len(node.free_core_ids), node.node_id))
    if not enough:
        return (), _too_few(pins.count, nodes)
    return tuple(PinOption(nodes=(node,), core_ids=pick_cores(node, pins.count)) for node in enough), None


def pick_cores(node: NodeOffer, count: int) -> tuple[int, ...]:
    """`count` free cores of a node that has so many, sorted, on as few physical cores as possible.

    Whole physical cores come first. The rest is of the half-used one that it fills best, so that no other is broken.
    """
    whole, half = _physical_cores(node)
    taken: list[int] = []
    for core in sorted(whole, key=lambda threads: (-len(threads), threads)):
        if len(core) <= count - len(taken):
            taken += core
    unbroken = [core for core in whole if core[0] not in taken]
    while len(taken) < count:
        rest = count - len(taken)
        core = _best_for(rest, half) or _best_for(rest, unbroken) or max(half, key=len)
        half = [other for other in half if other != core]
        taken += core[:rest]
    return tuple(sorted(taken))


def _best_for(rest: int, cores: Iterable[Threads]) -> Threads | None:
    return min((core for core in cores if len(core) >= rest), key=lambda core: (len(core), core), default=None)


def _physical_cores(node: NodeOffer) -> tuple[list[Threads], list[Threads]]:
    """Free threads by physical core: of those that are wholly free, and of those that are partly."""
    here, free = {*node.core_ids}, {*node.free_core_ids}
    told = [here & {*threads} for threads in node.siblings]
    alone = [{core_id} for core_id in here.difference(*told)]
    cores = [threads for threads in (*told, *alone) if threads & free]
    whole = [tuple(sorted(threads)) for threads in cores if threads <= free]
    half = [tuple(sorted(threads & free)) for threads in cores if not threads <= free]
    return sorted(whole), sorted(half)


def _why_not(core_ids: Sequence[int], nodes: Sequence[NodeOffer], *, one_node: bool) -> str | None:
    asked = f"pinned cores: {','.join(map(str, core_ids))} asked"
    if not nodes:
        return f"{asked}, the host does not tell which cores it has"
    node_of = {core_id: node.node_id for node in nodes for core_id in node.core_ids}
    free = {core_id for node in nodes for core_id in node.free_core_ids}
    unknown = [core_id for core_id in core_ids if core_id not in node_of]
    if unknown:
        are = f"core {unknown[0]} does" if len(unknown) == 1 else f"cores {_listed(unknown)} do"
        return f"{asked}, {are} not exist, the host has {ranges(node_of)}"
    taken = [core_id for core_id in core_ids if core_id not in free]
    if taken:
        return f"{asked}, {_listed(taken)} {'is' if len(taken) == 1 else 'are'} taken"
    if one_node and len({node_of[core_id] for core_id in core_ids}) > 1:
        where = ", ".join(f"{core_id} is of node {node_of[core_id]}" for core_id in core_ids)
        return f"{asked} of one node, {where}"
    return None


def _too_few(count: int, nodes: Sequence[NodeOffer]) -> str:
    asked = f"pinned cores: {count} on one node asked"
    if not nodes:
        return f"{asked}, the host does not tell which cores it has"
    free = (
        f"{len(node.free_core_ids)} of {len(node.core_ids)}{' free' if number == 0 else ''} on node {node.node_id}"
        for number, node in enumerate(nodes)
    )
    return f"{asked}, {', '.join(free)}"


def _listed(core_ids: Sequence[int]) -> str:
    *others, last = map(str, core_ids)
    return f"{', '.join(others)} and {last}" if others else last


def ranges(core_ids: Iterable[int]) -> str:
    """`0-7,16`."""
    runs: list[list[int]] = []
    for core_id in sorted(core_ids):
        if runs and core_id == runs[-1][-1] + 1:
            runs[-1].append(core_id)
        else:
            runs.append([core_id])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
