"""Saves a region, loses it with its database, and restores it into a new one; racks and hosts live through it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from urllib.parse import urlsplit

from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK, REGION
from tests.postgresql.database import create_database, drop_database
from tests.support.administrators import API_KEY_FILE
from tests.support.waiting import eventually

PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105


async def save(deployment: Deployment) -> None:
    await _run(deployment, "backup")


async def lose_and_restore(deployment: Deployment) -> str:
    """Returns what the restore prints, when the new region runs and the rack is linked to it."""
    runner = deployment.processes
    deployment.kill(REGION)
    (deployment.folder / "state").rename(deployment.folder / "lost-state")
    lost = runner.dsn
    runner.dsn = await create_database(lost, "restored")
    await drop_database(runner.dsn, urlsplit(lost).path.strip("/"))
    printed = await _run(deployment, "restore")
    key = (deployment.folder / "lost-state" / API_KEY_FILE).read_bytes()
    (deployment.folder / "state" / API_KEY_FILE).write_bytes(key)
    await runner.start_region()
    await eventually(lambda: runner.is_linked(RACK))
    return printed


async def _run(deployment: Deployment, command: str) -> str:
    """Runs a command of the region's machine with `backup` as its file."""
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "regiond", command, str(deployment.folder / "backup")],
        env=deployment.processes.environment() | {"BACKUP_PASSPHRASE": PASSPHRASE}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return str(ran.stdout)
