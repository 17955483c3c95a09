"""Reads at a scrape what only the database knows: operations, leases and hosts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog
from attrs import frozen
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.errors import Busy, DatabaseUnavailable
from regiond.db.pool import Database, Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DEADLINE_S = 2.0
CACHED_S = 10.0

# Ended ones are left out: they stay for months, and counting them would read all of the table.
_OPERATIONS = "select kind, state, count(*)::integer as number from operation where is_open group by kind, state"
_OLDEST = """
    select kind, extract(epoch from now() - min(created_at))::float as age_s
      from operation where is_open group by kind
"""
_DUE = "select count(*)::integer from operation where is_open and lease_owner is null and not_before <= now()"
_LEASED = "select count(*)::integer from operation where is_open and lease_owner is not null and lease_until > now()"
_HOSTS = "select state, count(*)::integer as number from vm_host group by state"


@frozen(kw_only=True)
class DatabaseFacts:
    """One reading of the database."""

    operations: tuple[tuple[str, str, int], ...]  # kind, state, number
    oldest: tuple[tuple[str, float], ...]  # kind, age in seconds
    due: int
    leased: int
    hosts: tuple[tuple[str, int], ...]  # state, number


class DatabaseMetrics(Collector):
    """The last reading of the database, and the state of the pool of connections.

    `refresh` reads at most every 10 s, once for all scrapes at the same time, within 2 s. If that fails, a scrape has
    `innkeeper_database_up 0` and no other value of the database: an old value would hide the failure.
    """

    def __init__(self, registry: CollectorRegistry, database: Database) -> None:
        self._database = database
        self._facts: DatabaseFacts | None = None
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None
        registry.register(self)

    async def refresh(self) -> None:
        """Reads the database unless the last reading is recent. Never raises an error of the database."""
        if self._read_at is not None and time.monotonic() - self._read_at < CACHED_S:
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="metrics_read")
        await asyncio.shield(self._reading)

    async def stop(self) -> None:
        """Ends a reading. Idempotent."""
        if (reading := self._reading) is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S), self._database.connection() as db:
                self._facts = await _facts(db)
        except (DatabaseUnavailable, Busy, TimeoutError) as error:
            self._facts = None
            log.warning("metrics_not_read", reason=str(error) or "timed out")
        else:
            self._read_at = time.monotonic()
        finally:
            self._reading = None

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: the registry would otherwise collect at registration to learn the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        yield _gauge("database_up", "Whether the last reading of the database succeeded.", self._facts is not None)
        pool = self._database.pool_use
        connections = _labelled("database_connections", "Connections of the pool, by state.", "state")
        for state, number in (("idle", pool.idle), ("used", pool.size - pool.idle)):
            connections.add_metric([state], number)
        yield connections
        yield _gauge("database_connections_limit", "Connections that the pool may have.", pool.limit)
        yield _gauge("database_connection_waiters", "Tasks that wait for a connection.", pool.waiting)
        if (facts := self._facts) is None:
            return
        operations = _labelled("operations", "Unfinished operations, by kind and state.", "kind", "state")
        for kind, state, number in facts.operations:
            operations.add_metric([kind, state], number)
        yield operations
        oldest = _labelled("operation_oldest_age_seconds", "Age of the oldest unfinished operation, by kind.", "kind")
        for kind, age_s in facts.oldest:
            oldest.add_metric([kind], age_s)
        yield oldest
        yield _gauge("operations_due", "Operations that are due and that no region has leased.", facts.due)
        yield _gauge("operation_leases", "Leases of operations, of all regions.", facts.leased)
        hosts = _labelled("hosts", "VM hosts, by state.", "state")
        for state, number in facts.hosts:
            hosts.add_metric([state], number)
        yield hosts


async def _facts(db: Db) -> DatabaseFacts:
    return DatabaseFacts(
        operations=tuple((row["kind"], row["state"], row["number"]) for row in await db.fetch(_OPERATIONS)),
        oldest=tuple((row["kind"], row["age_s"]) for row in await db.fetch(_OLDEST)),
        due=await db.fetchval(_DUE),
        leased=await db.fetchval(_LEASED),
        hosts=tuple((row["state"], row["number"]) for row in await db.fetch(_HOSTS)),
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"innkeeper_{name}", text, value=float(value))


def _labelled(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"innkeeper_{name}", text, labels=labels)
