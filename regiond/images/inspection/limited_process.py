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
    # Otherwise each thread may reserve 128 MiB of addresses, and one of 150 runs of qemu-img meets the limit.
    "MALLOC_ARENA_MAX": "1",
}
# In its own files: what Python needs to start is all that it may read there.
_CONFINED = (sys.executable, "-I", "-S", confined_program.__file__)
_PYTHON = tuple(dict.fromkeys((sys.prefix, sys.base_prefix)))


@frozen(kw_only=True)
class ProcessLimits:
    """Of one run. It may write no file longer than `file_bytes`: with 0, none at all."""

    cpu_s: int = 300
    deadline_s: float = 900.0  # a slow disk takes no CPU time
    memory_bytes: int = 768 * 2**20  # the region's service has 2 GiB in all
    open_files: int = 64
    file_bytes: int = 0

    @property
    def command(self) -> tuple[str, ...]:
        """What is put in front of the command."""
        limits = {
            "cpu": self.cpu_s, "as": self.memory_bytes, "fsize": self.file_bytes, "core": 0, "nofile": self.open_files,
        }  # fmt: skip
        return ("prlimit", *(f"--{name}={value}" for name, value in limits.items()), "--")


@frozen(kw_only=True)
class Ended:
    """Exit status, negative for a signal, and what the program wrote. `out` is empty if it went to a file."""

    status: int
    out: bytes
    errors: bytes

    @property
    def last_line(self) -> str:
        """Of the errors."""
        lines = self.errors.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"it ended with status {self.status}")


def is_installed(program: str) -> bool:
    """Whether the program is in the folders of programs, or is the path of one."""
    return shutil.which(program, path=_ENVIRONMENT["PATH"]) is not None


@frozen(kw_only=True)
class OpenFiles:
    """What a program may open by name besides what programs consist of; nothing by default."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()

    def options(self, program: str) -> tuple[str, ...]:
        """Of `confined_program`. `program` and, if it is Python, what that consists of may be read and run."""
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
    """Runs the command with no right to anything but `files`, as far as the kernel can do that.

    `reads` and `writes` are descriptors of its standard input and output; otherwise the first is empty and the second
    is returned. Raises BadImage if it takes too long or writes too much. Cancelled, it kills the process and all that
    this has started.
    """
    confined = (*limits.command, *_CONFINED, *files.options(command[0]), "--", *command)
    return await _finished(confined, limits.deadline_s, reads=reads, writes=writes)


async def unconfined_rights() -> tuple[str, ...]:
    """Returns what programs keep here although they should not: the kernel, or a filter around this process, is why."""
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
        await reading  # to its end: asyncio does not notice the end of a process whose output nobody reads
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
    """With all that it has started. Idempotent."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
