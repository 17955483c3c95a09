"""What a benchmark works with and what it says: a durable database server, numbers, the machine they are of."""

from __future__ import annotations

import asyncio
import math
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from attrs import frozen

from development import postgres
from regiond.db.migrate import migrate
from regiond.db.pool import connect
from tests.database import named

ROOT = Path(__file__).parents[2]
LONG_ENOUGH_S = 30.0


@frozen(kw_only=True)
class Line:
    """One line of the table. `good` says whether the figure was reached; None when none is set."""

    what: str
    wanted: str
    measured: str
    good: bool | None = None


@frozen(kw_only=True)
class Bench:
    """`quick` asks for numbers within seconds, of a smaller world."""

    folder: Path
    server_dsn: str
    quick: bool

    async def database(self) -> str:
        """The DSN of a fresh database with every migration applied."""
        name = f"bench_{uuid4().hex[:12]}"
        connection = await connect(self.server_dsn, application_name="bench")
        try:
            await connection.execute(f'create database "{name}"')
        finally:
            await connection.close()
        dsn = named(self.server_dsn, name)
        await migrate(dsn)
        return dsn

    def new_folder(self, name: str) -> Path:
        made = self.folder / f"{name}-{uuid4().hex[:6]}"
        made.mkdir()
        return made

    def size(self, whole: int, quick: int) -> int:
        return quick if self.quick else whole


@frozen(kw_only=True)
class Times:
    """Milliseconds of each try, in order; the seconds that all took together, and this process's of a core."""

    each_ms: tuple[float, ...]
    whole_s: float
    busy_s: float

    def percentile_ms(self, share: float) -> float:
        """The nearest rank: the smallest time that `share` of the tries did not exceed."""
        return self.each_ms[max(0, math.ceil(share * len(self.each_ms)) - 1)]

    @property
    def p50_ms(self) -> float:
        return self.percentile_ms(0.50)

    @property
    def p99_ms(self) -> float:
        return self.percentile_ms(0.99)

    @property
    def busy_ms(self) -> float:
        """What one try costs this process: much the same whatever else the machine does."""
        return self.busy_s * 1000 / len(self.each_ms)

    @property
    def rate(self) -> float:
        return len(self.each_ms) / self.whole_s

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms ({len(self.each_ms)} times)"


async def timed(work: Callable[[int], Awaitable[object]], times: int, *, callers: int = 1) -> Times:
    """Do `work(0)` to `work(times - 1)`, `callers` at once, each starting when its last has ended.

    What takes too long is done less often: nothing is begun after `LONG_ENOUGH_S`.
    """
    numbers = iter(range(times))
    each: list[float] = []

    async def caller() -> None:
        for number in numbers:
            if time.perf_counter() > whole_began + LONG_ENOUGH_S:
                return
            began = time.perf_counter()
            await work(number)
            each.append((time.perf_counter() - began) * 1000)

    whole_began, busy_began = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    whole_s, busy_s = time.perf_counter() - whole_began, time.process_time() - busy_began
    return Times(each_ms=tuple(sorted(each)), whole_s=whole_s, busy_s=busy_s)


@contextmanager
def durable_server() -> Iterator[str]:
    """A PostgreSQL of the bench's own with fsync on, on this machine's disk; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-bench-pg-", ignore_cleanup_errors=True) as made:
        folder = Path(made) / "server"
        try:
            yield postgres.start(folder)
        finally:
            postgres.stop(folder)


async def the_machine(server_dsn: str) -> str:
    """Where the numbers come from, in a few lines."""
    connection = await connect(server_dsn, application_name="bench")
    try:
        version = await connection.fetchval("show server_version")
        fsync = await connection.fetchval("show fsync")
    finally:
        await connection.close()
    return "\n".join(
        (
            f"machine     {os.cpu_count()} cores, {_cpu_model()}, {_memory_gib():.0f} GiB, "
            f"load {os.getloadavg()[0]:.1f} before we began",
            f"software    Python {platform.python_version()}, PostgreSQL {version} (fsync {fsync})",
            f"commit      {_commit()}",
        )
    )


def table(lines: Sequence[Line]) -> str:
    signs = {True: "reached", False: "short", None: ""}
    rows = [("what", "wanted", "measured", "")]
    rows += [(line.what, line.wanted, line.measured, signs[line.good]) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ("git", "-C", str(ROOT), *words), capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")
