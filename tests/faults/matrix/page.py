"""Writes docs/explanation/faults.md from the results."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from common.phrases import number_of
from tests.faults.cells import CellResult, Victim
from tests.faults.matrix.results import StoredResult
from tests.faults.matrix.table import as_markdown, of_kinds, of_times, reasons, summary

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "faults.md"
LONGEST_FAULT = 300

_HEAD = """\
# The crash matrix

*Written by `./dev faults` from its results; do not edit.*

    ./dev faults                          # every cell, on simulated hosts, with region and rack in one process
    ./dev faults --jobs 8                 # in 8 processes, each with its own region, rack and database
    ./dev faults --only compose           # cells whose name starts with this; can be repeated
    ./dev faults --real                   # the sample on real processes, and on the lab's LXD and libvirt
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


def text(here: Sequence[StoredResult], real: Sequence[StoredResult], *, before: str = "") -> str:
    """The whole page. A section without results stays as it is `before`, since it was made on another machine."""
    parts = [
        _HEAD,
        *(_section(_EVERY_POINT, here) if here else _section_of(before, _EVERY_POINT)),
        *(_section(_SAMPLE, real, _REAL) if real else _section_of(before, _SAMPLE)),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _section_of(page: str, title: str) -> list[str]:
    """Empty if the page has no such section."""
    _, head, rest = page.partition(f"## {title}\n")
    return [head + rest.partition("\n## ")[0]] if head else []


def _section(title: str, stored: Sequence[StoredResult], more: str = "") -> list[str]:
    results = [one.result for one in stored]
    made = f"Tried {_days(stored)} on {this_machine()}.\n"
    parts = [f"## {title}\n", *([more] if more else []), made, f"{summary(results)}.\n"]
    parts += [_kinds(results), "", "Seconds from the fault until the caller had the outcome:\n", _times(results), ""]
    if why := reasons(results):
        parts += [
            "Not tried:\n",
            *(f"- {victims} ({number_of(count, 'cell')}): {reason}" for reason, victims, count in why),
            "",
        ]
    for one in results:
        parts += [f"- **{one.cell.name}** is red: {shorten(fault, LONGEST_FAULT)}" for fault in one.faults]
    return [*parts, ""]


def _kinds(results: Sequence[CellResult]) -> str:
    return as_markdown(["kind", *(victim.value for victim in Victim)], of_kinds(results))


def _times(results: Sequence[CellResult]) -> str:
    return as_markdown(["victim", "cells", "median", "longest"], of_times(results))


def _days(stored: Sequence[StoredResult]) -> str:
    first, last = (f"{found(one.at for one in stored):%-d %B %Y}" for found in (min, max))
    return f"on {first}" if first == last else f"from {first} to {last}"


def this_machine() -> str:
    """Cores, memory and versions, without the host name."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
