"""python -m tests.faults.schedules: as `./dev faults --schedules`, without the crash matrix beside it."""

from __future__ import annotations

import argparse
import secrets
import sys

from innkeeper.running import run as run_with_reactor  # it installs the reactor, so it comes first


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.schedules")
    parser.add_argument("--examples", type=int, default=0, help="random schedules to try")
    parser.add_argument("--steps", type=int, default=50, help="the most steps of one")
    parser.add_argument("--as-found", action="store_true", help="tell a failing schedule at once, not the shortest")
    parser.add_argument("--operations", type=int, default=0, help="concurrent operations of a crowd")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="makes a run the same again")
    asked = parser.parse_args()

    async def go() -> bool:
        from common.logging import configure_logging
        from tests.faults.schedules import trying

        configure_logging(level="error")
        held = True
        if asked.examples:
            held = await trying.schedules(asked.examples, asked.steps, asked.seed, shrinks=not asked.as_found)
        if asked.operations:
            held &= await trying.operations(asked.operations, asked.seed)
        return held

    return 0 if run_with_reactor(go) else 1


if __name__ == "__main__":
    sys.exit(main())
