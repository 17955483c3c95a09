"""The hypervisor lab for the bench alone: in a folder of its own, gone when the figure is measured."""

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
    """What `lab ARGUMENTS` starts, for as long as this lasts. `needs` is the program without which it cannot be.

    Raises CannotMeasure with the reason where this machine has no such hypervisor.
    """
    if os.geteuid() != 0:
        raise CannotMeasure("needs root: the lab's hypervisors are started by root")
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
        raise CannotMeasure(f"the lab could not do {arguments[0]}: {done.stdout}{done.stderr}".strip())
