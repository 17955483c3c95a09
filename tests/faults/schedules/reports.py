"""Runs schedules and concurrent load for the command line, and prints the results."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path

from tests.faults.schedules import concurrent_load
from tests.faults.schedules.hypothesis_runs import run_on_own_server


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def schedules(examples: int, steps: int, seed: int, *, shrinks: bool = True) -> bool:
    """Returns whether the invariants held; prints the shortest failing schedule."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-schedules-") as made:
        try:
            await run_on_own_server(Path(made), examples=examples, steps=steps, seeded=seed, shrinks=shrinks)
        except Exception as error:  # noqa: BLE001  # the error's notes have the schedule
            traceback.print_exception(error)
            return False
    print_line(f"{examples} schedules of up to {steps} steps (seed {seed}): the invariants held")
    return True


async def operations(wanted: int, seed: int) -> bool:
    """Returns whether `wanted` concurrent operations kept the invariants."""
    report = await concurrent_load.run(wanted, seed)
    print_line(report.text)
    return not report.violations
