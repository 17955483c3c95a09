"""Runs this machine's commands, such as virsh, with a deadline."""

from __future__ import annotations

import asyncio
import os

from development.paths import CannotRun


async def done(*argv: str) -> str:
    """Returns the command's output. Raises CannotRun with its error message if it fails."""
    code, output, stderr = await run(*argv)
    if code != 0:
        raise CannotRun(f"{' '.join(argv)} failed: {sentence(stderr)}")
    return output


async def run(*argv: str, deadline_s: float = 60.0) -> tuple[int, str, str]:
    """Returns the exit status, the output and the error output. Raises CannotRun when the deadline passes."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            output, stderr = await process.communicate()
    except TimeoutError:
        raise CannotRun(f"{' '.join(argv)} timed out after {deadline_s:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace"), stderr.decode(errors="replace")


def sentence(text: str) -> str:
    """Returns `text` on one line."""
    return " ".join(text.split()) or "no error message."
