"""Reads at a scrape what only the database knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

import structlog
from attrs import define
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common.errors import DatabaseUnavailable
from common.process.metric_families import Family, Sample, metrics_of
from regiond.db.pool import Database
from regiond.metrics.families import Reading

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

READING_DEADLINE_S = 2.0
ANSWER_DEADLINE_S = 5.0  # for all readings together: Prometheus waits 10 s for a scrape
_NOTHING = "select"

UP = Family(name="database_up", text="Whether the database answered at the last scrape.")
SUCCESS = Family(
    name="reading_success", text="Whether the last reading of some values of the database succeeded, by reading.",
    labels=("reading",),
)  # fmt: skip


@define(eq=False)
class _Last:
    """The last result of a reading. `metrics` is None if it failed: an old value would hide the failure."""

    reading: Reading
    metrics: tuple[Metric, ...] | None = None
    read_at: float | None = None

    def is_due(self, now: float) -> bool:
        return self.metrics is None or self.read_at is None or now - self.read_at >= self.reading.every_s


class Readings(Collector):
    """The last values of each reading.

    `refresh` reads what is due, once for all scrapes at the same time. A reading that fails or takes more than 2 s
    leaves the others; then its values are absent, and `innkeeper_reading_success` is 0.
    """

    def __init__(self, registry: CollectorRegistry, database: Database, readings: Sequence[Reading]) -> None:
        self._database = database
        self._all = [_Last(reading) for reading in readings]
        self._is_up = False
        self._refreshing: asyncio.Task[None] | None = None
        registry.register(self)

    @property
    def families(self) -> tuple[Family, ...]:
        return tuple(family for one in self._all for family in one.reading.families)

    async def refresh(self) -> None:
        """Reads what is due. Returns after 6 s at the latest; what is read until then has values."""
        if self._refreshing is None:
            now = time.monotonic()
            due = [one for one in self._all if one.is_due(now)]
            if not due:
                return
            self._refreshing = asyncio.create_task(self._read(due), name="metrics_readings")
        await asyncio.wait([self._refreshing], timeout=ANSWER_DEADLINE_S + 1)  # a cancelled query may not end at once

    async def stop(self) -> None:
        """Ends a reading. Idempotent."""
        if (refreshing := self._refreshing) is not None:
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)

    async def _read(self, due: Sequence[_Last]) -> None:
        answered = False
        try:
            self._is_up = False
            for one in due:
                one.metrics = None
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                await self._await_answer()
                answered = True
                for one in due:
                    await self._read_one(one)
        except DatabaseUnavailable as error:  # the other readings would wait for the same database
            log.warning("metrics_not_read", reason=str(error))
        except TimeoutError:
            log.warning("metrics_not_read", reason="timed out")
        finally:
            self._is_up = answered
            self._refreshing = None

    async def _await_answer(self) -> None:
        """Raises TimeoutError or DatabaseUnavailable. A slow reading does not show that the database is down."""
        async with asyncio.timeout(READING_DEADLINE_S), self._database.connection() as db:
            await db.execute(_NOTHING)

    async def _read_one(self, one: _Last) -> None:
        """Raises DatabaseUnavailable."""
        try:
            async with asyncio.timeout(READING_DEADLINE_S), self._database.connection() as db:
                samples: list[Sample] = [sample async for sample in one.reading.read(db)]
            one.metrics, one.read_at = metrics_of(one.reading.families, samples), time.monotonic()
        except DatabaseUnavailable:
            raise
        except TimeoutError:
            log.warning("metrics_not_read", reading=one.reading.name, reason="timed out")
        except Exception:  # a bug in one reading must not hide the values of the others
            log.exception("metrics_reading_failed", reading=one.reading.name)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: the registry would otherwise collect at registration to learn the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        success = [Sample(SUCCESS, one.metrics is not None, (one.reading.name,)) for one in self._all]
        yield from metrics_of((UP, SUCCESS), [Sample(UP, self._is_up), *success])
        for one in self._all:
            yield from one.metrics or ()
