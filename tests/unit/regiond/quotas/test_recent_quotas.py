"""Quotas as pages show them: callers at once share one query."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import DatabaseUnavailable
from regiond.attention.recent_quotas import RecentQuotas
from regiond.quotas.model import Limits, Quota

QUOTA = Quota(id=1, pool_id=0, pool="default", limits=Limits(machines=1))


async def test_pages_at_once_read_the_quotas_once() -> None:
    began, go, reads = asyncio.Event(), asyncio.Event(), 0

    async def query() -> tuple[Quota, ...]:
        nonlocal reads
        reads += 1
        began.set()
        await go.wait()
        return (QUOTA,)

    quotas = RecentQuotas(query=query)
    first, *pages = [asyncio.create_task(quotas.recent()) for _ in range(5)]
    await began.wait()
    first.cancel()  # a browser that went away takes the answer from nobody
    go.set()
    assert await asyncio.gather(*pages) == [(QUOTA,)] * 4
    assert reads == 1
    assert first.cancelled()


async def test_an_error_reaches_all_and_the_next_page_reads_again() -> None:
    answers: list[tuple[Quota, ...]] = []

    async def query() -> tuple[Quota, ...]:
        if answers:
            return answers[0]
        raise DatabaseUnavailable("It is away.")

    quotas = RecentQuotas(query=query)
    pages = [asyncio.create_task(quotas.recent()) for _ in range(2)]
    failed = await asyncio.gather(*pages, return_exceptions=True)
    assert [type(one) for one in failed] == [DatabaseUnavailable] * 2
    answers.append((QUOTA,))
    assert await quotas.recent() == (QUOTA,)


@pytest.mark.parametrize("is_slow", [True, False])
async def test_no_page_waits_for_a_query_that_was_slow(monkeypatch: pytest.MonkeyPatch, *, is_slow: bool) -> None:
    monkeypatch.setattr("regiond.attention.recent_quotas.QUICK_S", -1.0 if is_slow else 60.0)
    monkeypatch.setattr("regiond.attention.recent_quotas.QUOTA_SHARE", 0)
    found: tuple[Quota, ...] = ()

    async def query() -> tuple[Quota, ...]:
        return found

    quotas = RecentQuotas(query=query)
    await quotas.read()
    found = (QUOTA,)
    assert await quotas.recent() == (() if is_slow else (QUOTA,))
