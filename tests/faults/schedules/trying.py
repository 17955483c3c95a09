"""Schedules and crowds as a person asks for them: tried, and told on standard output."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path

from tests.faults.schedules import crowd
from tests.faults.schedules.running import try_on_own_server


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def schedules(examples: int, steps: int, seed: int, *, shrinks: bool = True) -> bool:
    """Whether the invariants held; else the shortest steps to where they did not are told."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-schedules-") as made:
        try:
            await try_on_own_server(Path(made), examples=examples, steps=steps, seeded=seed, shrinks=shrinks)
        except Exception as error:  # noqa: BLE001  # whatever it was, the steps to it are in its notes
            traceback.print_exception(error)
            return False
    say(f"{examples} schedules of up to {steps} steps (seed {seed}): the invariants held")
    return True


async def operations(wanted: int, seed: int) -> bool:
    """Whether a crowd that asked for so many left everything as it has to be."""
    report = await crowd.run(wanted, seed)
    say(report.text)
    return not report.violations
