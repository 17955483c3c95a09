"""The rows of the page, one for each kind: its green cells, and when and on which commit they were tried. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from tests.faults.cells import Victim
from tests.faults.matrix.results import StoredResult
from tests.faults.matrix.table import of_kinds

HEAD = ("kind", *(victim.value for victim in Victim), "green", "tried on", "commit")
UNKNOWN = "not recorded"  # of results that were stored without a commit
_ROW = re.compile(r"^\| (?!kind |---|victim )(.+) \|$", re.MULTILINE)
_HYPERVISOR = re.compile(r"\((LXD|Incus|libvirt)\)$")  # at the end of a point
_GREEN = re.compile(r"(\d+) of (\d+)")

Row = Sequence[str]


def rows_of(stored: Iterable[StoredResult]) -> Mapping[str, Row]:
    """Returns the row of each kind, in the order of the results."""
    by_kind: dict[str, list[StoredResult]] = {}
    for one in stored:
        by_kind.setdefault(one.result.cell.kind, []).append(one)
    return {kind: _row(own) for kind, own in by_kind.items()}


def by_hypervisor(stored: Iterable[StoredResult]) -> list[StoredResult]:
    """Returns the results with kinds of their own for each hypervisor of the lab, such as `compose on Incus`."""
    return [_with_hypervisor(one) for one in stored]


def _with_hypervisor(stored: StoredResult) -> StoredResult:
    cell = stored.result.cell
    found = _HYPERVISOR.search(cell.point)
    if found is None:
        return stored
    return evolve(stored, result=evolve(stored.result, cell=evolve(cell, kind=f"{cell.kind} on {found[1]}")))


def _row(own: Sequence[StoredResult]) -> Row:
    (counts,) = of_kinds(one.result for one in own)
    tried = [one for one in own if one.result.skipped is None]
    green = sum(not one.result.faults for one in tried)
    commits = dict.fromkeys(one.commit or UNKNOWN for one in sorted(tried, key=lambda one: one.at))
    return [*counts, f"{green} of {len(tried)}", days(tried or own), ", ".join(commits)]


def days(stored: Iterable[StoredResult]) -> str:
    times = [one.at for one in stored]
    first, last = (f"{found(times):%-d %B %Y}" for found in (min, max))
    return first if first == last else f"{first} to {last}"


def rows_in(section: str) -> Mapping[str, Row]:
    """Returns the rows of kinds that a section of an earlier page has."""
    found = (line.split(" | ") for line in _ROW.findall(section))
    return {row[0]: row for row in found if len(row) == len(HEAD)}


def totals(rows: Iterable[Row]) -> tuple[int, int]:
    """Returns the numbers of green and of tried cells."""
    counts = [_GREEN.fullmatch(row[HEAD.index("green")]) for row in rows]
    pairs = [(int(one[1]), int(one[2])) for one in counts if one is not None]
    return sum(green for green, _ in pairs), sum(tried for _, tried in pairs)
