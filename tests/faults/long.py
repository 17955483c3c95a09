"""What `./dev faults` tries beside the matrix, for as long as is wanted: schedules, a crowd, the soak."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from innkeeper.running import run as run_with_reactor  # it installs the reactor, so it comes first

STEPS = 50


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schedules", type=int, metavar="N", help="so many random schedules instead of the matrix")
    parser.add_argument("--operations", type=int, metavar="N", help="so many operations of 32 callers at once")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="callers and deaths; --real: on LXD and libvirt")


def is_asked(asked: argparse.Namespace) -> bool:
    return any(one is not None for one in (asked.schedules, asked.operations, asked.soak))


def run(asked: argparse.Namespace) -> int:
    """The exit status. A soak of ten minutes or more on simulated hosts is written to docs/."""

    async def go() -> bool:
        from common.logging import configure_logging
        from tests.faults.schedules import trying

        configure_logging(level="error")
        held = True
        if asked.schedules is not None:
            held &= await trying.schedules(asked.schedules, STEPS, asked.seed)
        if asked.operations is not None:
            held &= await trying.operations(asked.operations, asked.seed)
        if asked.soak is not None:
            held &= await _soak(asked.soak, asked.seed, trying.say, real=asked.real)
        return held

    return 0 if run_with_reactor(go) else 1


async def _soak(minutes: float, seed: int, say: Callable[[str], None], *, real: bool) -> bool:
    from tests.faults import soak, soak_page, soak_real

    if not real:
        report = await soak.run(minutes, seed, say)
    elif (why := soak_real.why_not()) is not None:
        say(f"not tried: {why}")
        return False
    else:
        report = await soak_real.run(minutes, seed, say)
    say(soak_page.text(report))
    if not real and minutes >= soak_page.WORTH_KEEPING:
        say(f"written: {', '.join(map(str, soak_page.write(soak_page.plain(report), soak_page.DOCS)))}")
    return report.is_good
