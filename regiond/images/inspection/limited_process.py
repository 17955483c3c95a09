"""Runs a program that reads untrusted content, with limits and without files and network of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import frozen

from regiond.images.inspection import confined_program
from regiond.images.model import BadImage

_MAX_OUTPUT_BYTES = 2**20
_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    # Otherwise each thread may reserve 128 MiB of addresses, and one of 150 runs of qemu-img reaches the limit.
    "MALLOC_ARENA_MAX": "1",
}
# With -S, Python reads only the files that it needs to start.
_CONFINED = (sys.executable, "-I", "-S", confined_program.__file__)
_PYTHON = tuple(dict.fromkeys((sys.prefix, sys.base_prefix)))


@frozen(kw_only=True)
class ProcessLimits:
    """The limits of one run, which may write no file longer than `file_bytes`; with 0, no file at all."""

    cpu_s: int = 300
    deadline_s: float = 900.0  # a slow disk takes no CPU time
    memory_bytes: int = 768 * 2**20  # the region's service has 2 GiB in total
    open_files: int = 64
    file_bytes: int = 0

    @property
    def command(self) -> tuple[str, ...]:
        """The words to put before the command."""
        limits = {
            "cpu": self.cpu_s, "as": self.memory_bytes, "fsize": self.file_bytes, "core": 0, "nofile": self.open_files,
        }  # fmt: skip
        return ("prlimit", *(f"--{name}={value}" for name, value in limits.items()), "--")


@frozen(kw_only=True)
class Ended:
    """The exit status, negative for a signal, and the output of the program. `out` is empty if it went to a file."""

    status: int
    out: bytes
    errors: bytes

    @property
    def last_line(self) -> str:
        """The last line of the errors that is not empty; a text with the exit status if there is none."""
        lines = self.errors.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"it ended with status {self.status}")


def is_installed(program: str) -> bool:
    """Returns whether the program is in the folders of programs, or is the path of a program."""
    return shutil.which(program, path=_ENVIRONMENT["PATH"]) is not None


@frozen(kw_only=True)
class OpenFiles:
    """The files that a program may open by name besides those of which programs consist; none by default."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()

    def options(self, program: str) -> tuple[str, ...]:
        """Returns options of `confined_program` that permit to read and run `program` and, for Python, its files."""
        run: tuple[str, ...] = (shutil.which(program, path=_ENVIRONMENT["PATH"]) or program,)
        if program == sys.executable:
            run += _PYTHON
        found = (("--read", self.read), ("--write", self.write), ("--run", run))
        return tuple(word for option, paths in found for path in paths for word in (option, str(path)))


async def run_limited(
    command: Sequence[str],
    limits: ProcessLimits,
    files: OpenFiles,
    *,
    reads: int | None = None,
    writes: int | None = None,
) -> Ended:
    """Runs the command with rights to `files` only, as far as the kernel supports that; returns how it ended.

    `reads` and `writes` are descriptors of its standard input and output; without them, the input is empty and the
    output is returned. Raises BadImage if the command takes too long or writes too much. If cancelled, kills the
    process and all processes that it has started.
    """
    confined = (*limits.command, *_CONFINED, *files.options(command[0]), "--", *command)
    return await _finished(confined, limits.deadline_s, reads=reads, writes=writes)


async def unconfined_rights() -> tuple[str, ...]:
    """Returns the rights that programs keep here because the kernel, or a filter of this process, cannot take them."""
    try:
        ended = await _finished((*_CONFINED, "--report"), 10.0)
        return tuple(str(one) for one in json.loads(ended.out))
    except (BadImage, OSError, ValueError) as error:
        return (f"all, because the program that confines does not run ({error})",)


async def _finished(
    command: Sequence[str], deadline_s: float, *, reads: int | None = None, writes: int | None = None
) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL if reads is None else reads,
        stdout=asyncio.subprocess.PIPE if writes is None else writes, stderr=asyncio.subprocess.PIPE,
        env=dict(_ENVIRONMENT), cwd="/", start_new_session=True,
    )  # fmt: skip
    kill = partial(_kill, process)
    reading = asyncio.gather(_read(process.stdout, kill), _read(process.stderr, kill))
    try:
        async with asyncio.timeout(deadline_s):
            out, errors = await asyncio.shield(reading)
            status = await process.wait()
    except TimeoutError:
        raise BadImage(f"The check of the image took longer than {deadline_s:.0f} s.") from None
    finally:
        kill()
        await reading  # to its end: asyncio does not notice the end of a process whose output is not read
        await process.wait()
    if max(len(out), len(errors)) > _MAX_OUTPUT_BYTES:
        raise BadImage("The check of the image has too many results.")
    return Ended(status=status, out=out, errors=errors)


async def _read(stream: asyncio.StreamReader | None, on_excess: Callable[[], None]) -> bytes:
    """Returns the beginning of the output, more than _MAX_OUTPUT_BYTES if `on_excess` was called."""
    found = b""
    while stream is not None and (data := await stream.read(65536)):
        if len(found) <= _MAX_OUTPUT_BYTES:
            found += data
            if len(found) > _MAX_OUTPUT_BYTES:
                on_excess()
    return found


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kills the process and all processes that it has started. Idempotent."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
