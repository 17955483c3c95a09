"""The core map of a NUMA node: each hardware thread's state, and the same facts as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from attrs import evolve, frozen

from regiond.hosts.model import GuestView
from regiond.hosts.numa.numa_model import NumaNodeView
from regiond.ui.texts import constant, counted, text
from regiond.ui.views import formats

WIDTH, GAP, HEIGHT = 60, 2, 30
WORDS = {
    "free": constant("Free"),
    "shared": constant("Shared"),
    "pinned": constant("Pinned by one VM"),
    "others": constant("Pinned, not ours"),
    "double": constant("Pinned by two or more"),
}


@frozen(kw_only=True)
class Cell:
    """One hardware thread; `x` is its place in the drawing of its physical core."""

    core_id: int
    state: str
    x: float
    guests: tuple[str, ...]
    is_marked: bool


@frozen(kw_only=True)
class PhysicalCore:
    cells: tuple[Cell, ...]
    width: int


@frozen(kw_only=True)
class CoreRow:
    """Threads with the same state and the same guests."""

    cores: str
    count: int
    state: str
    word: str
    guests: tuple[str, ...]
    is_marked: bool


@frozen(kw_only=True)
class CoreMap:
    node_id: int
    cores: tuple[PhysicalCore, ...]
    rows: tuple[CoreRow, ...]
    description: str


def core_map(node: NumaNodeView, guests: Iterable[GuestView], marked: str = "") -> CoreMap:
    """`marked` is the name of the guest whose cores are outlined.

    A guest without pins runs on any core of the server, so that it is on none of the map.
    """
    by_core = _guests_by_core(guests)
    cells = {core_id: _cell(node, core_id, by_core.get(core_id, ()), marked) for core_id in node.cores.total}
    groups = [group for group in node.cores.siblings if set(group) <= cells.keys()] or [(each,) for each in cells]
    return CoreMap(
        node_id=node.node_id,
        cores=tuple(_physical([cells[core_id] for core_id in group]) for group in sorted(groups)),
        rows=_rows(cells.values()),
        description=_description(node.node_id, list(cells.values()), marked),
    )


def _guests_by_core(guests: Iterable[GuestView]) -> Mapping[int, Sequence[str]]:
    found: dict[int, list[str]] = {}
    for guest in guests:
        for core_id in guest.pinned_core_ids:
            found.setdefault(core_id, []).append(guest.hostname or guest.name)
    return found


def _cell(node: NumaNodeView, core_id: int, guests: Sequence[str], marked: str) -> Cell:
    ours, others = core_id in node.cores.used_by_ours, core_id in node.cores.used_by_others
    if len(guests) > 1 or (ours and others):
        state = "double"
    elif ours:
        state = "pinned"
    else:
        state = "others" if others else "free"
    return Cell(core_id=core_id, state=state, x=0.5, guests=tuple(sorted(guests)), is_marked=marked in guests)


def _physical(cells: Sequence[Cell]) -> PhysicalCore:
    placed = tuple(evolve(cell, x=0.5 + index * (WIDTH + GAP)) for index, cell in enumerate(cells))
    return PhysicalCore(cells=placed, width=len(cells) * (WIDTH + GAP) - 1)


def _rows(cells: Iterable[Cell]) -> tuple[CoreRow, ...]:
    ordered = sorted(cells, key=lambda cell: (cell.state, cell.guests, cell.core_id))
    rows = []
    for (state, guests), found in groupby(ordered, key=lambda cell: (cell.state, cell.guests)):
        same = list(found)
        rows.append(
            CoreRow(
                cores=formats.ranges(cell.core_id for cell in same),
                count=len(same),
                state=state,
                word=WORDS[state],
                guests=guests,
                is_marked=any(cell.is_marked for cell in same),
            )
        )
    return tuple(sorted(rows, key=lambda row: int(row.cores.split("–")[0].split(",")[0])))


def _description(node_id: int, cells: Sequence[Cell], marked: str) -> str:
    counts = ", ".join(
        f"{number} {word.lower()}"
        for state, word in WORDS.items()
        if (number := sum(cell.state == state for cell in cells))
    )
    outlined = text("Outlined: the cores of {marked}.", marked=marked) if marked else ""
    node = counted(
        "Node {node}: {n} core. {counts}.", "Node {node}: {n} cores. {counts}.", len(cells), node=node_id, counts=counts
    )
    return f"{node} {outlined}".rstrip()
