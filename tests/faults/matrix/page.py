"""docs/explanation/faults.md, written from the results."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from tests.faults.cells import CellResult, Victim
from tests.faults.matrix.results import Kept
from tests.faults.matrix.table import as_markdown, of_kinds, of_times, reasons, summary

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "faults.md"
LONGEST_FAULT = 300

_HEAD = """\
# What was killed, where, and what came of it

*Written by `./dev faults` from its results; do not edit.*

    ./dev faults                          # every cell, on simulated hosts, with region and rack in one process
    ./dev faults --jobs 8                 # in so many processes at once, each with its own region, rack and database
    ./dev faults --only compose           # those whose name begins so; may be repeated
    ./dev faults --real                   # the sample on real processes, and on real LXD and libvirt of the lab
    ./dev faults --again --seed 7         # forget what was tried before; another order

A **cell** is a kind of operation, a point of it, and a victim. The points are found by running the operation once
without a fault: both sides of every commit of the region, of every call from the region to a rack, and of every call of
a rack to the host. At the point the victim dies, once:

| Victim | What happens |
| --- | --- |
| region | it writes to no database, link or client any more, and another starts on the same database and folder |
| rack | its links break, its thread to the host ends there, and another starts with the same identity |
| link | the connection between the two breaks; both live on, and what the rack was about goes on |
| answer | the host, or the rack, has acted, and what it said is lost |
| host | the hypervisor's daemon answers nobody for a fifth of a second |
| connection | the one whose transaction ends there: before its commit, or after it, with the answer lost |
| database | every connection breaks, and for a fifth of a second there is no new one |

Meanwhile the caller asks again with the same idempotency key until there is an answer. A cell is green when within 15
seconds the operation has ended in an outcome that its kind declares and the caller was told which; when nothing is open
and no lease is held; when hosts hold exactly the guests and volumes of the machines, each made or removed once; when
the ledger adds up and the reconciler finds no difference; when no foreign guest was changed by a byte; and when whoever
asks once more is told of the same operation.
"""

_REAL = """\
Here PostgreSQL, region, rack and hypervisor are processes of their own, and are killed by `SIGKILL`.
"""


def text(here: Sequence[Kept], real: Sequence[Kept]) -> str:
    """The whole page, with what there are results of."""
    parts = [_HEAD]
    if here:
        parts += _section("Every point, in one process", here)
    if real:
        parts += [*_section("A sample, with real processes", real, _REAL)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _section(title: str, kept: Sequence[Kept], more: str = "") -> list[str]:
    results = [one.result for one in kept]
    made = f"Tried {_days(kept)} on {the_machine()}.\n"
    parts = [f"## {title}\n", *([more] if more else []), made, f"{summary(results)}.\n"]
    parts += [_kinds(results), "", "Seconds from the fault until the caller was told:\n", _times(results), ""]
    if why := reasons(results):
        parts += ["Not tried:\n", *(f"- {victims} ({count} cells): {reason}" for reason, victims, count in why), ""]
    for one in results:
        parts += [f"- **{one.cell.name}** is red: {shorten(fault, LONGEST_FAULT)}" for fault in one.faults]
    return [*parts, ""]


def _kinds(results: Sequence[CellResult]) -> str:
    return as_markdown(["kind", *(victim.value for victim in Victim)], of_kinds(results))


def _times(results: Sequence[CellResult]) -> str:
    return as_markdown(["victim", "cells", "median", "longest"], of_times(results))


def _days(kept: Sequence[Kept]) -> str:
    first, last = (f"{found(one.at for one in kept):%-d %B %Y}" for found in (min, max))
    return f"on {first}" if first == last else f"from {first} to {last}"


def the_machine() -> str:
    """In a few words, without its name."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
