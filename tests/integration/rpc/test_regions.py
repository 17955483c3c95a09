"""`regions/` and `racks/`: state, age, release, links and reach of the daemons."""

from __future__ import annotations

from uuid import UUID, uuid4

from common.errors import HostUnreachable
from common.release import running_release
from regiond.db.migration_files import packaged
from regiond.db.pool import Database
from regiond.racks.reach.heartbeat import Heartbeat
from regiond.racks.reach.heartbeat_store import RackReport
from regiond.racks.reach.service import RackReach
from regiond.racks.service import Racks
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.joined_racks import ADMIN, add_host_row, joined_rack
from tests.integration.support.users import as_user
from tests.postgresql.database import execute
from tests.support.rejections import rejected_status, rejection


async def test_regions_show_age_release_schema_and_racks(innkeeper: Deployment) -> None:
    (region,) = await innkeeper.get("regions/")
    (rack,) = await innkeeper.get("racks/")
    assert (region["state"], region["here"], region["racks"]) == ("running", True, [rack["name"]])
    assert (region["release"], region["schema"]) == (running_release(), packaged()[-1].number)
    assert region["rpc_address"].endswith(f":{innkeeper.region.rpc_port}")
    assert region["api_url"].startswith("http")
    assert region["silent_s"] <= region["age_s"] < 600
    assert [one["id"] for one in rack["regions"]] == [region["id"]]
    assert (rack["state"], rack["release"], rack["unreached"]) == ("connected", running_release(), [])


async def test_a_region_shows_the_operations_it_works_on(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("define guest"):
        operation = await innkeeper.begin_compose(host["id"])
        await innkeeper.wait_for_state(operation, "running")
        assert (await innkeeper.get("regions/"))[0]["operations"] == [operation]
    await innkeeper.ended(operation)
    assert (await innkeeper.get("regions/"))[0]["operations"] == []


async def test_a_region_that_died_is_silent(racks: Racks, database: Database) -> None:
    other = Heartbeat(database, hostname="east boot 7", pid=2, region_id=uuid4())
    await other.write()
    await execute(
        database,
        "update region_process set seen_at = now() - interval '40 s', started_at = now() - interval '1 h'"
        " where pid = 2",
    )
    dead, living = await racks.regions(ADMIN)
    assert (dead.hostname, dead.running, dead.here, dead.release) == ("east", False, False, None)
    assert dead.age_s >= 3600
    assert 40 <= dead.silent_s < 100
    assert (living.running, living.here) == (True, True)


async def test_a_rack_shows_why_it_does_not_reach_a_host(racks: Racks, reach: RackReach, database: Database) -> None:
    reached, unreached, untried = [await add_host_row(database, name) for name in ("a", "b", "c")]
    joined = await joined_rack(racks, "east")
    await reach.record_reach(joined.rack_id, reached)
    await reach.record_reach(joined.rack_id, unreached, HostUnreachable("no route to b"))
    (listed,) = await racks.list()
    assert (listed.state, listed.hosts_reached, listed.hosts_unreached) == ("never connected", 1, 1)
    assert [(one.host_id, one.error_message) for one in listed.hosts] == [(unreached, "no route to b")]
    read = await racks.read(joined.rack_id)
    assert [(one.host_id, one.reaches) for one in read.hosts] == [(reached, True), (unreached, False), (untried, None)]


async def test_a_rack_keeps_its_last_release_and_age_when_it_goes(
    racks: Racks, heartbeat: Heartbeat, database: Database
) -> None:
    joined = await joined_rack(racks, "east")
    await heartbeat.add_link(UUID(joined.rack_id), RackReport(release="1.2.3"))
    (linked,) = await racks.list()
    assert (linked.state, linked.release, linked.connected_at is not None) == ("connected", "1.2.3", True)
    await heartbeat.remove_link(UUID(joined.rack_id))
    await execute(database, "update rack set seen_at = now() - interval '90 s'")
    gone = await racks.read(joined.rack_id)
    assert (gone.state, gone.release, gone.regions) == ("disconnected", "1.2.3", ())
    assert 90 <= gone.age_s < 200
    assert gone.id == UUID(joined.rack_id)


async def test_only_administrators_list_regions(innkeeper: Deployment) -> None:
    assert await rejected_status((await as_user(innkeeper, "ann")).send("GET", "regions/")) == 403


async def test_only_administrators_see_addresses_and_reasons(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.simulated().down():
        await rejection(innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))
        seen = []
        for viewer in (innkeeper, await as_user(innkeeper, "alice")):
            (listed,) = await viewer.get("racks/")
            rack = await viewer.get(f"racks/{listed['id']}/")
            seen += [[one["reason"] for one in (*listed["unreached"], *rack["hosts"])]]
            assert [one["host"] for one in (*listed["unreached"], *rack["hosts"])] == ["sim", "sim"]
            addresses = {(await viewer.get("vm-hosts/"))[0]["address"], (await viewer.get("vm-hosts/sim/"))["address"]}
            assert addresses == ({host["address"]} if viewer is innkeeper else {None})
    reasons, hidden = seen
    assert all(reasons)
    assert hidden == ["", ""]
