"""Runs the command as a separate process: with pipes, in a shell line, or on a terminal.

With pipes it is a fork of a process that has imported its modules, see `command_server`: a quarter of the CPU time.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

RUN_S = 90.0
END_S = 30.0
INNKEEPER = (sys.executable, "-m", "innkeeper")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@frozen
class Ran:
    status: int
    out: str
    err: str = ""

    @property
    def plain(self) -> Any:
        """The output, parsed as JSON."""
        return json.loads(self.out)


Cli = Callable[..., Awaitable[Ran]]


async def spawned(home: Path, *argv: str, cwd: Path | None = None, **environment: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "INNKEEPER_STATE": str(home / "region"),  # not the region of this machine, if one runs
            **environment,
        },
        cwd=cwd,
        start_new_session=True,
    )


async def started(home: Path, *words: str) -> Process:
    return await spawned(home, *_forked(), *words)


@functools.cache
def _forked() -> tuple[str, ...]:
    """The first words of a command line that runs the command. Starts its server, which ends with this process."""
    folder = tempfile.mkdtemp(prefix="innkeeper-command-")
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.unit.command.command_server", f"{folder}/socket"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    atexit.register(_end, server, folder)
    client = Path(__file__).with_name("command_client.py")
    return sys.executable, "-S", "-I", str(client), f"{folder}/socket"


def _end(server: subprocess.Popen[bytes], folder: str) -> None:
    try:
        server.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    shutil.rmtree(folder)


async def finished(process: Process, given: str = "") -> Ran:
    async with asyncio.timeout(RUN_S):
        out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ran(process.returncode, out.decode(), err.decode())


async def in_shell(home: Path, line: str) -> Ran:
    """Runs a line of bash in which `innkeeper` is the command."""
    command = " ".join(INNKEEPER)
    return await finished(await spawned(home, "bash", "-c", f'innkeeper() {{ {command} "$@"; }}; {line}'))


async def on_terminal(home: Path, *words: str, given: Mapping[str, str] | None = None) -> Ran:
    """Runs it on a terminal of 80 columns, which `script` creates. Types the value of `given` after each prompt."""
    script = ("script", "-qec", " ".join([*INNKEEPER, *words]), "/dev/null")
    process = await spawned(home, *script, TERM="xterm", COLUMNS="80")
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(RUN_S):
        out = b""
        for prompt, typed in (given or {}).items():
            out += await process.stdout.readuntil(prompt.encode())
            process.stdin.write(typed.encode())
        out += await process.stdout.read()
        process.stdin.close()
        status = await process.wait()
    return Ran(status, _CONTROL.sub("", out.decode().replace("\r\n", "\n")))
