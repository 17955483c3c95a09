"""The crash matrix: every operation, met at each of its points by each victim.

Tried in several processes, on simulated hosts; what was green before is not tried again. The page
docs/explanation/faults.md is written from the results of all, unless only some were asked for.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from innkeeper.running import run as run_with_reactor  # it installs the reactor, so it comes first
from tests.faults import long
from tests.faults import real as real_processes
from tests.faults.cells import CellResult
from tests.faults.matrix.page import PAGE, text
from tests.faults.matrix.results import Results
from tests.faults.matrix.table import every_point, mark, summary

JOBS = 2 * (os.cpu_count() or 1)  # a cell mostly waits
RESULTS = Path(__file__).parents[2] / "var" / "faults" / "results.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="BEGINNING", help="cells whose name begins so")
    parser.add_argument("--seed", type=int, default=1, help="decides the order")
    parser.add_argument("--again", action="store_true", help="forget all results")
    parser.add_argument(
        "--jobs", type=int, default=JOBS, metavar="N", help="so many processes at most try cells; 1: this one"
    )
    parser.add_argument("--real", action="store_true", help="the sample on real processes and in the lab, instead")
    long.add_to(parser)
    asked = parser.parse_args()
    if long.is_asked(asked):
        return long.run(asked)
    results = Results(RESULTS, again=asked.again)
    names, broken = _real(results, asked) if asked.real else _here(results, asked)
    if not asked.only:
        here = results.all(real=False) if asked.real else results.of(names, real=False)
        PAGE.write_text(text(here, results.all(real=True)))
    wanted = [kept.result for kept in results.of(names, real=asked.real)]
    print(every_point(wanted, colour=sys.stdout.isatty()), summary(wanted), sep="\n")
    missing = len(names) - len(wanted)
    if missing:
        print(f"{missing} cells were not reached.")
    return 1 if broken or missing or any(one.faults for one in wanted) else 0


def _here(results: Results, asked: argparse.Namespace) -> tuple[list[str], int]:
    """The names of the cells that were wanted, in the order of the table; 1 when a kind fails even without a fault."""
    names: list[str] = []

    async def run() -> int:
        from tests.faults.matrix.children import on_processes  # these come after the reactor
        from tests.faults.matrix.databases import Databases, server
        from tests.faults.matrix.running import Wanted, run
        from tests.faults.output import errors_only

        errors_only()
        with server() as dsn, tempfile.TemporaryDirectory(prefix="innkeeper-faults-") as made:
            tried = run(
                await Databases.on(dsn), Path(made), wanted=Wanted(tuple(asked.only)), seed=asked.seed,
                done=results.done(real=False), planned=names,
                elsewhere=partial(on_processes, jobs=asked.jobs) if asked.jobs > 1 else None,
            )  # fmt: skip
            try:
                async for result in tried:
                    results.add(result)
                    _tell(result)
            except AssertionError as error:
                print(error)
                return 1
        return 0

    return names, run_with_reactor(run)


def _real(results: Results, asked: argparse.Namespace) -> tuple[list[str], int]:
    done = results.done(real=True)
    kept = [name for name in sorted(done) if not asked.only or name.startswith(tuple(asked.only))]
    return [*kept, *_told(results, real_processes.run(asked.only, asked.seed, done=done))], 0


def _told(results: Results, tried: Iterator[CellResult]) -> Iterator[str]:
    for result in tried:
        results.add(result)
        _tell(result)
        yield result.cell.name


def _tell(result: CellResult) -> None:
    """On standard error, as it comes."""
    if result.skipped is None:
        now = time.strftime("%H:%M:%S")
        print(
            now, mark(result), result.cell.name, result.outcome, *result.faults, sep="  ", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
