"""Baseline for memory: a process that reads and holds every row, and prints its peak in MiB.

python -m tests.bench.baselines.holding_all DSN
"""

from __future__ import annotations

import asyncio
import json
import sys

from regiond.db.pool import connect
from tests.bench.baselines.all_machines import all_machines
from tests.bench.machine import status_mib


async def hold_all(dsn: str) -> float:
    """Returns the peak in MiB, with all machines also as one JSON text, as a full list needs it."""
    db = await connect(dsn, application_name="bench-holding-all")
    try:
        machines = await all_machines(db)
    finally:
        await db.close()
    text = json.dumps(machines, default=str)
    return status_mib("self", "VmHWM") if text else 0.0


if __name__ == "__main__":
    print(f"{asyncio.run(hold_all(sys.argv[1])):.0f}")
