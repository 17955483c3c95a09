"""Readings at a scrape: once for all scrapes, within a deadline, and each for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from common.errors import DatabaseUnavailable
from common.process.metric_families import Family, Sample
from regiond.db.pool import Database
from regiond.metrics import readings
from regiond.metrics.families import Reading
from regiond.metrics.readings import Readings
from tests.doubles.signatures import in_place_of
from tests.support.clock import advance, in_no_time
from tests.support.waiting import eventually

ONE, TWO = Family(name="one", text="One."), Family(name="two", text="Two.")


class _Database:
    """Has connections unless it is `down`; it answers unless it `hangs`."""

    down = False
    hangs = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[_Database]:
        if self.down:
            raise DatabaseUnavailable("the database is down")
        yield self

    async def execute(self, _: str) -> None:
        if self.hangs:
            await asyncio.Event().wait()


class Scraped:
    """Two readings of a database; the first does what the test wants."""

    def __init__(self, first: Callable[[], Any] = lambda: None, *, every_s: float = 10.0) -> None:
        self.registry, self.database, self.reads = CollectorRegistry(), _Database(), [0, 0]

        async def one(_: Any) -> AsyncIterator[Sample]:
            self.reads[0] += 1
            waited = first()
            if waited is not None:
                await waited
            yield Sample(ONE, self.reads[0])

        async def two(_: Any) -> AsyncIterator[Sample]:
            self.reads[1] += 1
            yield Sample(TWO, self.reads[1])

        self.readings = Readings(
            self.registry, in_place_of(Database, self.database),
            (
                Reading(name="one", families=(ONE,), read=one, every_s=every_s),
                Reading(name="two", families=(TWO,), read=two),
            ),
        )  # fmt: skip

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"innkeeper_{name}", labels)


async def test_scrapes_at_the_same_time_share_a_reading() -> None:
    answer = asyncio.Event()
    scraped = Scraped(answer.wait)
    scrapes = [asyncio.create_task(scraped.readings.refresh()) for _ in range(3)]
    await eventually(lambda: scraped.reads[0] == 1)
    scrapes[0].cancel()  # a scraper that gives up ends nothing for the others
    answer.set()
    await asyncio.gather(*scrapes[1:])
    assert scraped.reads == [1, 1]
    assert (scraped.value("one"), scraped.value("two")) == (1, 1)


async def test_each_reading_is_repeated_after_its_own_time() -> None:
    scraped = Scraped(every_s=60)
    await scraped.readings.refresh()
    await scraped.readings.refresh()
    assert scraped.reads == [1, 1]
    await advance(11)
    await scraped.readings.refresh()
    assert scraped.reads == [1, 2]
    await advance(50)
    await scraped.readings.refresh()
    assert scraped.reads == [2, 3]


async def test_a_reading_that_fails_leaves_the_others() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    scraped = Scraped(fail)
    await scraped.readings.refresh()
    assert (scraped.value("one"), scraped.value("two")) == (None, 1)
    assert scraped.value("reading_success", reading="one") == 0
    assert scraped.value("reading_success", reading="two") == 1
    assert scraped.value("database_up") == 1


async def test_a_reading_that_hangs_leaves_the_others() -> None:
    scraped = Scraped(asyncio.Event().wait)
    await in_no_time(scraped.readings.refresh(), step_s=readings.READING_DEADLINE_S)
    assert (scraped.value("one"), scraped.value("two")) == (None, 1)
    assert scraped.value("reading_success", reading="one") == 0


async def test_a_slow_reading_alone_is_no_database_that_is_down() -> None:
    scraped = Scraped(asyncio.Event().wait)
    for _ in range(2):  # the second scrape, as of another Prometheus, repeats only what has failed
        await in_no_time(scraped.readings.refresh(), step_s=readings.READING_DEADLINE_S)
        assert scraped.value("database_up") == 1
    assert (scraped.reads, scraped.value("two")) == ([2, 1], 1)


async def test_a_database_that_hangs_is_down_and_is_asked_once() -> None:
    scraped = Scraped()
    await scraped.readings.refresh()
    assert scraped.value("database_up") == 1
    scraped.database.hangs = True
    await advance(11)
    await in_no_time(scraped.readings.refresh(), step_s=readings.READING_DEADLINE_S)
    assert scraped.value("database_up") == 0
    assert scraped.reads == [1, 1]


async def test_a_scrape_is_answered_while_a_reading_cannot_end() -> None:
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    scraped = Scraped(deaf)
    await in_no_time(scraped.readings.refresh())
    assert (scraped.value("one"), scraped.value("two")) == (None, None)
    assert scraped.value("database_up") == 0
    release.set()
    await scraped.readings.stop()


async def test_old_values_do_not_hide_a_database_that_is_down() -> None:
    scraped = Scraped()
    await scraped.readings.refresh()
    scraped.database.down = True
    await advance(11)
    await scraped.readings.refresh()
    assert scraped.value("database_up") == 0
    assert (scraped.value("one"), scraped.value("two")) == (None, None)
    assert scraped.reads == [1, 1]
    scraped.database.down = False
    await scraped.readings.refresh()
    assert scraped.value("database_up") == 1
    assert (scraped.value("one"), scraped.value("two")) == (2, 2)
