"""Formats results: every point for the terminal, totals of each kind for the page. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from common.words.phrases import number_of
from tests.faults.cells import CellResult, Victim

GREEN, RED, SKIPPED, MISSING = "●", "✗", "\N{EN DASH}", " "
_COLOURS = {GREEN: "\033[32m", RED: "\033[31m"}
_PLAIN = "\033[0m"


def marker(result: CellResult | None) -> str:
    if result is None:
        return MISSING
    if result.skipped is not None:
        return SKIPPED
    return RED if result.faults else GREEN


def every_point(results: Iterable[CellResult], *, colour: bool = False) -> str:
    """A row for each point, in the order of `results`, then reasons and faults."""
    found = list(results)
    by_cell = {(one.cell.kind, one.cell.point, one.cell.victim): one for one in found}
    rows = list(dict.fromkeys((one.cell.kind, one.cell.point) for one in found))
    width = max((len(f"{kind}  {point}") for kind, point in rows), default=0)
    lines = [f"{'':{width}}  " + "  ".join(victim.value for victim in Victim)]
    for kind, point in rows:
        markers = [marker(by_cell.get((kind, point, victim))) for victim in Victim]
        cells = [_painted(one, colour=colour) + " " * (len(v) - 1) for one, v in zip(markers, Victim, strict=True)]
        lines.append(f"{f'{kind}  {point}':{width}}  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, "", *_reasons(found), *_faults(found)])


def _painted(one: str, *, colour: bool) -> str:
    return f"{_COLOURS[one]}{one}{_PLAIN}" if colour and one in _COLOURS else one


def _reasons(results: Iterable[CellResult]) -> list[str]:
    return [
        f"{SKIPPED} {victims}: {reason} ({number_of(count, 'cell')})" for reason, victims, count in reasons(results)
    ]


def reasons(results: Iterable[CellResult]) -> list[tuple[str, str, int]]:
    """Why cells were not tried: the reason, its victims, and the number of cells."""
    found: dict[str, list[Victim]] = {}
    for one in results:
        if one.skipped is not None:
            found.setdefault(one.skipped, []).append(one.cell.victim)
    return [(reason, ", ".join(dict.fromkeys(victims)), len(victims)) for reason, victims in found.items()]


def _faults(results: Iterable[CellResult]) -> list[str]:
    return [
        f"{RED} {one.cell.name}: {one.outcome}\n" + "\n".join(f"    {fault}" for fault in one.faults)
        for one in results
        if one.faults
    ]


def summary(results: Iterable[CellResult]) -> str:
    """One line with the numbers of tried, green, red and skipped cells."""
    found = list(results)
    skipped = sum(one.skipped is not None for one in found)
    red = sum(bool(one.faults) for one in found)
    tried = len(found) - skipped
    return f"{number_of(tried, 'cell')} tried, {tried - red} green, {red} red; {skipped} not tried, with reasons"


def of_kinds(results: Iterable[CellResult]) -> list[list[str]]:
    """Rows of the page: a kind, then for each victim the green points of those tried."""
    found = list(results)
    rows = []
    for kind in dict.fromkeys(one.cell.kind for one in found):
        own = [one for one in found if one.cell.kind == kind]
        rows.append([kind, *(_count(one for one in own if one.cell.victim is victim) for victim in Victim)])
    return rows


def _count(results: Iterable[CellResult]) -> str:
    tried = [one for one in results if one.skipped is None]
    green = sum(not one.faults for one in tried)
    if not tried:
        return SKIPPED
    return f"{GREEN} {green}" if green == len(tried) else f"{RED} {green} of {len(tried)}"


def of_times(results: Iterable[CellResult]) -> list[list[str]]:
    """Rows of the page: a victim, its green cells, and the median and longest recovery in seconds."""
    found = [one for one in results if one.skipped is None and not one.faults]
    rows = []
    for victim in Victim:
        times = sorted(one.recovered_s for one in found if one.cell.victim is victim)
        if times:
            rows.append([victim.value, str(len(times)), f"{nearest(times, 0.5):.2f}", f"{times[-1]:.2f}"])
    return rows


def nearest(times: Sequence[float], share: float) -> float:
    """The quantile `share` of sorted `times`, by nearest rank."""
    return times[max(0, math.ceil(share * len(times)) - 1)]


def as_markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
