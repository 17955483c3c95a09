"""Random schedules: as many as the environment variable `SCHEDULES` says, otherwise a fixed few.

`SCHEDULE_STEPS` is the maximum number of steps.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from random import SystemRandom

import pytest

from tests.faults.schedules.hypothesis_runs import run_schedules
from tests.postgresql.database import memory_folder

EXAMPLES = int(os.environ.get("SCHEDULES", "0"))
STEPS = int(os.environ.get("SCHEDULE_STEPS", "30"))
FIXED_SEEDS = (1, 2)
EXAMPLES_OF_A_SEED = 4  # the first one is always the simplest


@pytest.mark.deadline(600 + 20 * EXAMPLES)  # some seconds; shortening a failure takes up to five minutes
@pytest.mark.parametrize("seed", [None] if EXAMPLES else FIXED_SEEDS)
async def test_the_invariants_hold_in_random_schedules(postgres_server: str, template: str, seed: int | None) -> None:
    seeded = SystemRandom().getrandbits(32) if seed is None else seed
    with tempfile.TemporaryDirectory(dir=memory_folder()) as made:
        await run_schedules(
            Path(made), postgres_server, template, examples=EXAMPLES or EXAMPLES_OF_A_SEED, steps=STEPS, seeded=seeded
        )
