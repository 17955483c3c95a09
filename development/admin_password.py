"""Gives the account `admin` of `./dev run` a random password at the first start."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from common.private_files import write_private
from development.paths import CannotRun

DEADLINE_S = 60.0
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike


async def create(file: Path, regiond: Path, environment: dict[str, str]) -> None:
    """Sets a password and writes it to `file`, mode 0600. Raises CannotRun."""
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(5))
    process = await asyncio.create_subprocess_exec(
        *(regiond, "password", "admin", "-"),  # on standard input: arguments are visible to every user
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate(password.encode() + b"\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        text = output.decode(errors="replace").strip()
        raise CannotRun(f"regiond password exited with status {process.returncode}: {text}")
    write_private(file, password + "\n")
