"""Creates the account `admin` of `./dev run` at the first start, with a random password and an API key."""

from __future__ import annotations

import secrets
from pathlib import Path

from common.process.private_files import write_private
from development.own_command import run_with_input
from development.paths import CannotRun, RunPaths

DEADLINE_S = 60.0
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike


async def ensure(paths: RunPaths, regiond: Path, environment: dict[str, str]) -> str | None:
    """Writes password and API key to their files, mode 0600. Returns a new password, None if there was one.

    An interrupted first start continues: the account may exist without its files. Raises CannotRun.
    """
    password = None
    if not paths.password_file.exists():
        password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(5))
        try:
            await run_with_input(regiond, ("admin", "create", "-"), password, environment, deadline_s=DEADLINE_S)
        except CannotRun:
            await run_with_input(regiond, ("password", "admin", "-"), password, environment, deadline_s=DEADLINE_S)
        write_private(paths.password_file, password + "\n")
    if not paths.key_file.exists():
        key = await run_with_input(regiond, ("apikey", "admin"), "", environment, deadline_s=DEADLINE_S)
        write_private(paths.key_file, key + "\n")
    return password
