"""Process groups that are remembered in files, so that the next run finds what a killed one left behind.

A pid alone may have gone to a stranger since; with the moment when the process started it is the same process or none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from attrs import frozen


@frozen
class ProcessId:
    """`started_ticks` is the kernel's: clock ticks from boot to the process's start."""

    pid: int
    started_ticks: int

    def alive(self) -> bool:
        """Whether that very process still runs; one that nobody has reaped yet does not."""
        return _look(self.pid) == (self.started_ticks, True)


def identify(pid: int) -> ProcessId | None:
    """The identity of a process that runs now, or None."""
    found = _look(pid)
    return ProcessId(pid, found[0]) if found is not None and found[1] else None


def remember(path: Path, pid: int) -> None:
    """Write down a process that has just been started. Nothing is written when it has ended already."""
    process = identify(pid)
    if process is not None:
        path.write_text(f"{process.pid} {process.started_ticks}\n", encoding="ascii")


def remembered(path: Path) -> ProcessId | None:
    """The process in `path` if it still runs. A file that was cut short by a crash counts as none."""
    try:
        pid, ticks = path.read_text(encoding="ascii").split()
        process = ProcessId(int(pid), int(ticks))
    except (FileNotFoundError, ValueError):
        return None
    return process if process.alive() else None


async def end_group(process: ProcessId, *, grace_s: float) -> None:
    """End `process` and its group: asked first, killed when `grace_s` is over. Harmless when it has ended."""
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        if not process.alive():
            return
        _signal_group(process, number)
        if await _ended(process, patience_s):
            # What it had started goes too. Numbers are given out in turn, so this one is not used again yet.
            _signal_group(process, signal.SIGKILL)
            return


def _signal_group(process: ProcessId, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def end_leftovers(folder: Path, *, grace_s: float) -> tuple[str, ...]:
    """End what an earlier run wrote into `folder` and did not stop; the names of those that still ran."""
    files = _pid_files(folder)
    found = {path.stem: process for path in files if (process := remembered(path))}
    await asyncio.gather(*(end_group(process, grace_s=grace_s) for process in found.values()))
    for path in files:
        path.unlink()
    return tuple(found)


def _pid_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pid"))


async def _ended(process: ProcessId, patience_s: float) -> bool:
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        if process.alive():  # else the number may be a stranger's by now
            async with asyncio.timeout(patience_s):
                await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True


def _look(pid: int) -> tuple[int, bool] | None:
    """When the process started, and whether it runs; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return int(fields[19]), fields[0] not in "ZX"
