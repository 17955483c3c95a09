"""Random schedules. `SCHEDULES` says how many of them, each of up to `SCHEDULE_STEPS` steps; a fixed few are tried
unless it is set, always the same."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from random import SystemRandom

import pytest

from tests.database import memory_folder
from tests.faults.schedules.running import try_schedules

EXAMPLES = int(os.environ.get("SCHEDULES", "0"))
STEPS = int(os.environ.get("SCHEDULE_STEPS", "30"))
FIXED = 10


@pytest.mark.same_sql
@pytest.mark.deadline(600 + 20 * EXAMPLES)  # ten seconds, but five minutes are spent on making a failure short
async def test_whatever_happens_in_whatever_order_the_invariants_hold(postgres_server: str, template: str) -> None:
    with tempfile.TemporaryDirectory(dir=memory_folder()) as made:
        seeded = SystemRandom().getrandbits(32) if EXAMPLES else None
        await try_schedules(
            Path(made), postgres_server, template, examples=EXAMPLES or FIXED, steps=STEPS, seeded=seeded
        )
