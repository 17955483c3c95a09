"""Where the clients are that the tests run: packages from PyPI in `.venv-clients`, which `./dev test` makes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = CHECKOUT / ".venv-clients/bin"
PROGRAM_S = 200.0


def program(name: str) -> str:
    """The path of a client's program. The test is skipped where they are not installed."""
    path = PROGRAMS / name
    if not path.exists():
        pytest.skip(f"requires {path.relative_to(CHECKOUT)}: ./dev test installs it")
    return str(path)


async def run(*command: str, deadline_s: float = PROGRAM_S, **environment: str) -> str:
    """What the program prints, without its errors. Raises AssertionError with both if it fails or takes too long."""
    inherited: Mapping[str, str] = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        *command, env={**inherited, **environment},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(deadline_s):
            printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command} ended with {process.returncode}: {printed.decode()}{errors.decode()}"
    return printed.decode()
