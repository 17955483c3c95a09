"""Describes the hardware and software that was measured, without identifying the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from attrs import frozen

from regiond.db.pool import connect

ROOT = Path(__file__).parents[2]


@frozen(kw_only=True)
class Machine:
    """`load` is the load average of the minute before the run."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    postgresql: str
    python: str
    load: float
    commit: str

    @property
    def text(self) -> str:
        return "\n".join(
            (
                f"machine     {self.cores} cores, {self.cpu}, {self.memory_gib:.0f} GiB, kernel {self.kernel}; "
                f"load {self.load:.1f} before the run",
                f"software    Python {self.python}, PostgreSQL {self.postgresql}",
                f"commit      {self.commit}",
            )
        )


async def this_machine(server_dsn: str) -> Machine:
    connection = await connect(server_dsn, application_name="bench")
    try:
        version = await connection.fetchval("show server_version")
        fsync = await connection.fetchval("show fsync")
    finally:
        await connection.close()
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        kernel=platform.release().partition("-")[0],  # the packager's name follows
        postgresql=f"{version} (fsync {fsync})",
        python=platform.python_version(),
        load=os.getloadavg()[0],
        commit=this_commit(),
    )


def status_mib(process: int | str, key: str) -> float:
    """A memory value of /proc/PROCESS/status, such as VmRSS (resident) or VmHWM (its peak), in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1]) / 1024


def cpu_s(process: int | str) -> float:
    """The CPU time of a process since it began, in user and kernel mode together."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_from_now(process: int | str) -> float:
    """Makes VmHWM of `status_mib` the peak since this call. Returns the resident memory in MiB."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return status_mib(process, "VmRSS")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def this_commit() -> str:
    """The abbreviated commit of the checkout, and whether files of it were changed."""

    def git(*words: str) -> str:
        return subprocess.run(
            ("git", "-C", str(ROOT), *words), capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")
