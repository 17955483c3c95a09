"""Racks that are connected, to which region, and which of them reaches a host."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DatabaseUnavailable, HostUnreachable
from regiond.db.pool import Database
from regiond.racks.model import RackCandidate, in_order
from regiond.racks.presence import Presence
from regiond.racks.service import Racks
from tests.integration.joined_racks import ADMIN, joined_rack

# Presence ------------------------------------------------------------------------------------------------------------


async def test_a_rack_is_connected_while_a_living_region_has_a_link(racks: Racks, database: Database) -> None:
    joined = await joined_rack(racks)
    await racks.link_up(joined.rack_id)
    await racks.link_up(joined.rack_id)
    await racks.link_down(joined.rack_id)
    rack = await racks.read(joined.rack_id)
    assert rack.connected
    assert rack.seen_at is not None
    async with database.connection() as db:
        await db.execute("update region_process set seen_at = now() - interval '31 seconds'")
    assert not (await racks.read(joined.rack_id)).connected
    async with database.connection() as db:
        await db.execute("update region_process set seen_at = now()")
    await racks.link_down(joined.rack_id)
    assert not (await racks.read(joined.rack_id)).connected


async def test_a_region_whose_rows_were_taken_for_dead_writes_them_again(
    racks: Racks, presence: Presence, database: Database
) -> None:
    joined = await joined_rack(racks)
    await racks.link_up(joined.rack_id)
    async with database.connection() as db:
        await db.execute("delete from region_process")
    await presence.beat()
    assert (await racks.read(joined.rack_id)).connected


async def test_the_racks_of_a_region_that_is_known_to_be_dead_are_not_connected(
    racks: Racks, presence: Presence, database: Database
) -> None:
    joined = await joined_rack(racks)
    await racks.link_up(joined.rack_id)
    await Presence(database, hostname="neighbour", pid=1).forget(presence.region_id)
    assert not (await racks.read(joined.rack_id)).connected
    await presence.beat()  # it lives after all
    assert (await racks.read(joined.rack_id)).connected


async def test_a_region_that_stops_takes_its_rows_away_and_one_long_dead_is_forgotten(database: Database) -> None:
    dead, living = Presence(database, hostname="dead", pid=1), Presence(database, hostname="living", pid=2)
    await dead.beat()
    async with database.connection() as db:
        await db.execute("update region_process set seen_at = now() - interval '11 minutes'")
    await living.start()
    async with database.connection() as db:
        assert [row["hostname"] for row in await db.fetch("select hostname from region_process")] == ["living"]
    await living.stop()
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from region_process") == 0


async def test_a_region_can_stop_without_its_database(database_url: str) -> None:
    database = await Database.open(database_url, min_size=1)
    presence = Presence(database, hostname="region-1", pid=1)
    await presence.start()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await presence.beat()
    await presence.stop()


async def test_regions_that_beat_at_once_with_the_same_racks_do_not_block_each_other(
    racks: Racks, database: Database
) -> None:
    joined = [await joined_rack(racks, f"rack-{number}") for number in range(6)]
    regions = [Presence(database, hostname=f"region-{number}", pid=1) for number in range(4)]
    ups = [region.link_up(UUID(rack.rack_id)) for region in regions for rack in joined]
    await asyncio.gather(*ups)
    await asyncio.gather(*(region.beat() for region in regions for _ in range(5)))
    assert all(rack.connected for rack in await racks.list())


# Reach ---------------------------------------------------------------------------------------------------------------


async def _host(database: Database, name: str = "local") -> int:
    async with database.connection() as db:
        host_id: int = await db.fetchval(
            "insert into vm_host (name, driver, address, system_id) values ($1, 'virsh', $1, $1) returning id", name
        )
    return host_id


async def test_only_news_about_a_host_is_written(racks: Racks, database: Database) -> None:
    joined, host_id = await joined_rack(racks), await _host(database)
    error = HostUnreachable("no route to 10.0.0.1\0")
    said = [
        await racks.record_reach(joined.rack_id, host_id, outcome)
        for outcome in (None, None, error, error, HostUnreachable("timed out"), None)
    ]
    assert said == [True, False, True, False, True, True]
    assert (await racks.read(joined.rack_id)).hosts_reached == 1
    async with database.connection() as db:
        before = await db.fetchval("select xmin::text || ctid::text from rack_reach")
        await racks.record_reach(joined.rack_id, host_id)
        assert await db.fetchval("select xmin::text || ctid::text from rack_reach") == before


async def test_what_is_said_of_a_host_or_rack_that_is_gone_is_forgotten(racks: Racks, database: Database) -> None:
    joined, host_id = await joined_rack(racks), await _host(database)
    assert not await racks.record_reach(joined.rack_id, host_id + 1)
    await racks.remove(ADMIN, joined.rack_id)
    assert not await racks.record_reach(joined.rack_id, host_id)


async def test_the_racks_for_a_host_are_the_connected_ones_that_reach_it_first(
    racks: Racks, database: Database
) -> None:
    host_id = await _host(database)
    failing, untried, reaching, away = [await joined_rack(racks, name) for name in ("a", "b", "c", "d")]
    for rack in (failing, untried, reaching):
        await racks.link_up(rack.rack_id)
    await racks.record_reach(failing.rack_id, host_id, HostUnreachable("no route"))
    await racks.record_reach(reaching.rack_id, host_id)
    await racks.record_reach(away.rack_id, host_id)
    candidates = await racks.racks_for(host_id)
    assert [candidate.name for candidate in candidates] == ["c", "b", "a"]
    assert all(candidate.here for candidate in candidates)
    assert candidates[2].error_message == "no route"


async def test_a_rack_linked_to_another_region_is_offered_after_those_linked_here(
    racks: Racks, database: Database
) -> None:
    host_id = await _host(database)
    there, here = await joined_rack(racks, "a"), await joined_rack(racks, "b")
    other = Presence(database, hostname="region-2", pid=2)
    await other.link_up(UUID(there.rack_id))
    await racks.link_up(here.rack_id)
    assert [(each.name, each.here) for each in await racks.racks_for(host_id)] == [("b", True), ("a", False)]


_moment = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2026, 2, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
_candidate = st.builds(
    RackCandidate,
    rack_id=st.uuids(),
    name=st.just("rack"),
    here=st.booleans(),
    reaches=st.sampled_from([True, False, None]),
    since=_moment,
)


@given(st.lists(_candidate, unique_by=lambda one: one.rack_id))
def test_the_order_does_not_depend_on_the_order_given_and_the_oldest_failure_is_tried_first(
    candidates: list[RackCandidate],
) -> None:
    ordered = in_order(candidates)
    assert in_order(reversed(candidates)) == ordered
    assert sorted(map(id, ordered)) == sorted(map(id, candidates))
    ranks = [{True: 0, None: 1, False: 2}[one.reaches] for one in ordered]
    assert ranks == sorted(ranks)
    for here in (True, False):
        failed = [one.since for one in ordered if one.reaches is False and one.here is here]
        assert failed == sorted(failed, key=lambda at: at or datetime.now(UTC))
