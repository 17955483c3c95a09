"""Profiles each measurement: functions of this process, and what PostgreSQL executes or waits for."""

from __future__ import annotations

import asyncio
import cProfile
import io
import os
import pstats
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from regiond.db.pool import connect
from tests.bench.machine import ROOT
from tests.bench.measuring import WATCHING

_EVERY_S = 0.01
_FUNCTIONS = 18
_STATEMENTS = 10
_ACTIVITY = """
    select pid, state, coalesce(wait_event_type || ':' || wait_event, 'CPU') as waits_for,
           left(regexp_replace(query, '\\s+', ' ', 'g'), 90) as query
      from pg_stat_activity
     where backend_type = 'client backend' and datname like 'bench_%' and pid <> pg_backend_pid()
"""
_PIDS = "select pid from pg_stat_activity where pid <> pg_backend_pid()"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def watched(server_dsn: str, say: Callable[[str], None]) -> Iterator[None]:
    """Reports a profile of each measurement in the block, which slows the measurements."""

    @contextmanager
    def watch(name: str) -> Iterator[None]:
        sampler, profile = _Sampler(server_dsn), cProfile.Profile()
        began, busy = time.perf_counter(), time.process_time()
        profile.enable()
        try:
            yield
        finally:
            profile.disable()
            whole_s, busy_s = time.perf_counter() - began, time.process_time() - busy
            database_s = sampler.end()
            head = (
                f"\nprofile of {name}: {whole_s:.2f} s; CPU of this process {busy_s:.2f} s, "
                f"of PostgreSQL {database_s:.2f} s"
            )
            say("\n".join((head, *sampler.lines(), _functions(profile))))

    token = WATCHING.set(watch)
    try:
        yield
    finally:
        WATCHING.reset(token)


def _functions(profile: cProfile.Profile) -> str:
    """Functions by their own time, then the region's functions by cumulative time."""
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text).strip_dirs()
    stats.sort_stats("tottime").print_stats(_FUNCTIONS)
    own = pstats.Stats(profile, stream=text)
    own.sort_stats("cumulative").print_stats("regiond/|common/|rackd/", _FUNCTIONS)
    return "\n".join(line for line in text.getvalue().replace(f"{ROOT}/", "").splitlines() if line.strip())


class _Sampler:
    """Samples PostgreSQL's activity a hundred times per second, in a separate thread and connection."""

    def __init__(self, server_dsn: str) -> None:
        self._dsn = server_dsn
        self._ended, self._begun = threading.Event(), threading.Event()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._samples = 0
        self._database_s = 0.0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._go()), name="bench-sampler")
        self._thread.start()
        self._begun.wait(10)

    def end(self) -> float:
        """CPU seconds of PostgreSQL's processes."""
        self._ended.set()
        self._thread.join(10)
        return self._database_s

    def lines(self) -> Iterator[str]:
        """The average number of active connections, by what they do."""
        yield f"  PostgreSQL, connections on average by what they do ({self._samples} samples):"
        for (waits_for, query), times in self._seen.most_common(_STATEMENTS):
            yield f"    {times / max(1, self._samples):5.2f}  {waits_for:24} {query}"

    async def _go(self) -> None:
        db = await connect(self._dsn, application_name="bench-sampler")
        try:
            before = await _cpu_s(db)
            self._begun.set()
            while not self._ended.is_set():
                self._samples += 1
                self._seen.update(_doing(row) for row in await db.fetch(_ACTIVITY) if row["state"] != "idle")
                await asyncio.sleep(_EVERY_S)
            after = await _cpu_s(db)
            self._database_s = sum(max(0.0, spent - before.get(pid, spent)) for pid, spent in after.items())
        finally:
            self._begun.set()
            await db.close()


def _doing(row: asyncpg.Record) -> tuple[str, str]:
    if row["state"].startswith("idle in transaction"):
        return "the region (between two)", row["query"]
    return row["waits_for"], row["query"]


async def _cpu_s(db: asyncpg.Connection[asyncpg.Record]) -> Mapping[int, float]:
    """CPU seconds by process; processes that have ended are omitted."""
    spent = {row["pid"]: _spent_s(row["pid"]) for row in await db.fetch(_PIDS)}
    return {pid: seconds for pid, seconds in spent.items() if seconds is not None}


def _spent_s(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
