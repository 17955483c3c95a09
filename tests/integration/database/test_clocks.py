"""Clocks that are set by an hour: nothing runs twice, nothing waits for an hour, and an event reports it.

The tests cannot set PostgreSQL's clock. Instead of setting it back by an hour, they move the timestamps of all rows an
hour ahead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from common.trust.certificates import load_certificate, renew_at, utc_now
from rackd.enrolment import join
from regiond.db.pool import Database
from regiond.housekeeping.clock_monitor import ClockMonitor
from regiond.housekeeping.model import ClockReading, database_step_s, skew_s
from regiond.racks.enrolment.authority import Authority
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.byzantine_rack import recorded_messages
from tests.integration.support.rigs.linked import Region, dial, region_one
from tests.support.waiting import eventually, settle

HOUR = timedelta(hours=1)
_SHIFTS = (
    "update operation set not_before = not_before + $1::interval, lease_until = lease_until + $1::interval",
    "update region_process set seen_at = seen_at + $1::interval",
    "update vm_host_schedule set next_refresh_at = next_refresh_at + $1::interval",
    "update machine set settled_at = settled_at + $1::interval",
    "update tombstone set recorded_at = recorded_at + $1::interval",
)


async def set_clock(database: Database, *, by: timedelta) -> None:
    async with database.transaction() as db:
        for statement in _SHIFTS:
            await db.execute(statement, -by)


def monitor(innkeeper: Deployment, monotonic: list[float]) -> ClockMonitor:
    """Returns a clock monitor whose monotonic clock shows the value in `monotonic`."""
    return ClockMonitor(innkeeper.region.components.database, refresh_every_s=60.0, monotonic=lambda: monotonic[0])


def test_a_clock_step_is_detected_by_the_monotonic_clock() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    first = ClockReading(database_at=at, computer_at=at, monotonic_s=7)

    def later(*, monotonic_s: float, database_s: float) -> ClockReading:
        moved = first.database_at + timedelta(seconds=database_s)
        return ClockReading(
            database_at=moved, computer_at=first.computer_at, monotonic_s=first.monotonic_s + monotonic_s
        )

    assert database_step_s(first, later(monotonic_s=10, database_s=10.5)) == 0
    assert database_step_s(first, later(monotonic_s=10, database_s=-3590)) == -3600
    assert database_step_s(first, later(monotonic_s=10, database_s=3610)) == 3600
    assert skew_s(later(monotonic_s=0, database_s=30)) == 0
    assert skew_s(later(monotonic_s=0, database_s=3600)) == -3600


async def test_after_the_database_clock_is_set_back_nothing_waits_for_it(rackless: Deployment) -> None:
    monotonic = [0.0]
    clocks = monitor(rackless, monotonic)
    host = await _host_without_rack(rackless)
    running, waiting = [await rackless.begin_compose(host, hostname=name) for name in ("one", "two")]
    await clocks.check()
    database = rackless.region.components.database
    async with database.connection() as db:  # a region that died within the hour holds the first operation
        await db.execute("insert into region_process (id, hostname, pid) values ($1, 'dead', 1)", dead := uuid4())
        await db.execute(
            "update operation set lease_owner = $1, lease_until = now() + interval '15 s', state = 'running' "
            "where id = $2", dead, running,
        )  # fmt: skip
    await set_clock(database, by=-HOUR)
    monotonic[0] += 3600.0 + 10.0  # the database's clock went back instead
    await clocks.check()
    async with database.connection() as db:
        for late in (
            "operation where finished_at is null "
            "and (not_before > now() + interval '1 minute' or lease_until > now() + interval '15 s')",
            "operation where lease_until is not null and lease_owner is null",
            "vm_host_schedule where next_refresh_at > now()",
            "region_process where seen_at > now()",
            "machine where settled_at > now()",
        ):
            assert await db.fetchval(f"select count(*) from {late}") == 0, late  # noqa: S608  constants above
        await db.execute("delete from region_process where id = $1", dead)  # half a minute later
        await db.execute("update operation set lease_until = now()")  # a quarter of a minute later
    (message,) = await recorded_messages(rackless, "database_clock_set")
    assert re.search(r"was set back by 3(610|60\d) s", message)  # less what the test has taken
    await rackless.start_rack()
    assert [await rackless.ended(one) for one in (running, waiting)] == ["succeeded"] * 2
    assert rackless.simulated_guests() == ["one", "two"]


async def test_a_compose_during_a_clock_step_creates_one_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        operation_id = await innkeeper.begin_compose(host["id"], hostname="vm")
        await eventually(lambda: _attempt(innkeeper, operation_id))
        # Every lease has lapsed, and every region seems dead until it writes its next heartbeat.
        await set_clock(innkeeper.region.components.database, by=HOUR)
        innkeeper.region.components.engine.wake()
        await innkeeper.region.components.heartbeat.write()
        await eventually(lambda: _attempt(innkeeper, operation_id, at_least=2))
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert innkeeper.simulated_guests() == ["vm"]
    assert len(await recorded_messages(innkeeper, "machine_composed")) == 1


async def test_a_skewed_clock_is_reported_once_in_each_direction(rackless: Deployment) -> None:
    database = rackless.region.components.database
    computer = [HOUR]
    clocks = ClockMonitor(database, refresh_every_s=60.0, computer=lambda: utc_now() + computer[0])
    await clocks.check()
    await clocks.check()
    (message,) = await recorded_messages(rackless, "clock_skewed")
    assert re.search(r"is 3(59|60)\d s ahead of the database's", message)
    computer[0] = -HOUR
    await clocks.check()
    await clocks.check()
    messages = await recorded_messages(rackless, "clock_skewed")
    assert len(messages) == 2
    assert any(re.search(r"is 3(59|60)\d s behind the database's", each) for each in messages)


@pytest.fixture(params=[HOUR, -HOUR], ids=["ahead", "behind"])
def odd_region(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Region]:
    """A region whose clock is an hour off; the rack's clock is right."""
    by: timedelta = request.param
    region = Region(authority=Authority.open(tmp_path / "authority", clock=lambda: utc_now() + by), tls=region_one)
    region.start()
    yield region
    settle(region.listener.stop())


async def test_a_rack_joins_a_region_whose_clock_is_an_hour_off(odd_region: Region, tmp_path: Path) -> None:
    identity = await join(odd_region.token(), tmp_path / "rack", "rack")
    rack = await dial(odd_region, identity.credentials)
    assert rack.link.is_open
    await rack.end()
    days = (renew_at(load_certificate(identity.certificate_pem)) - utc_now()) / timedelta(days=1)
    assert 4 < days < 5  # of seven


async def _host_without_rack(innkeeper: Deployment) -> int:
    """Adds a simulated host, then disconnects the rack; returns the host's id."""
    await innkeeper.start_rack()
    host = await innkeeper.add_simulated()
    await innkeeper.stop_rack("rack")
    return int(host["id"])


async def _attempt(innkeeper: Deployment, operation_id: int, *, at_least: int = 1) -> bool:
    return bool((await innkeeper.get(f"operations/{operation_id}/"))["attempt"] >= at_least)
