"""The crash matrix: kills each victim at each point of each scenario.

Tries cells on simulated hosts in several processes; cells that were green before are not tried again. Writes
docs/explanation/faults.md from all results, unless --only selects some cells; with --page also then, for the kinds of
which every cell was tried: those of the others stay, each with its day and commit. With --real and --page, the rows of
the sample that were tried are written, one for each hypervisor.
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

from innkeeper.reactor import run as run_with_reactor  # it installs the reactor, so it comes first
from tests.bench.machine import this_commit
from tests.faults import long_runs
from tests.faults import real as real_processes
from tests.faults.cells import CellResult
from tests.faults.matrix.page import PAGE, text
from tests.faults.matrix.results import Results
from tests.faults.matrix.table import every_point, marker, summary

JOBS = 2 * (os.cpu_count() or 1)  # a cell mostly waits
RESULTS = Path(__file__).parents[2] / "var" / "faults" / "results.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="PREFIX", help="cells whose name starts with it")
    parser.add_argument("--seed", type=int, default=1, help="decides the order")
    parser.add_argument("--again", action="store_true", help="delete all earlier results")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="at most N processes; 1: this process")
    parser.add_argument("--real", action="store_true", help="the sample on real processes and in the lab instead")
    parser.add_argument("--page", action="store_true", help="with --only: write the rows of what was tried")
    long_runs.add_to(parser)
    options = parser.parse_args()
    if long_runs.is_selected(options):
        return long_runs.run(options)
    results = Results(RESULTS, again=options.again, commit=this_commit())
    names, broken = _real(results, options) if options.real else _in_process(results, options)
    if not options.only:
        in_process = results.all(real=False) if options.real else results.of(names, real=False)
        PAGE.write_text(text(in_process, results.all(real=True), before=PAGE.read_text()))
    elif options.page and options.real:
        tried = results.of(names, real=True)
        PAGE.write_text(text([], tried, before=PAGE.read_text(), keep_sample=True))
    elif options.page:
        _write_whole_kinds(results, names, options.only)
    wanted = [stored.result for stored in results.of(names, real=options.real)]
    print(every_point(wanted, colour=sys.stdout.isatty()), summary(wanted), sep="\n")
    missing = len(names) - len(wanted)
    if missing:
        print(f"{missing} cells were not tried.")
    return 1 if broken or missing or any(one.faults for one in wanted) else 0


def _write_whole_kinds(results: Results, names: list[str], only: list[str]) -> None:
    """Writes the rows of the kinds that `only` selects whole and of which every cell has a result."""
    from tests.faults.scenarios import SCENARIOS  # after the reactor

    found = results.of(names, real=False)
    left = {*names} - {one.result.cell.name for one in found}
    whole = {kind for kind in SCENARIOS if f"{kind}/".startswith(tuple(only))}
    whole -= {name.partition("/")[0] for name in left}
    chosen = [one for one in found if one.result.cell.kind in whole]
    if chosen:
        PAGE.write_text(text(chosen, [], before=PAGE.read_text(), others=[*SCENARIOS]))


def _in_process(results: Results, options: argparse.Namespace) -> tuple[list[str], int]:
    """The names of the wanted cells in the order of the table, and 1 if a scenario fails even without a fault."""
    names: list[str] = []

    async def run() -> int:
        from tests.faults.matrix.cell_runs import Filter, run  # these come after the reactor
        from tests.faults.matrix.databases import Databases, server
        from tests.faults.matrix.worker_processes import on_processes
        from tests.faults.output import errors_only

        errors_only()
        with server() as dsn, tempfile.TemporaryDirectory(prefix="innkeeper-faults-") as made:
            tried = run(
                await Databases.on(dsn), Path(made), wanted=Filter(tuple(options.only)), seed=options.seed,
                done=results.done(real=False), planned=names,
                workers=partial(on_processes, jobs=options.jobs) if options.jobs > 1 else None,
            )  # fmt: skip
            try:
                async for result in tried:
                    results.add(result)
                    _print(result)
            except AssertionError as error:
                print(error)
                return 1
        return 0

    return names, run_with_reactor(run)


def _real(results: Results, options: argparse.Namespace) -> tuple[list[str], int]:
    done = results.done(real=True)
    earlier = [name for name in sorted(done) if not options.only or name.startswith(tuple(options.only))]
    return [*earlier, *_stored(results, real_processes.run(options.only, options.seed, done=done))], 0


def _stored(results: Results, tried: Iterator[CellResult]) -> Iterator[str]:
    for result in tried:
        results.add(result)
        _print(result)
        yield result.cell.name


def _print(result: CellResult) -> None:
    """On standard error, as soon as the cell has ended."""
    if result.skipped is None:
        now = time.strftime("%H:%M:%S")
        print(
            now, marker(result), result.cell.name, result.outcome, *result.faults, sep="  ", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
