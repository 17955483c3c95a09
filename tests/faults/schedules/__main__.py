"""`python -m tests.faults.schedules`: as `./dev faults --schedules` and `--operations`."""

from __future__ import annotations

import argparse
import secrets
import sys

from innkeeper.reactor import run as run_with_reactor  # it installs the reactor, so it comes first


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.schedules")
    parser.add_argument("--examples", type=int, default=0, help="number of random schedules")
    parser.add_argument("--steps", type=int, default=50, help="maximum number of steps of a schedule")
    parser.add_argument("--as-found", action="store_true", help="do not shorten a failing schedule")
    parser.add_argument("--operations", type=int, default=0, help="run this many concurrent operations")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="repeats a run")
    options = parser.parse_args()

    async def go() -> bool:
        from common.process.logging import configure_logging
        from tests.faults.schedules import reports

        configure_logging(level="error")
        held = True
        if options.examples:
            held = await reports.schedules(options.examples, options.steps, options.seed, shrinks=not options.as_found)
        if options.operations:
            held &= await reports.operations(options.operations, options.seed)
        return held

    return 0 if run_with_reactor(go) else 1


if __name__ == "__main__":
    sys.exit(main())
