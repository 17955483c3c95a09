"""Runs the command as a separate process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import frozen

RUN_S = 90.0


@frozen
class Ran:
    status: int
    out: str
    err: str


Cli = Callable[..., Awaitable[Ran]]


async def started(home: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "innkeeper",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
        start_new_session=True,
    )


async def finished(process: asyncio.subprocess.Process, given: str = "") -> Ran:
    async with asyncio.timeout(RUN_S):
        out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ran(process.returncode, out.decode(), err.decode())
