"""The place of a VM on its host and its claims there, as its page shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from common.hosts.capacity import Capacity
from regiond.hosts.model import GuestView
from regiond.hosts.numa.numa_model import NumaNodeView
from regiond.ledger.model import GuestClaims, read_pages_key
from regiond.ui.texts import text
from regiond.ui.views import formats

ROW, PITCH, PAIR_GAP, LINE, LEFT = 32, 10, 2, 20, 14.5  # cells of a line; the rest in units of the drawing
NARROWEST = 200  # of the drawing: the cells of a small host do not fill the card


@frozen(kw_only=True)
class Cell:
    """One hardware thread in the drawing."""

    x: float
    y: float
    is_mine: bool


@frozen(kw_only=True)
class Line:
    """A line of the drawing; `label` is the number of the node, and empty on its further lines."""

    label: str
    y: float
    cells: tuple[Cell, ...]


@frozen(kw_only=True)
class CoreStrip:
    """All hardware threads of a host, with those of one VM filled."""

    lines: tuple[Line, ...]
    width: float
    height: int
    description: str


@frozen(kw_only=True)
class Fact:
    label: str
    text: str


@frozen(kw_only=True)
class PlacementCard:
    """`strip` is None for a VM without pinned cores, which runs on any core of its host."""

    strip: CoreStrip | None
    facts: tuple[Fact, ...]


@frozen(kw_only=True)
class Chosen:
    """The task that placed the VM; `score` is None if it is not known for the host."""

    task_id: int
    score: float | None


@frozen(kw_only=True)
class Place:
    """The facts of the card. Without `capacity`, the user may not see the host: only the claims are shown."""

    host_name: str
    guest: GuestView | None
    claims: GuestClaims
    nodes: Sequence[NumaNodeView] = ()
    capacity: Capacity | None = None
    storage_pools: Mapping[int, str] = field(factory=dict)  # names by row id


def placement_card(place: Place) -> PlacementCard:
    pinned = frozenset(place.claims.discrete.pinned_core_ids)
    return PlacementCard(
        strip=core_strip(place.host_name, place.nodes, pinned) if pinned and place.nodes else None,
        facts=tuple(_facts(place, pinned)),
    )


def chosen_by(task_id: int, explanation: Mapping[str, Any] | None, host_name: str | None) -> Chosen | None:
    """Returns the choice that a compose stored; None if it stored none."""
    if not explanation:
        return None
    scores = {one["host"]: one["score"] for one in explanation.get("fitting", ())}
    return Chosen(task_id=task_id, score=scores.get(host_name or explanation.get("chosen")))


def _facts(place: Place, pinned: frozenset[int]) -> Iterator[Fact]:
    claims, capacity = place.claims, place.capacity
    nodes = _nodes_of(place, pinned)
    if nodes:
        yield Fact(label=text("NUMA node") if len(nodes) == 1 else text("NUMA nodes"), text=", ".join(map(str, nodes)))
    elif place.nodes:
        yield Fact(label=text("NUMA node"), text=text("any"))
    if pinned:
        yield Fact(label=text("Pinned cores"), text=formats.ranges(pinned))
    cores = (
        text("{n} of {total} placeable", n=claims.cores, total=capacity.cores.claimable)
        if capacity
        else str(claims.cores)
    )
    yield Fact(label=text("Claimed cores"), text=cores)
    if claims.memory_mib:
        total = formats.memory(capacity.memory_mib.claimable) if capacity else ""
        yield Fact(label=text("Claimed RAM"), text=_of(formats.memory(claims.memory_mib), total))
    yield from _pages(place)
    for port, functions in sorted(claims.discrete.functions.items()):
        offered = capacity.virtual_functions.get(port) if capacity else None
        amount = _of(str(functions), str(offered.total) if offered else "")
        yield Fact(label=text("Virtual functions"), text=text("{amount} on {port}", amount=amount, port=port))
    for pool_id, size_bytes in sorted(claims.storage_bytes.items()):
        name = place.storage_pools.get(pool_id)
        pool = capacity.storage_pools.get(name) if capacity and name else None
        yield Fact(
            label=text("Storage in {name}", name=name) if name else text("Storage"),
            text=_of(formats.storage(size_bytes), formats.storage(pool.claimable) if pool else ""),
        )


def _of(amount: str, total: str) -> str:
    return text("{amount} of {total}", amount=amount, total=total) if total else amount


def _pages(place: Place) -> Iterator[Fact]:
    totals = {(node.node_id, pages.size_kib): pages.pages.total for node in place.nodes for pages in node.huge_pages}
    for key, pages in sorted(place.claims.discrete.huge_pages.items()):
        node_id, size_kib = read_pages_key(key)
        total = totals.get((node_id, size_kib))
        amount = _of(formats.number(pages), formats.number(total) if total else "")
        each = text(
            "{pages} on node {node}, {size} each",
            pages=amount,
            node=node_id,
            size=formats.memory(size_kib // 1024),
        )
        yield Fact(label=text("Huge pages"), text=each)


def _nodes_of(place: Place, pinned: Iterable[int]) -> list[int]:
    """Returns the nodes that the VM is bound to, by its cores, huge pages or virtual functions."""
    cores = {*pinned}
    pages = {read_pages_key(key)[0] for key in place.claims.discrete.huge_pages}
    of_guest = place.guest.id if place.guest else None
    return [
        node.node_id
        for node in place.nodes
        if cores & {*node.cores.total} or node.node_id in pages or of_guest in node.guest_ids
    ]


def core_strip(host_name: str, nodes: Iterable[NumaNodeView], pinned: frozenset[int]) -> CoreStrip:
    """Returns the drawing of all cores of the host, with those that the VM has pinned filled."""
    lines: list[Line] = []
    for node in nodes:
        core_ids = node.cores.total
        for first in range(0, len(core_ids), ROW):
            y = len(lines) * LINE + 0.5
            cells = tuple(
                Cell(x=_x(index), y=y, is_mine=core_id in pinned)
                for index, core_id in enumerate(core_ids[first : first + ROW])
            )
            lines.append(Line(label="" if first else str(node.node_id), y=y, cells=cells))
    return CoreStrip(
        lines=tuple(lines),
        width=max(NARROWEST, _x(max((len(line.cells) for line in lines), default=0))),
        height=max(1, len(lines)) * LINE - 6,
        description=text("Cores of {host}: this VM has {cores}", host=host_name, cores=formats.ranges(pinned)),
    )


def _x(index: int) -> float:
    return LEFT + index * PITCH + (index // 2) * PAIR_GAP
