"""Racks serve zones: which hosts a rack hears of, and when it receives and forgets their credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, TokenRejected
from common.rpc.commands.region_commands import JoinCall
from regiond.db.pool import Database
from regiond.groups.service import Groups
from regiond.hosts.model import HostState
from regiond.racks.reach.link_supervisor import PROBE_EVERY_S, WATCH_EVERY_S, ZONES_EVERY_S
from regiond.racks.reach.service import RackReach
from regiond.racks.service import Racks
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.joined_racks import ADMIN, add_host_row, joined_rack, signing_request
from tests.integration.support.rigs.lxd_hosts import add, is_ready, state
from tests.integration.support.rigs.recording_racks import RecordedRacks, start_rack
from tests.integration.support.tables import rows
from tests.support.clock import advance
from tests.support.waiting import eventually

_HELD = """
    select r.name, h.name from rack_credential c join rack r on r.id = c.rack_id join vm_host h on h.id = c.host_id
     where c.forgotten_at is null order by 1, 2
"""


@asynccontextmanager
async def zoned(folder: Path, dsn: str, recorded: RecordedRacks) -> AsyncIterator[Deployment]:
    """A region with the zones x and y, and no rack."""
    async with deployed(folder, dsn, drivers=recorded.drivers) as innkeeper:
        for name in ("x", "y"):
            await innkeeper.post("zones/", name=name)
        yield innkeeper


@pytest.fixture
def groups(database: Database) -> Groups:
    return Groups(database)


@pytest.fixture
def recorded(lxds: FakeLxds) -> RecordedRacks:
    lxds.add(FakeLxd(name="lxd1"), FakeLxd(name="lxd2"))
    return RecordedRacks(lxds)


async def add_lxd(innkeeper: Deployment, lxds: FakeLxds, server: str, zone: str = "default") -> Any:
    return await add(innkeeper, server, name=server, zone=zone, password=lxds.servers[server].token())


async def probes_ended(innkeeper: Deployment) -> None:
    """Returns when every linked rack has probed every host of its zones."""
    await innkeeper.region.components.link_supervisor.settled()
    components = innkeeper.region.components
    reach = RackReach(components.database, components.heartbeat.region_id)

    async def none_untried() -> bool:
        return not await reach.untried_hosts()

    await advance(PROBE_EVERY_S)
    await eventually(none_untried)


async def test_a_rack_hears_nothing_of_hosts_of_other_zones(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    async with zoned(tmp_path, database_url, recorded) as innkeeper:
        await start_rack(innkeeper, "a", ["x"])
        await start_rack(innkeeper, "b", ["y"])
        for server, zone in (("lxd1", "x"), ("lxd2", "y")):
            host = await add_lxd(innkeeper, lxds, server, zone)
            await innkeeper.compose(host["id"])
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        await probes_ended(innkeeper)
        await innkeeper.in_process.restart("a")
        await probes_ended(innkeeper)
        shown = await innkeeper.get("racks/a/")
        assert (shown["zones"], shown["all_zones"]) == (["x"], False)
        assert [host["host"] for host in shown["hosts"]] == ["lxd1"]
    assert (recorded.servers("a"), recorded.servers("b")) == ({"lxd1"}, {"lxd2"})
    assert (recorded.secrets("a"), recorded.secrets("b")) == ({"lxd1"}, {"lxd2"})


@pytest.mark.slow
async def test_racks_without_zones_work_with_every_host(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    async with zoned(tmp_path, database_url, recorded) as innkeeper:
        await innkeeper.start_rack("a")
        await add_lxd(innkeeper, lxds, "lxd1", "x")
        await add_lxd(innkeeper, lxds, "lxd2", "y")
        shown = await innkeeper.get("racks/a/")
        assert (shown["zones"], shown["all_zones"], shown["hosts_reached"]) == ([], True, 2)


@pytest.mark.slow
async def test_a_rack_that_does_not_act_receives_no_credentials(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    async with zoned(tmp_path, database_url, recorded) as innkeeper:
        await innkeeper.start_rack("a")
        host, components = await add_lxd(innkeeper, lxds, "lxd1"), innkeeper.region.components
        await advance(WATCH_EVERY_S)
        await eventually(lambda: host["id"] in components.link_supervisor.watched)
        await components.schedule.stop()  # of two racks that reach the host, either could watch or refresh it
        await innkeeper.start_rack("b")
        await eventually(lambda: _reaches(innkeeper, "b", "lxd1"))
        assert recorded.secrets("b") == set()
        assert await rows(innkeeper, _HELD) == [("a", "lxd1")]
        await innkeeper.stop_rack("a")
        await innkeeper.post("vm-hosts/lxd1/", op="refresh")
        assert recorded.secrets("b") == {"lxd1"}
        assert await rows(innkeeper, _HELD) == [("a", "lxd1"), ("b", "lxd1")]


async def _reaches(innkeeper: Deployment, rack: str, host: str) -> bool:
    shown = await innkeeper.get(f"racks/{rack}/")
    return any(one["host"] == host and one["reaches"] for one in shown["hosts"])


async def test_a_rack_that_cannot_reach_a_host_never_gets_its_secrets(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    async with zoned(tmp_path, database_url, recorded) as innkeeper:
        await innkeeper.start_rack("a")
        host = await add_lxd(innkeeper, lxds, "lxd1")
        recorded.racks["b"].cut_off.add("lxd1")
        await innkeeper.start_rack("b")
        await innkeeper.stop_rack("a")
        with pytest.raises(InnkeeperError, match="no route to host"):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert recorded.servers("b") == {"lxd1"}
    assert recorded.secrets("b") == set()


async def test_a_rack_that_meets_another_server_gets_no_secrets(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    impostor = FakeLxd(name="impostor")
    async with zoned(tmp_path, database_url, recorded) as innkeeper:
        await innkeeper.start_rack("a")
        host = await add_lxd(innkeeper, lxds, "lxd1")
        recorded.racks["b"].impostors["lxd1"] = impostor
        await innkeeper.start_rack("b")
        await innkeeper.stop_rack("a")
        with pytest.raises(InnkeeperError) as error:
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        for fingerprint in (impostor.fingerprint, lxds.servers["lxd1"].fingerprint):
            assert fingerprint in error.value.message
    assert recorded.secrets("b") == set()


@pytest.mark.slow
async def test_a_host_that_leaves_the_zone_is_forgotten_and_its_racks_named(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    async with zoned(tmp_path, database_url, recorded) as innkeeper:
        await start_rack(innkeeper, "a", ["x"])
        host = await add_lxd(innkeeper, lxds, "lxd1", "x")
        supervisor = innkeeper.region.components.link_supervisor
        await advance(WATCH_EVERY_S)
        await eventually(lambda: host["id"] in supervisor.watched)
        await innkeeper.put(f"vm-hosts/{host['id']}/", zone="y")
        await advance(ZONES_EVERY_S)
        await innkeeper.after_refreshes(lambda: _unreachable(innkeeper, host))
        assert await rows(innkeeper, _HELD) == []
        assert host["id"] not in supervisor.watched
        seen = len(recorded.racks["a"].sent)
        _, code, message = await state(innkeeper, host)
        assert code == "rack_unreachable"
        assert "No rack serves zone y; racks: a (zone x)." in message
        with pytest.raises(InnkeeperError, match=r"No rack serves zone y; racks: a \(zone x\)"):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert len(recorded.racks["a"].sent) == seen
        await innkeeper.put("racks/a/", zones="x,y")
        await advance(ZONES_EVERY_S)
        await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))
        assert await rows(innkeeper, _HELD) == [("a", "lxd1")]


async def _unreachable(innkeeper: Deployment, host: Any) -> bool:
    return (await state(innkeeper, host))[0] is HostState.UNREACHABLE and not await rows(innkeeper, _HELD)


@pytest.mark.slow
async def test_another_rack_takes_over_the_hosts_of_a_zone(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    async with zoned(tmp_path, database_url, recorded) as innkeeper:
        await innkeeper.start_rack("a")
        await innkeeper.start_rack("b")
        host = await add_lxd(innkeeper, lxds, "lxd1", "x")
        ((holder, _),) = await rows(innkeeper, _HELD)
        await innkeeper.put(f"racks/{holder}/", zones="y")
        other = "b" if holder == "a" else "a"
        await innkeeper.compose(host["id"])
        await advance(ZONES_EVERY_S)
        await eventually(partial(_held_by, innkeeper, [(other, "lxd1")]))
        events = await innkeeper.get("events/", op="query")
        assert any(f"The rack '{holder}' serves zone y; before" in one["description"] for one in events["events"])


async def _held_by(innkeeper: Deployment, expected: list[tuple[str, str]]) -> bool:
    return await rows(innkeeper, _HELD) == expected


async def test_zones_are_checked_and_can_be_all_again(racks: Racks, groups: Groups) -> None:
    await groups.create_zone(ADMIN, "west")
    joined = await joined_rack(racks)
    assert (await racks.read(joined.rack_id)).zones is None
    assert (await racks.update(ADMIN, joined.rack_id, zones=("west", "default"))).zones == ("default", "west")
    for wrong in ((), ("nowhere",), ("west", "n\0")):
        with pytest.raises(InvalidRequest) as error:
            await racks.update(ADMIN, joined.rack_id, zones=wrong)
        assert "zones" in error.value.details["fields"]
    assert (await racks.update(ADMIN, joined.rack_id, zones=None)).zones is None


async def test_a_token_without_zones_that_still_exist_is_rejected(racks: Racks, groups: Groups) -> None:
    await groups.create_zone(ADMIN, "west")
    secret = (await racks.create_token(ADMIN, lifetime_s=60, zones=("west",))).removeprefix("token:")
    await groups.delete_zone(ADMIN, "west")
    call = JoinCall(token_secret=secret, name="late", signing_request_pem=signing_request())
    with pytest.raises(TokenRejected, match="zones of this token were deleted"):
        await racks.enrol(call)


async def test_a_zone_that_a_rack_names_is_not_deleted_under_it(
    racks: Racks, groups: Groups, database: Database
) -> None:
    await groups.create_zone(ADMIN, "west")
    await groups.create_zone(ADMIN, "east")
    await add_host_row(database)  # in the default zone
    joined = await joined_rack(racks)
    await racks.update(ADMIN, joined.rack_id, zones=("west",))
    with pytest.raises(InvalidRequest, match="Zone 'west' has 1 rack in it"):
        await groups.delete_zone(ADMIN, "west")
    plan = await groups.delete_zone(ADMIN, "west", move_to="default", dry_run=True)
    assert any("'rack-1' serves the zone 'default' from then on, with 1 VM host" in text for text in plan.effects)
    assert (await racks.read(joined.rack_id)).zones == ("west",)
    await groups.delete_zone(ADMIN, "west", move_to="default")
    assert (await racks.read(joined.rack_id)).zones == ("default",)
    await racks.remove(ADMIN, joined.rack_id)
    await groups.delete_zone(ADMIN, "east")
