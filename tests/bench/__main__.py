"""Measures the figures that the design requires, each against a simple baseline.

python -m tests.bench [--quick] [--strict] [--into FOLDER] [--profile] [--against COMMIT] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from common.process import daemon
from common.process.daemon import install_reactor
from common.process.logging import configure_logging

if TYPE_CHECKING:
    from tests.bench.growth import Curve
    from tests.bench.lines import Line
    from tests.bench.report import Report

FIGURES = (
    "claims", "dry", "lists", "refresh", "refresh-libvirt", "refresh-lxd", "refresh-incus", "compose", "deploy",
    "maas-import", "memory", "ui", "ui-large",
)  # fmt: skip
GROWTH = "growth"
DOCS = Path(__file__).parents[2] / "docs"


async def measure(names: Sequence[str], *, quick: bool, profile: bool = False) -> Report:
    """Measures the figures one after the other, on one database server."""
    from tests.bench import growth, profiling
    from tests.bench.machine import this_machine
    from tests.bench.measuring import Bench, CannotMeasure, durable_server
    from tests.bench.report import Report

    began = time.monotonic()
    lines: list[Line] = []
    curves: tuple[Curve, ...] = ()
    skipped: list[str] = []
    with durable_server() as dsn, tempfile.TemporaryDirectory(prefix="innkeeper-bench-") as made:
        machine = await this_machine(dsn)
        bench = Bench(folder=Path(made), server_dsn=dsn, quick=quick)
        with profiling.watched(dsn, print) if profile else nullcontext():
            for name in names:
                print(f"… {name}", file=sys.stderr, flush=True)
                try:
                    if name == GROWTH:
                        curves = await growth.measure(bench)
                    else:
                        lines += await import_module(f"tests.bench.figures.{name.replace('-', '_')}").measure(bench)
                except CannotMeasure as reason:
                    skipped.append(f"{name}: {reason}")
    return Report(
        machine=machine, date=datetime.now(UTC).date().isoformat(), took_s=time.monotonic() - began, quick=quick,
        lines=lines, curves=curves, skipped=skipped,
    )  # fmt: skip


async def bench(options: argparse.Namespace) -> Report:
    """Measures and prints; writes files if requested."""
    from tests.bench.lines import table
    from tests.bench.report import NOT_MEASURED, write

    names = options.names or [*FIGURES, GROWTH]
    report = await measure(names, quick=options.quick, profile=options.profile)
    print(report.machine.text)
    print(f"took        {report.took_s:.0f} s" + ("; quick: small databases, few repetitions" if options.quick else ""))
    print(table(report.lines))
    for curve in report.curves:
        print(f"growth  {curve.text}")
    for reason in (*NOT_MEASURED, *report.skipped):
        print(f"not measured: {reason}")
    is_whole = not (options.quick or options.names or options.profile)
    into = options.into or (DOCS if is_whole else None)
    if into is not None:
        print("written:", *write(report.plain(), into))
    return report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure the figures that the design requires.")
    known = (*FIGURES, GROWTH)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"figures to measure (default: all): {', '.join(known)}"
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller databases and fewer repetitions: seconds instead of minutes"
    )
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a figure is missed")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="write JSON, plot and page there; a complete run writes to docs/"
    )
    parser.add_argument(
        "--profile", action="store_true", help="show where the time of each measurement goes; slows the measurements"
    )
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="run this commit and another alternately, and print how many times better this one is; with --strict, "
        "exit with status 1 if it is worse in each pair of runs",
    )
    options = parser.parse_args()
    if options.against and (options.profile or options.into):
        parser.error("--against prints ratios only: leave --profile and --into out")
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"unknown figure: {', '.join(sorted(unknown))}")
    return options


def _compare(options: argparse.Namespace) -> int:
    from tests.bench.against import CannotCompare, compare

    try:
        found = compare(options.against, options.names or FIGURES, quick=options.quick)
    except CannotCompare as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(*found, sep="\n")
    return int(options.strict and any(one.is_worse for one in found))


def main() -> None:
    options = _arguments()
    if options.against:
        sys.exit(_compare(options))
    with tempfile.TemporaryDirectory(prefix="ik-bench-lab-", ignore_cleanup_errors=True) as lab:
        os.environ["LAB_DIR"] = lab  # these start their own hypervisors
        install_reactor()
        configure_logging(level="warning")
        made: list[Report] = []

        async def run() -> None:
            made.append(await bench(options))

        status = daemon.run(run(), when_interrupted=1)
    if options.strict and any(report.missed for report in made):
        status = status or 1
    sys.exit(status)


if __name__ == "__main__":
    main()
