"""Samples memory, threads and open files of the daemons once per second."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen

from tests.deployment.deployment import Deployment

EVERY_S = 1.0
DAEMONS = ("region", "rack")


@frozen(kw_only=True)
class Sample:
    """`at_s` is seconds since the soak test began."""

    at_s: float
    memory_kib: int  # resident
    threads: int
    files: int  # open descriptors


@define(kw_only=True)
class Life:
    """The samples of one process in one phase of the soak test."""

    process: str
    phase: str
    pid: int
    samples: list[Sample] = field(factory=list)


@define(kw_only=True)
class ProcessMetrics:
    """`run` samples until it is cancelled; `phase` names the current phase of the soak test."""

    deployment: Deployment
    phase: str = ""
    began_at: float = field(factory=time.monotonic)
    lives: list[Life] = field(factory=list)

    async def run(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Calls `report` once per minute."""
        while True:
            for process in DAEMONS:
                self._add_sample(process)
            if self.lives and len(self.lives[-1].samples) % 60 == 0:
                report(f"{self.at_s:4.0f} s  {self.phase}  {len(self.lives)} processes")
            await asyncio.sleep(EVERY_S)

    @property
    def at_s(self) -> float:
        return time.monotonic() - self.began_at

    def _add_sample(self, process: str) -> None:
        running = self.deployment.processes.running.get(process)
        if running is None or running.poll() is not None:
            return
        sample = _sample(running.pid, self.at_s)
        if sample is None:
            return
        life = next((one for one in reversed(self.lives) if one.process == process), None)
        if life is None or (life.pid, life.phase) != (running.pid, self.phase):
            life = Life(process=process, phase=self.phase, pid=running.pid)
            self.lives.append(life)
        life.samples.append(sample)


def _sample(pid: int, at_s: float) -> Sample | None:
    """None if the process has just ended."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        files = len(os.listdir(f"/proc/{pid}/fd"))  # counting the entries of a Path takes five times as long
        memory_kib = int(status["VmRSS"].split()[0])
    except (FileNotFoundError, ProcessLookupError, KeyError):  # a zombie has no memory
        return None
    return Sample(at_s=round(at_s, 1), memory_kib=memory_kib, threads=int(status["Threads"]), files=files)
