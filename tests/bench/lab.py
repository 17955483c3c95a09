"""Starts a hypervisor of the lab in a temporary folder for one figure."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.measuring import CannotMeasure

_LAB = Path(__file__).parents[1] / "lab" / "lab"
_DEADLINE_S = 180.0


@asynccontextmanager
async def lab(*arguments: str, needs: str) -> AsyncIterator[None]:
    """Runs `lab ARGUMENTS` and stops what it started at the end. `needs` is a required program.

    Raises CannotMeasure with the reason if this machine has no such hypervisor.
    """
    if os.geteuid() != 0:
        raise CannotMeasure("requires root to start the lab's hypervisors")
    if shutil.which(needs) is None:
        raise CannotMeasure(f"needs {needs}: tests/lab/lab lists what installs it")
    try:
        await _do(*arguments)
        yield
    finally:
        await _do("down")


async def _do(*arguments: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run, (str(_LAB), *arguments), capture_output=True, text=True, check=False, timeout=_DEADLINE_S
    )
    if done.returncode:
        raise CannotMeasure(f"the lab command {arguments[0]} failed: {done.stdout}{done.stderr}".strip())
