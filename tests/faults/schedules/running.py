"""Has Hypothesis run schedules: it works in a thread of its own, and all that is async in the loop of the caller."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from development import postgres
from regiond.db.migrate import migrate
from regiond.db.pool import connect
from tests.database import named
from tests.faults.schedules.ground import Ground
from tests.faults.schedules.machine import Schedules


async def try_on_own_server(folder: Path, *, examples: int, steps: int, seeded: int, shrinks: bool = True) -> None:
    """As `try_schedules`, on a PostgreSQL below `folder` that is there for these."""
    server = postgres.start(folder / "server", settings=postgres.FAST)
    try:
        connection = await connect(server, application_name="schedules")
        await connection.execute("create database migrated")
        await connection.close()
        await migrate(named(server, "migrated"))
        await try_schedules(folder, server, "migrated", examples=examples, steps=steps, seeded=seeded, shrinks=shrinks)
    finally:
        postgres.stop(folder / "server")


async def try_schedules(
    folder: Path,
    server: str,
    template: str,
    *,
    examples: int,
    steps: int,
    seeded: int | None = None,
    shrinks: bool = True,
) -> None:
    """Raises what an invariant or a bug raised, with the shortest steps to it printed.

    `template` is a migrated database of `server`. Without a seed the same schedules are tried each time.
    """
    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    wanted = settings(
        max_examples=examples, stateful_step_count=steps, derandomize=seeded is None, database=None, deadline=None,
        print_blob=False, report_multiple_bugs=False, phases=phases,
    )  # fmt: skip

    made = Ground(folder=folder, server=server, template=template)

    class Scheduled(Schedules):
        loop = asyncio.get_running_loop()
        ground = made

    machine = Scheduled if seeded is None else seed(seeded)(Scheduled)
    try:
        await asyncio.to_thread(run_state_machine_as_test, machine, settings=wanted)
    finally:
        await made.close()
