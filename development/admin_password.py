"""Gives the account `admin` of `./dev run` a random password at the first start."""

from __future__ import annotations

import secrets
from pathlib import Path

from common.private_files import write_private
from development.own_command import run_with_input

DEADLINE_S = 60.0
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike


async def create(file: Path, regiond: Path, environment: dict[str, str]) -> None:
    """Sets a password and writes it to `file`, mode 0600. Raises CannotRun."""
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(5))
    await run_with_input(regiond, ("password", "admin", "-"), password, environment, deadline_s=DEADLINE_S)
    write_private(file, password + "\n")
