"""Rows that nobody needs any more are deleted after their period, and no others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from regiond.housekeeping.retention import Retention, RetentionPeriods
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import rows, sql

pytestmark = pytest.mark.database

_OPERATION = """
    insert into operation (kind, state, max_failures, finished_at, not_before)
    values ('refresh', $1, 0, now() - make_interval(days => $2), now() + interval '50 seconds') returning id
"""
_KEY = """
    insert into idempotency_key (account_id, key, request_hash, operation_id, created_at)
    select min(id), $1, '', $2, now() - make_interval(days => $3) from account returning key
"""
_LOG = "insert into operation_log (operation_id, attempt, message) values ($1, 1, 'begins') returning id"
_TOMBSTONE = """
    insert into tombstone (machine_uuid, hostname, host_name, reason, recorded_at)
    values (gen_random_uuid(), $1, 'h', 'deleted', now() - make_interval(days => $2)) returning hostname
"""
_RACK = """
    insert into rack (id, name, certificate_fingerprint, certificate_expires_at, removed_at)
    values (gen_random_uuid(), $1, '', now() - make_interval(days => $2), now() - make_interval(days => $3))
    returning name
"""


def of(innkeeper: Deployment, **days: int) -> Retention:
    periods = RetentionPeriods(**{name: timedelta(days=count) for name, count in days.items()})
    return Retention(innkeeper.region.components.database, periods)


async def operation(innkeeper: Deployment, state: str, days: int) -> int:
    (row,) = await sql(innkeeper, _OPERATION, state, days)
    return int(row["id"])


async def test_ended_operations_are_deleted_with_their_logs(innkeeper: Deployment) -> None:
    old = await operation(innkeeper, "failed", 91)
    await sql(innkeeper, _LOG, old)
    kept = [await operation(innkeeper, "succeeded", 89), await operation(innkeeper, "waiting", 400)]
    deleted = await of(innkeeper).prune()
    assert deleted["operations"] == 1
    assert [id_ for (id_,) in await rows(innkeeper, "select id from operation order by id")] == kept
    assert await rows(innkeeper, "select id from operation_log") == []


async def test_an_operation_stays_while_its_key_does(innkeeper: Deployment) -> None:
    old, running = await operation(innkeeper, "failed", 400), await operation(innkeeper, "waiting", 400)
    await sql(innkeeper, _KEY, "new", old, 6)
    await sql(innkeeper, _KEY, "of an open operation", running, 400)
    assert (await of(innkeeper).prune())["operations"] == 0
    deleted = await of(innkeeper, idempotency_keys=5).prune()
    assert (deleted["idempotency_keys"], deleted["operations"]) == (1, 1)
    assert await rows(innkeeper, "select key from idempotency_key") == [("of an open operation",)]


async def test_tombstones_stay_for_two_years(innkeeper: Deployment) -> None:
    await sql(innkeeper, _TOMBSTONE, "new", 700)
    await sql(innkeeper, _TOMBSTONE, "old", 731)
    assert (await of(innkeeper).prune())["tombstones"] == 1
    assert await rows(innkeeper, "select hostname from tombstone") == [("new",)]


async def test_a_removed_rack_is_deleted_long_after_its_certificate_expired(innkeeper: Deployment) -> None:
    await sql(innkeeper, _RACK, "certificate still valid", -10, 400)
    await sql(innkeeper, _RACK, "just removed", 400, 10)
    await sql(innkeeper, _RACK, "forgotten", 91, 400)
    assert (await of(innkeeper).prune())["racks"] == 1
    left = await rows(innkeeper, "select name from rack where removed_at is not null order by name")
    assert left == [("certificate still valid",), ("just removed",)]
