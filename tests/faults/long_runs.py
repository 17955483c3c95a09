"""The long runs of `./dev faults`: random schedules, concurrent load, and the soak test."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from innkeeper.reactor import run as run_with_reactor  # it installs the reactor, so it comes first

STEPS = 50


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schedules", type=int, metavar="N", help="run N random schedules instead of the matrix")
    parser.add_argument("--operations", type=int, metavar="N", help="run N operations of 32 concurrent callers")
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="soak test with kills; --real: on LXD and libvirt"
    )


def is_selected(options: argparse.Namespace) -> bool:
    return any(one is not None for one in (options.schedules, options.operations, options.soak))


def run(options: argparse.Namespace) -> int:
    """Returns the exit status. A soak of ten minutes or more on simulated hosts is written to docs/."""

    async def go() -> bool:
        from common.process.logging import configure_logging
        from tests.faults.schedules import reports

        configure_logging(level="error")
        held = True
        if options.schedules is not None:
            held &= await reports.schedules(options.schedules, STEPS, options.seed)
        if options.operations is not None:
            held &= await reports.operations(options.operations, options.seed)
        if options.soak is not None:
            held &= await _soak(options.soak, options.seed, reports.print_line, real=options.real)
        return held

    return 0 if run_with_reactor(go) else 1


async def _soak(minutes: float, seed: int, say: Callable[[str], None], *, real: bool) -> bool:
    from tests.faults.soak import soak, soak_page, soak_real

    if not real:
        report = await soak.run(minutes, seed, say)
    elif (why := soak_real.why_not()) is not None:
        say(f"skipped: {why}")
        return False
    else:
        report = await soak_real.run(minutes, seed, say)
    say(soak_page.text(report))
    if not real and minutes >= soak_page.PUBLISHED_MINUTES:
        say(f"written: {', '.join(map(str, soak_page.write(soak_page.as_json(report), soak_page.DOCS)))}")
    return report.is_good
