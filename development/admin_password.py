"""Creates the account `admin` of `./dev run` at the first start, with a random password and an API key."""

from __future__ import annotations

import secrets
from pathlib import Path

from common.private_files import write_private
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
        entered = password.encode() + b"\n"  # on standard input: arguments are visible to every user
        try:
            await _run(environment, entered, regiond, "admin", "create", "-")
        except CannotRun:
            await _run(environment, entered, regiond, "password", "admin", "-")
        write_private(paths.password_file, password + "\n")
    if not paths.key_file.exists():
        key = await _run(environment, b"", regiond, "apikey", "admin")
        write_private(paths.key_file, key + "\n")
    return password


async def _run(environment: dict[str, str], entered: bytes, *command: Path | str) -> str:
    """Returns what the command prints. Raises CannotRun."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, errors = await process.communicate(entered)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        text = errors.decode(errors="replace").strip()
        raise CannotRun(f"regiond {command[1]} exited with status {process.returncode}: {text}")
    return output.decode().strip()
