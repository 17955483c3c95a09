"""Records process groups in PID files, so that a run can end what a killed run left behind.

A PID alone may belong to another process by now; PID and start time together identify a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen


@frozen
class ProcessId:
    """`started_ticks`: clock ticks from boot to the process's start, from /proc/PID/stat."""

    pid: int
    started_ticks: int

    def alive(self) -> bool:
        """Whether this process still runs; a zombie does not."""
        return _read_stat(self.pid) == (self.started_ticks, True)


def identify(pid: int) -> ProcessId | None:
    """Returns the identity of a running process, or None."""
    found = _read_stat(pid)
    return ProcessId(pid, found[0]) if found is not None and found[1] else None


def record(path: Path, pid: int) -> None:
    """Records a process that was just started. Writes nothing if it has already ended."""
    process = identify(pid)
    if process is not None:
        path.write_text(f"{process.pid} {process.started_ticks}\n", encoding="ascii")


def recorded(path: Path) -> ProcessId | None:
    """Returns the process recorded in `path` if it still runs, else None, also for a truncated file."""
    try:
        pid, ticks = path.read_text(encoding="ascii").split()
        process = ProcessId(int(pid), int(ticks))
    except (FileNotFoundError, ValueError):
        return None
    return process if process.alive() else None


async def end_group(process: ProcessId, *, grace_s: float) -> None:
    """Ends `process` and its group: SIGTERM, then SIGKILL after `grace_s`. Idempotent."""
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        if not process.alive():
            return
        _signal_group(process, number)
        if await ended(process, patience_s):
            # Also end the processes it started. The kernel assigns PIDs in order, so this one is not reused yet.
            _signal_group(process, signal.SIGKILL)
            return


def _signal_group(process: ProcessId, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def start_surviving(argv: tuple[str, ...], environment: Mapping[str, str], log_path: Path) -> int:
    """Starts a program in its own session, which ends only when it is told to; returns its PID.

    Unlike a child of asyncio, it is not killed with the event loop. The caller reaps it with `os.waitpid`. The program
    has the umask that a service manager gives it: libvirt makes folders that other users must be able to enter.
    """
    to_log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    own_umask = os.umask(0o022)
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.fspath(log_path), to_log, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
        )
    finally:
        os.umask(own_umask)


async def end_leftovers(folder: Path, *, grace_s: float) -> tuple[str, ...]:
    """Ends the processes that an earlier run recorded in `folder` and left running; returns their names."""
    files = _pid_files(folder)
    found = {path.stem: process for path in files if (process := recorded(path))}
    await asyncio.gather(*(end_group(process, grace_s=grace_s) for process in found.values()))
    for path in files:
        path.unlink()
    return tuple(found)


def _pid_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pid"))


async def ended(process: ProcessId, patience_s: float | None = None) -> bool:
    """Waits for the end of `process`, also if it is not a child. Returns False if `patience_s` passes first."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(handle, readable.set)
    try:
        if process.alive():  # else the PID may belong to another process by now
            async with asyncio.timeout(patience_s):
                await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True


def _read_stat(pid: int) -> tuple[int, bool] | None:
    """Returns the start time in ticks and whether the process runs; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may contain spaces and parentheses
    return int(fields[19]), fields[0] not in "ZX"
