"""Runs schedules with Hypothesis, in a separate thread; async work runs in the caller's event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from development import postgres
from regiond.db.migrate import migrate
from tests.faults.schedules.database_reset import ResettableDatabase
from tests.faults.schedules.schedule import Schedules
from tests.postgresql.database import create_database


async def run_on_own_server(folder: Path, *, examples: int, steps: int, seeded: int, shrinks: bool = True) -> None:
    """As `run_schedules`, on a new PostgreSQL below `folder`."""
    server = postgres.start(folder / "server", settings=postgres.FAST)
    try:
        await migrate(await create_database(server, "migrated"))
        await run_schedules(folder, server, "migrated", examples=examples, steps=steps, seeded=seeded, shrinks=shrinks)
    finally:
        postgres.stop(folder / "server")


async def run_schedules(
    folder: Path,
    server: str,
    template: str,
    *,
    examples: int,
    steps: int,
    seeded: int,
    shrinks: bool = True,
) -> None:
    """Raises the first violation or bug, with the shortest schedule that shows it in the error's notes.

    `template` is a migrated database of `server`.
    """
    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    wanted = settings(
        max_examples=examples, stateful_step_count=steps, database=None, deadline=None,
        print_blob=False, report_multiple_bugs=False, phases=phases,
    )  # fmt: skip

    made = ResettableDatabase(folder=folder, server=server, template=template)

    class Scheduled(Schedules):
        loop = asyncio.get_running_loop()
        databases = made

    try:
        await asyncio.to_thread(run_state_machine_as_test, seed(seeded)(Scheduled), settings=wanted)
    finally:
        await made.close()
