"""Runs a command of Innkeeper with a secret on its standard input."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from development.paths import CannotRun


async def run_with_input(
    program: Path, words: Sequence[str], secret: str, environment: dict[str, str], *, deadline_s: float
) -> str:
    """Returns what the command prints. Raises CannotRun with the errors of a command that failed, and TimeoutError.

    Arguments are visible to every user of the machine, standard input is not.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(program), *words),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            output, errors = await process.communicate(secret.encode() + b"\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        text = (output + errors).decode(errors="replace").strip()
        raise CannotRun(f"{program.name} {words[0]} exited with status {process.returncode}: {text}")
    return output.decode().strip()
