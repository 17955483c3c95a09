"""Writes docs/explanation/faults.md from the results."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType

from common.words.phrases import number_of
from tests.faults.cells import CellResult
from tests.faults.matrix.kind_rows import HEAD, Row, by_hypervisor, days, rows_in, rows_of, totals
from tests.faults.matrix.results import StoredResult
from tests.faults.matrix.table import as_markdown, of_times, reasons, summary

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "faults.md"
LONGEST_FAULT = 300

_HEAD = """\
# The crash matrix

*Written by `./dev faults` from its results; do not edit.*

    ./dev faults                          # every cell, on simulated hosts, with region and rack in one process
    ./dev faults --jobs 8                 # in 8 processes, each with its own region, rack and database
    ./dev faults --only compose           # cells whose name starts with this; can be repeated
    ./dev faults --only clone --page      # and replaces the rows of the kinds that were tried whole on this page
    ./dev faults --real                   # the sample on real processes, and on the lab's LXD, Incus and libvirt
    ./dev faults --real --only deploy --page   # and replaces the rows of the kinds and hypervisors that were tried
    ./dev faults --again --seed 7         # deletes earlier results; another order

A **cell** is a scenario, a point in it, and a victim. Running the scenario once without a fault finds its points: both
sides of every commit of the region, of every call from the region to a rack, and of every call of a rack to the host.
At the point, the victim is killed once:

| Victim | What happens |
| --- | --- |
| region | it no longer reaches database, links or clients; another starts on the same database and folder |
| rack | its links break and its call to the host ends there; another starts with the same identity |
| link | the connection between the two breaks; both continue, and the rack finishes its call |
| answer | the host or the rack has acted, and its answer is lost |
| host | the hypervisor does not answer for 0.2 seconds |
| connection | the connection whose transaction ends there breaks: before its commit, or after it (lost answer) |
| database | every connection breaks, and for 0.2 seconds no new one is accepted |

Meanwhile the caller repeats the request with the same idempotency key until it is answered. A cell is green if

- within 15 seconds the operation ends in a state that its scenario expects, and the caller learns which;
- no operation is open and no lease is held;
- the hosts hold exactly the guests and volumes of the machines, each created or removed once;
- the hosts hold exactly the copies of images that the region knows;
- the ledger is consistent and the reconciler finds no discrepancy;
- no foreign guest changed in any value;
- a repeat at the end is answered with the same operation.
"""

_EVERY_POINT = "Every point, in one process"
_SAMPLE = "A sample, with real processes"
_REAL = """\
PostgreSQL, region, rack and hypervisor are processes and are killed by `SIGKILL`.
"""


def text(
    here: Sequence[StoredResult],
    real: Sequence[StoredResult],
    *,
    before: str = "",
    others: Collection[str] = (),
    keep_sample: bool = False,
) -> str:
    """The whole page. A section without results stays as it is `before`, since it was made on another machine.

    `others` are all kinds, in the order of the table, if this run tried some: the rows of the others stay as they are.
    With `keep_sample`, rows of the sample that are not in `real` stay, too.
    """
    every_point, sample = _section_of(before, _EVERY_POINT), _section_of(before, _SAMPLE)
    kept = {kind: row for kind, row in rows_in("\n".join(every_point)).items() if kind in others}
    kept_real = rows_in("\n".join(sample)) if keep_sample else {}
    tried = by_hypervisor(real)
    parts = [
        _HEAD,
        *(_section(_EVERY_POINT, here, kept=kept, order=others) if here else every_point),
        *(_section(_SAMPLE, tried, _REAL, kept=kept_real, order=[*kept_real, *rows_of(tried)]) if tried else sample),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _section_of(page: str, title: str) -> list[str]:
    """Empty if the page has no such section."""
    _, head, rest = page.partition(f"## {title}\n")
    return [head + rest.partition("\n## ")[0]] if head else []


def _section(
    title: str,
    stored: Sequence[StoredResult],
    more: str = "",
    *,
    kept: Mapping[str, Row] = MappingProxyType({}),
    order: Collection[str] = (),
) -> list[str]:
    results = [one.result for one in stored]
    made = f"Tried {_days(stored)} on {this_machine()}.\n"
    rows = {**kept, **rows_of(stored)}
    places = {kind: place for place, kind in enumerate(order)}
    in_order = sorted(rows.values(), key=lambda row: places.get(row[0], -1))
    parts = [f"## {title}\n", *([more] if more else []), made, f"{summary(results)}.\n"]
    if kept:
        green, tried = totals(in_order)
        parts.append(
            f"The other kinds were tried in earlier runs, on the commits in their rows; with them "
            f"{number_of(tried, 'cell')} were tried, {green} green.\n"
        )
    parts += [as_markdown(HEAD, in_order), ""]
    if untried := [f"`{kind}`" for kind in order if kind not in rows]:
        parts.append(f"Not every cell was tried of {', '.join(untried)}: they have no row.\n")
    parts += ["Seconds from the fault until the caller had the outcome, in this run:\n", _times(results), ""]
    if why := reasons(results):
        parts += [
            "Not tried:\n",
            *(f"- {victims} ({number_of(count, 'cell')}): {reason}" for reason, victims, count in why),
            "",
        ]
    for one in results:
        parts += [f"- **{one.cell.name}** is red: {shorten(fault, LONGEST_FAULT)}" for fault in one.faults]
    return [*parts, ""]


def _times(results: Sequence[CellResult]) -> str:
    return as_markdown(["victim", "cells", "median", "longest"], of_times(results))


def _days(stored: Sequence[StoredResult]) -> str:
    found = days(stored)
    return f"from {found}" if " to " in found else f"on {found}"


def this_machine() -> str:
    """Cores, memory and versions, without the host name."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
