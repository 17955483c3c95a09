"""Attacks a deployment while a well-behaved client continues, and says whether that client noticed.

Exit status: 0 if every limit was met, 1 if one was missed or the run failed, 2 for a wrong argument, 3 if no limit was
missed but latencies were not judged because the host of this (virtual) machine took CPU time away.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.process.logging import configure_logging
from innkeeper.reactor import run as run_with_reactor

if TYPE_CHECKING:
    from tests.abuse.report import Report


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def abuse(only: list[str], *, quick: bool) -> Report:
    """Attacks a deployment of its own in a temporary folder. `only` has names of attacks; empty for all."""
    from tests.abuse.attacks import ATTACKS
    from tests.abuse.judgement import Limits
    from tests.abuse.preparation import start
    from tests.abuse.report import Report
    from tests.abuse.run import FULL, QUICK, observe
    from tests.abuse.stolen_time import CpuTimes
    from tests.bench.machine import this_machine
    from tests.deployment.processes import temporary_deployment

    began, cpu, limits = time.monotonic(), CpuTimes.read(), Limits()
    with temporary_deployment("innkeeper-abuse-") as deployment:
        await start(deployment)
        machine = await this_machine(deployment.dsn)
        attacks = [one for one in ATTACKS if not only or one.name in only]
        found = await observe(deployment, attacks, QUICK if quick else FULL, limits, _say)
    return Report(
        machine=machine, date=datetime.now(UTC).date().isoformat(), took_s=time.monotonic() - began, quick=quick,
        stolen=CpuTimes.read().stolen_since(cpu), limits=limits, observations=found,
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    from tests.abuse.attacks import ATTACKS

    lines = "\n".join(f"  {one.name:17} {one.what}" for one in ATTACKS)
    parser = argparse.ArgumentParser(
        prog="./dev abuse", description=__doc__, epilog=f"attacks:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="shorter attacks: a minute and a half instead of six")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this attack; can be repeated")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write what was measured there")
    options = parser.parse_args()
    unknown = set(options.only) - {one.name for one in ATTACKS}
    if unknown:
        parser.error(f"unknown attack: {', '.join(sorted(unknown))}")
    return options


def main() -> int:
    options = _arguments()
    configure_logging(level="warning")

    async def run() -> int:
        from tests.abuse.report import text

        report = await abuse(options.only, quick=options.quick)
        print(text(report))
        if options.json is not None:
            options.json.write_text(json.dumps(report.plain(), indent=1) + "\n")
        return report.exit_status

    return run_with_reactor(run)


if __name__ == "__main__":
    sys.exit(main())
