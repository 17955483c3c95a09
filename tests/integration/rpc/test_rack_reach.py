"""Which racks are connected, to which region, and which of them reach a host."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DatabaseUnavailable, HostUnreachable
from regiond.db.migration_files import packaged
from regiond.db.pool import Database
from regiond.racks.reach.heartbeat import Heartbeat
from regiond.racks.reach.heartbeat_store import RackReport
from regiond.racks.reach.service import RackReach
from regiond.racks.reach_model import RackCandidate, WaitLimits, sort_candidates
from regiond.racks.service import Racks
from tests.integration.support.rigs.joined_racks import ADMIN, add_host_row, joined_rack
from tests.postgresql.database import execute, fetchval


async def test_a_rack_is_connected_while_a_live_region_has_a_link(
    racks: Racks, heartbeat: Heartbeat, database: Database
) -> None:
    joined = await joined_rack(racks)
    await heartbeat.add_link(UUID(joined.rack_id))
    await heartbeat.add_link(UUID(joined.rack_id))
    await heartbeat.remove_link(UUID(joined.rack_id))
    rack = await racks.read(joined.rack_id)
    assert rack.connected
    assert rack.seen_at is not None
    await execute(database, "update region_process set seen_at = now() - interval '31 seconds'")
    assert not (await racks.read(joined.rack_id)).connected
    await execute(database, "update region_process set seen_at = now()")
    await heartbeat.remove_link(UUID(joined.rack_id))
    assert not (await racks.read(joined.rack_id)).connected


async def test_a_rack_whose_link_just_ended_is_disconnected(
    racks: Racks, heartbeat: Heartbeat, reach: RackReach, database: Database
) -> None:
    """The link ends before its row is deleted. Else what another rack says of the host would be the reason."""
    rack, host_id = UUID((await joined_rack(racks)).rack_id), await add_host_row(database, "h")
    await heartbeat.add_link(rack)
    await reach.record_reach(str(rack), host_id)
    assert await reach.disconnected_racks(host_id, linked=[rack]) == ()
    assert [one.name for one in await reach.disconnected_racks(host_id, linked=[])] == ["rack-1"]
    other = Heartbeat(database, hostname="region-2", pid=1)
    await other.write()
    await other.add_link(rack)
    assert await reach.disconnected_racks(host_id, linked=[]) == ()


async def test_a_live_region_restores_its_deleted_rows(racks: Racks, heartbeat: Heartbeat, database: Database) -> None:
    joined = await joined_rack(racks)
    await heartbeat.add_link(UUID(joined.rack_id))
    await execute(database, "delete from region_process")
    await heartbeat.write()
    assert (await racks.read(joined.rack_id)).connected


async def test_links_of_a_dead_region_do_not_count(racks: Racks, heartbeat: Heartbeat, database: Database) -> None:
    joined = await joined_rack(racks)
    await heartbeat.add_link(UUID(joined.rack_id))
    await Heartbeat(database, hostname="region-2", pid=1).delete_region(heartbeat.region_id)
    assert not (await racks.read(joined.rack_id)).connected
    await heartbeat.write()  # it is still alive
    assert (await racks.read(joined.rack_id)).connected


async def test_rows_of_stopped_and_dead_regions_are_deleted(database: Database) -> None:
    dead, living = Heartbeat(database, hostname="dead", pid=1), Heartbeat(database, hostname="living", pid=2)
    await dead.write()
    await execute(database, "update region_process set seen_at = now() - interval '11 minutes'")
    await living.start()
    assert await fetchval(database, "select array_agg(hostname) from region_process") == ["living"]
    await living.stop()
    assert await fetchval(database, "select count(*) from region_process") == 0


async def test_a_new_region_awaits_the_racks_of_living_ones(racks: Racks, database: Database) -> None:
    joined = await joined_rack(racks)
    older = Heartbeat(database, hostname="older", pid=1, schema_number=packaged()[-1].number)
    new = Heartbeat(database, hostname="new", pid=2)
    await older.write()
    await new.write()
    assert not await new.awaits_racks()
    await older.add_link(UUID(joined.rack_id))
    assert await new.awaits_racks()
    assert not await older.awaits_racks()
    await execute(database, "update region_process set seen_at = now() - interval '31 s' where hostname = 'older'")
    assert not await new.awaits_racks()
    await older.write()
    assert await new.awaits_racks()
    await execute(database, "insert into schema_migration (number, name, digest) values (9000, '', '')")
    assert not await new.awaits_racks()  # the older region stops because of this one
    await execute(database, "update schema_migration set usable_from = 1 where number = 9000")
    assert await new.awaits_racks()
    await new.add_link(UUID(joined.rack_id))
    assert not await new.awaits_racks()


async def test_a_region_can_stop_without_its_database(database_url: str) -> None:
    database = await Database.open(database_url, min_size=1)
    heartbeat = Heartbeat(database, hostname="region-1", pid=1)
    await heartbeat.start()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await heartbeat.write()
    await heartbeat.stop()


async def test_concurrent_heartbeats_do_not_deadlock(racks: Racks, database: Database) -> None:
    joined = [await joined_rack(racks, f"rack-{number}") for number in range(6)]
    regions = [Heartbeat(database, hostname=f"region-{number}", pid=1) for number in range(4)]
    added = [region.add_link(UUID(rack.rack_id)) for region in regions for rack in joined]
    await asyncio.gather(*added)
    await asyncio.gather(*(region.write() for region in regions for _ in range(5)))
    assert all(rack.connected for rack in await racks.list())


async def test_only_changes_of_reach_are_written(racks: Racks, reach: RackReach, database: Database) -> None:
    joined, host_id = await joined_rack(racks), await add_host_row(database)
    error = HostUnreachable("no route to 10.0.0.1\0")
    changed = [
        (await reach.record_reach(joined.rack_id, host_id, outcome)).changed
        for outcome in (None, None, error, error, HostUnreachable("timed out"), None)
    ]
    assert changed == [True, False, True, False, True, True]
    assert (await racks.read(joined.rack_id)).hosts_reached == 1
    before = await fetchval(database, "select xmin::text || ctid::text from rack_reach")
    await reach.record_reach(joined.rack_id, host_id)
    assert await fetchval(database, "select xmin::text || ctid::text from rack_reach") == before


async def test_reach_of_a_deleted_host_or_rack_is_ignored(racks: Racks, reach: RackReach, database: Database) -> None:
    joined, host_id = await joined_rack(racks), await add_host_row(database)
    assert not (await reach.record_reach(joined.rack_id, host_id + 1)).changed
    await racks.remove(ADMIN, joined.rack_id)
    assert not (await reach.record_reach(joined.rack_id, host_id)).changed


async def test_connected_racks_that_reach_the_host_come_first(
    racks: Racks, reach: RackReach, heartbeat: Heartbeat, database: Database
) -> None:
    host_id = await add_host_row(database)
    failing, untried, reaching, disconnected = [await joined_rack(racks, name) for name in ("a", "b", "c", "d")]
    for rack in (failing, untried, reaching):
        await heartbeat.add_link(UUID(rack.rack_id))
    await reach.record_reach(failing.rack_id, host_id, HostUnreachable("no route"))
    await reach.record_reach(reaching.rack_id, host_id)
    await reach.record_reach(disconnected.rack_id, host_id)
    candidates = await reach.racks_for(host_id)
    assert [candidate.name for candidate in candidates] == ["c", "b", "a"]
    assert all(candidate.here for candidate in candidates)
    assert candidates[2].error_message == "no route"


async def test_racks_linked_to_another_region_come_last(
    racks: Racks, reach: RackReach, heartbeat: Heartbeat, database: Database
) -> None:
    host_id = await add_host_row(database)
    there, here = await joined_rack(racks, "a"), await joined_rack(racks, "b")
    other = Heartbeat(database, hostname="region-2", pid=2)
    await other.add_link(UUID(there.rack_id))
    await heartbeat.add_link(UUID(here.rack_id))
    assert [(each.name, each.here) for each in await reach.racks_for(host_id)] == [("b", True), ("a", False)]


_timestamps = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2026, 2, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the time zone
_candidate = st.builds(
    RackCandidate,
    rack_id=st.uuids(),
    name=st.just("rack"),
    here=st.booleans(),
    reaches=st.sampled_from([True, False, None]),
    since=_timestamps,
)


@pytest.mark.slow
@given(st.lists(_candidate, unique_by=lambda one: one.rack_id))
def test_the_order_is_total_and_the_oldest_failure_comes_first(candidates: list[RackCandidate]) -> None:
    ordered = sort_candidates(candidates)
    assert sort_candidates(reversed(candidates)) == ordered
    assert sorted(map(id, ordered)) == sorted(map(id, candidates))
    ranks = [{True: 0, None: 1, False: 2}[one.reaches] for one in ordered]
    assert ranks == sorted(ranks)
    for here in (True, False):
        failed = [one.since for one in ordered if one.reaches is False and one.here is here]
        assert failed == sorted(failed, key=lambda at: at or datetime.now(UTC))


async def test_only_racks_that_may_still_run_a_call_are_waited_for(
    racks: Racks, reach: RackReach, heartbeat: Heartbeat, database: Database
) -> None:
    host_id = await add_host_row(database)
    names = ("asked", "elsewhere", "long-gone", "removed", "seen")
    ids = {name: UUID((await joined_rack(racks, name)).rack_id) for name in names}
    for name in names:
        await heartbeat.add_link(ids[name], RackReport(link_idle_timeout_s=300.0 if name == "removed" else None))
    await heartbeat.remove_link(ids["long-gone"])
    await execute(database, "update rack set seen_at = now() - interval '61 seconds' where id = $1", ids["long-gone"])
    await execute(database, "update rack set zone_ids = '{}' where id = $1", ids["elsewhere"])
    await racks.remove(ADMIN, str(ids["removed"]))
    since = await fetchval(database, "select now()")
    waits = WaitLimits(since=since, running_s=1800.0, lost_margin_s=15.0, idle_timeout_s=45.0)
    found = await reach.racks_to_wait_for(host_id, waits, ended=[ids["asked"]], running=[])
    assert [(one.name, one.lost_s) for one in found] == [("removed", 315.0), ("seen", 60.0)]
