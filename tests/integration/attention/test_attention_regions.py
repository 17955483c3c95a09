"""Several regions that write times of what needs attention, and the order of quotas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from regiond.attention import recent_quotas
from regiond.attention.model import AttentionLimits
from regiond.attention.service import Attention
from regiond.db.pool import Database
from regiond.quotas.model import Holdings, Limits, Quota
from tests.unit.support.api_samples import ADMIN

pytestmark = pytest.mark.database

_TIMES = "select kind, object, since from attention_since order by kind, object"


def full(number: int, name: str = "default") -> Quota:
    return Quota(id=number, pool_id=0, pool=name, limits=Limits(machines=1), used=Holdings(machines=1))


def region(database: Database, quotas: Callable[[], Awaitable[tuple[Quota, ...]]]) -> Attention:
    return Attention(database, AttentionLimits(), quotas=quotas, certificate_expires_at=lambda: None)


async def times(database: Database) -> list[Any]:
    async with database.connection() as db:
        return list(map(tuple, await db.fetch(_TIMES)))


async def test_a_region_never_overwrites_what_another_recorded(database: Database) -> None:
    meanwhile: list[Any] = []

    async def others() -> tuple[Quota, ...]:
        return (full(1),)

    other = region(database, others)

    async def slowly() -> tuple[Quota, ...]:
        await other.note()
        meanwhile.extend(await times(database))
        return ()

    await region(database, slowly).note()
    assert await times(database) == meanwhile
    await other.note()
    assert [row[1] for row in await times(database)] == ["quota 1"]


async def test_quotas_have_one_order(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_quotas, "QUOTA_SHARE", 0)  # no answer is used twice
    order = [full(number, name) for number, name in ((3, "b"), (1, "a"), (2, "b"))]

    async def quotas() -> tuple[Quota, ...]:
        order.reverse()
        return tuple(order)

    attention = region(database, quotas)
    for _ in range(2):
        (group,) = await attention.groups(caller=ADMIN)
        assert [item.object_id for item in group.items] == ["1", "2", "3"]
