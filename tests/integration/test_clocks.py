"""Clocks that are set by an hour, either way: nothing is done twice, nothing waits for an hour, and people are told.

PostgreSQL's own clock cannot be set here. That it goes back by an hour is, for every row, the same as the row's moments
moving an hour ahead; that is what these tests do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.certificates import load_certificate, renew_at, utc_now
from rackd.joining import join
from regiond.clocks.model import Reading, database_step_s, skew_s
from regiond.clocks.service import ClockWatch
from regiond.db.pool import Database
from regiond.racks.authority import Authority
from tests.installation import Installation, installed
from tests.integration.linked import Region, dial, region_one
from tests.integration.lying import refusals
from tests.waiting import eventually, settle

HOUR = timedelta(hours=1)
_MOMENTS = (
    "update operation set not_before = not_before + $1::interval, lease_until = lease_until + $1::interval",
    "update region_process set seen_at = seen_at + $1::interval",
    "update vm_host_schedule set next_refresh_at = next_refresh_at + $1::interval",
    "update machine set settled_at = settled_at + $1::interval",
    "update tombstone set given_up_at = given_up_at + $1::interval",
)


async def set_clock(database: Database, *, by: timedelta) -> None:
    async with database.transaction() as db:
        for statement in _MOMENTS:
            await db.execute(statement, -by)


def watch(innkeeper: Installation, steady: list[float]) -> ClockWatch:
    """`steady` holds what its clock says from now on."""
    return ClockWatch(innkeeper.region.parts.database, refresh_every_s=60.0, steady=lambda: steady[0])


def test_a_step_is_what_the_databases_clock_did_and_the_steady_one_did_not() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    begun = Reading(database_at=at, machine_at=at, steady_s=7)

    def later(*, steady_s: float, database_s: float) -> Reading:
        moved = begun.database_at + timedelta(seconds=database_s)
        return Reading(database_at=moved, machine_at=begun.machine_at, steady_s=begun.steady_s + steady_s)

    assert database_step_s(begun, later(steady_s=10, database_s=10.5)) == 0
    assert database_step_s(begun, later(steady_s=10, database_s=-3590)) == -3600
    assert database_step_s(begun, later(steady_s=10, database_s=3610)) == 3600
    assert skew_s(later(steady_s=0, database_s=30)) == 0
    assert skew_s(later(steady_s=0, database_s=3600)) == -3600


@pytest.mark.same_sql
async def test_a_database_whose_clock_goes_back_an_hour_keeps_nothing_waiting(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        steady = [0.0]
        clocks = watch(innkeeper, steady)
        host = await _host_without_rack(innkeeper)
        begun, waits = [await _begin(innkeeper, host, name) for name in ("inn", "out")]  # for a rack
        await clocks.look()
        database = innkeeper.region.parts.database
        async with database.connection() as db:  # a region that died in this hour, with the operation in its hands
            await db.execute("insert into region_process (id, hostname, pid) values ($1, 'dead', 1)", dead := uuid4())
            await db.execute(
                "update operation set lease_owner = $1, lease_until = now() + interval '15 s', state = 'running' "
                "where id = $2", dead, begun,
            )  # fmt: skip
        await set_clock(database, by=-HOUR)
        steady[0] += 3600.0 + 10.0  # what the database's clock did not do
        await clocks.look()
        async with database.connection() as db:
            late = await db.fetchval(
                "select count(*) from operation where finished_at is null "
                "and (not_before > now() or lease_until > now() + interval '15 s')"
            )
            assert late == 0
            lease = await db.fetchval("select lease_until from operation where id = $1", waits)
            assert lease is None  # nobody holds it
            assert await db.fetchval("select count(*) from vm_host_schedule where next_refresh_at > now()") == 0
            assert await db.fetchval("select count(*) from region_process where seen_at > now()") == 0
            assert await db.fetchval("select count(*) from machine where settled_at > now()") == 0
            await db.execute("delete from region_process where id = $1", dead)  # half a minute later
            await db.execute("update operation set lease_until = now()")  # a quarter of a minute later
        (said,) = await refusals(innkeeper, "database_clock_set")
        assert "was set back by 3610 s" in said
        await innkeeper.start_rack()
        await eventually(lambda: _succeeded(innkeeper, begun))
        await eventually(lambda: _succeeded(innkeeper, waits))
        assert innkeeper.simulated_guests() == ["inn", "out"]


@pytest.mark.same_sql
async def test_a_database_whose_clock_goes_an_hour_ahead_in_a_compose_makes_one_machine(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("make volume"):
            begun = await _begin(innkeeper, host["id"])
            await eventually(lambda: _attempt(innkeeper, begun))
            await set_clock(innkeeper.region.parts.database, by=HOUR)  # every lease has lapsed, every region seems dead
            innkeeper.region.parts.engine.wake()  # before this process renews its own
            await innkeeper.region.parts.presence.beat()  # ten seconds later at the latest
            await eventually(lambda: _attempt(innkeeper, begun, at_least=2))
        await eventually(lambda: _succeeded(innkeeper, begun))
        assert innkeeper.simulated_guests() == ["inn"]
        assert len(await refusals(innkeeper, "machine_composed")) == 1


@pytest.mark.same_sql
async def test_a_machine_whose_clock_differs_from_the_databases_is_told_once(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        database = innkeeper.region.parts.database
        ahead = ClockWatch(database, refresh_every_s=60.0, machine=lambda: utc_now() + HOUR)
        await ahead.look()
        await ahead.look()
        (said,) = await refusals(innkeeper, "clock_skewed")
        assert "is 3600 s ahead of the database's" in said


@pytest.fixture(params=[HOUR, -HOUR], ids=["ahead", "behind"])
def odd_region(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Region]:
    """A region whose clock is an hour off; everybody else's is right."""
    by: timedelta = request.param
    region = Region(authority=Authority.open(tmp_path / "authority", clock=lambda: utc_now() + by), tls=region_one)
    region.start()
    yield region
    settle(region.listener.stop())


async def test_a_rack_joins_and_links_to_a_region_whose_clock_is_an_hour_off(
    odd_region: Region, tmp_path: Path
) -> None:
    identity = await join(odd_region.token(), tmp_path / "rack", "rack")
    rack = await dial(odd_region, identity.credentials)
    assert rack.link.is_open
    await rack.end()
    days = (renew_at(load_certificate(identity.certificate_pem)) - utc_now()) / timedelta(days=1)
    assert 4 < days < 5  # of seven


async def _host_without_rack(innkeeper: Installation) -> int:
    """A simulated host that is known, and no rack connected."""
    await innkeeper.start_rack()
    host = await innkeeper.add_simulated()
    await innkeeper.stop_rack("rack")
    return int(host["id"])


async def _begin(innkeeper: Installation, host_id: int, hostname: str = "inn") -> int:
    begun: Any = await innkeeper.post(
        f"vm-hosts/{host_id}/", op="compose", headers={"Prefer": "respond-async"}, hostname=hostname
    )
    return int(begun["id"])


async def _attempt(innkeeper: Installation, operation_id: int, *, at_least: int = 1) -> bool:
    return bool((await innkeeper.get(f"operations/{operation_id}/"))["attempt"] >= at_least)


async def _succeeded(innkeeper: Installation, operation_id: int) -> bool:
    return bool((await innkeeper.get(f"operations/{operation_id}/"))["state"] == "succeeded")
