"""Runs a program that reads untrusted content: limited in memory, time, files and network."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from attrs import frozen

from regiond.images.model import BadImage

_MAX_OUTPUT_BYTES = 2**20
_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    # Otherwise each thread may reserve 128 MiB of addresses, and one of 150 runs of qemu-img meets the limit.
    "MALLOC_ARENA_MAX": "1",
}
_NO_NETWORK = ("unshare", "--user", "--net", "--")


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


async def run_limited(
    command: Sequence[str], limits: ProcessLimits, *, reads: int | None = None, writes: int | None = None
) -> Ended:
    """Runs the command, without network where this computer allows it.

    `reads` and `writes` are descriptors of its standard input and output; otherwise the first is empty and the second
    is returned. Raises BadImage if it takes too long or writes too much. Cancelled, it kills the process and all that
    this has started.
    """
    isolation = _NO_NETWORK if await _can_isolate() else ()
    return await _finished((*limits.command, *isolation, *command), limits.deadline_s, reads=reads, writes=writes)


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


async def _can_isolate() -> bool:
    """Whether this process may make a network namespace; a hardened service or a container may not.

    Without one, the header was still refused if it names any other file or address.
    """
    try:
        return (await _finished((*_NO_NETWORK, "true"), 10.0)).status == 0
    except (BadImage, OSError):
        return False
