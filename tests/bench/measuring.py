"""The tools of a benchmark: a durable database server, the sizes to measure, and timing."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from uuid import uuid4

from attrs import frozen

from development import postgres
from regiond.db.migrate import migrate
from tests.bench.lines import Against, Line
from tests.postgresql.database import create_database

__all__ = ["WATCHING", "Against", "Bench", "CannotMeasure", "Line", "Times", "durable_server", "timed"]

LONG_ENOUGH_S = 30.0


def _nobody(_: str) -> AbstractContextManager[None]:
    return nullcontext()


# Called around each measurement, with the name of the work.
WATCHING: ContextVar[Callable[[str], AbstractContextManager[None]]] = ContextVar("WATCHING", default=_nobody)


class CannotMeasure(Exception):
    """Says what this machine lacks for a figure; printed instead of the figure."""


@frozen(kw_only=True)
class Bench:
    """`quick` uses smaller databases and takes seconds; `toy` only shows that the benchmark works."""

    folder: Path
    server_dsn: str
    quick: bool
    toy: bool = False

    async def database(self) -> str:
        """The DSN of a new, migrated database."""
        name = f"bench_{uuid4().hex[:12]}"
        dsn = await create_database(self.server_dsn, name)
        await migrate(dsn)
        return dsn

    def new_folder(self, name: str) -> Path:
        made = self.folder / f"{name}-{uuid4().hex[:6]}"
        made.mkdir()
        return made

    def size(self, whole: int, quick: int, toy: int = 2) -> int:
        if self.toy:
            return toy
        return quick if self.quick else whole


@frozen(kw_only=True)
class Times:
    """Sorted milliseconds of each repetition, the seconds of all together, and the CPU seconds of this process."""

    each_ms: tuple[float, ...]
    whole_s: float
    busy_s: float

    def percentile_ms(self, share: float) -> float:
        """The quantile `share`, by nearest rank."""
        return self.each_ms[max(0, math.ceil(share * len(self.each_ms)) - 1)]

    @property
    def p50_ms(self) -> float:
        return self.percentile_ms(0.50)

    @property
    def p99_ms(self) -> float:
        return self.percentile_ms(0.99)

    @property
    def busy_ms(self) -> float:
        """CPU milliseconds of this process per repetition, which depend little on other load."""
        return self.busy_s * 1000 / len(self.each_ms)

    @property
    def rate(self) -> float:
        return len(self.each_ms) / self.whole_s

    @property
    def numbers(self) -> Mapping[str, float]:
        """Returns the values for JSON."""
        return {
            "p50_ms": round(self.p50_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "rate_per_s": round(self.rate, 1),
            "cpu_ms": round(self.busy_ms, 2),
            "times": len(self.each_ms),
        }

    def against(self, what: str, ours: Times, *, by_rate: bool = False) -> Against:
        """This as the baseline `what` of `ours`, compared by the median or by the rate."""
        ratio = ours.rate / self.rate if by_rate else self.p50_ms / ours.p50_ms
        measured = f"{self.rate:.0f}/s, {self}" if by_rate else str(self)
        return Against(what=what, measured=measured, ratio=ratio, numbers=self.numbers)

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms ({len(self.each_ms)} times)"


async def timed(work: Callable[[int], Awaitable[object]], times: int, *, callers: int = 1) -> Times:
    """Runs `work(0)` to `work(times - 1)` with `callers` concurrent tasks; starts nothing after `LONG_ENOUGH_S`."""
    numbers = iter(range(times))
    each: list[float] = []

    async def caller() -> None:
        for number in numbers:
            if time.perf_counter() > whole_began + LONG_ENOUGH_S:
                return
            began = time.perf_counter()
            await work(number)
            each.append((time.perf_counter() - began) * 1000)

    with WATCHING.get()(f"{work.__module__}.{work.__qualname__}"):
        whole_began, busy_began = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        whole_s, busy_s = time.perf_counter() - whole_began, time.process_time() - busy_began
    return Times(each_ms=tuple(sorted(each)), whole_s=whole_s, busy_s=busy_s)


@contextmanager
def durable_server() -> Iterator[str]:
    """A new PostgreSQL with fsync on this machine's disk; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-bench-pg-", ignore_cleanup_errors=True) as made:
        folder = Path(made) / "server"
        try:
            yield postgres.start(folder)
        finally:
            postgres.stop(folder)
