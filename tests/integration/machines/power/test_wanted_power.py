"""The power state that machines should have, as requests, guests and hosts change it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from attrs import evolve

from common.values import PowerState
from tests.deployment.deployment import Deployment
from tests.integration.hosts.test_cluster_moves import Cluster, add_cluster
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.rigs.host_restarts import (
    back,
    composed,
    decided,
    later,
    listed,
    lost,
    names,
    never_starts,
    path,
    restarted,
    runs,
    starts,
    wanted,
)
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.support.rejections import rejected_status
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

_NO_START = """
    create trigger no_start before update of power on guest when new.power = 'on'
    begin select raise(abort, 'no such volume'); end
"""
_NO_MORE_RETRIES = """
    update operation set state = 'failed', error_message = 'no such volume', finished_at = clock_timestamp()
     where kind = 'power' and state = 'waiting' returning id
"""


async def stopped_on_host(innkeeper: Deployment, machine: Any) -> None:
    """Somebody has stopped the guest there, or it has shut itself down; a refresh found it."""
    rows(innkeeper, "update guest set power = 'off' where name = ?", machine["hostname"])
    await refresh(innkeeper, machine["pod"])


async def test_requests_for_power_say_what_a_machine_should_be(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
    assert await wanted(innkeeper, machine) == ("off", "compose", "admin")
    await innkeeper.post(path(machine), op="power_on")
    first = (await innkeeper.get(path(machine)))["wanted_power"]
    assert (first["state"], first["set_by"], first["user"]) == ("on", "power", "admin")
    await innkeeper.post(path(machine), op="power_cycle")
    again = (await innkeeper.get(path(machine)))["wanted_power"]
    assert again["since"] > first["since"]
    await innkeeper.post("machines/", op="allocate", name="web")
    await innkeeper.post(path(machine), op="release")
    assert (await wanted(innkeeper, machine))[:2] == ("off", "release")


async def test_a_guest_that_stops_while_its_host_is_up_is_not_started_again(innkeeper: Deployment) -> None:
    web, _ = await composed(innkeeper, "web", "db")
    await stopped_on_host(innkeeper, web)
    await later(innkeeper, 9)
    assert await wanted(innkeeper, web) == ("on", "compose", "admin")
    await later(innkeeper, 2)
    assert await wanted(innkeeper, web) == ("off", "found", None)
    await restarted(innkeeper, web, stops=False)
    await later(innkeeper, 30)
    assert (await starts(innkeeper), await names(innkeeper)) == ([], [])


async def test_a_guest_that_is_started_on_its_host_should_run(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    await innkeeper.post(path(web), op="power_off", stop_mode="hard")
    rows(innkeeper, "update guest set power = 'on'")
    await refresh(innkeeper, web["pod"])
    assert await wanted(innkeeper, web) == ("on", "found", None)


async def test_an_adopted_guest_should_be_as_it_was_found(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    rows(innkeeper, "update guest set power = 'on'")
    await refresh(innkeeper, host)
    (guest,) = await innkeeper.get("virtual-machines/")
    machine = await innkeeper.post(f"virtual-machines/{guest['id']}", op="adopt", hostname="web")
    assert (await wanted(innkeeper, machine))[0] == "on"


async def test_while_its_host_is_away_a_machine_shows_since_when(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    assert web["host_unreachable_since"] is None
    with innkeeper.simulated().down():
        await lost(innkeeper, web)
        away = await innkeeper.get(path(web))
        assert away["power_state"] == "on", "the last known one"
        assert web["power_state_since"] == away["power_state_since"] < away["host_unreachable_since"]
        (of_list,) = await innkeeper.get("machines/")
        assert of_list["host_unreachable_since"] == away["host_unreachable_since"]
    await back(innkeeper, web)
    assert (await innkeeper.get(path(web)))["host_unreachable_since"] is None


async def test_machines_that_ran_are_started_after_their_host_was_away(innkeeper: Deployment) -> None:
    web, idle = await composed(innkeeper, "web", "idle")
    await innkeeper.post(path(idle), op="power_off", stop_mode="hard")
    await restarted(innkeeper, web)
    await later(innkeeper, 0)
    assert await starts(innkeeper) == [], "its hypervisor may start it itself"
    await later(innkeeper)
    await runs(innkeeper, web)
    await later(innkeeper, 30)
    assert await starts(innkeeper) == ["web"]
    assert await wanted(innkeeper, web) == ("on", "compose", "admin"), "as the person wanted it before"
    assert (await innkeeper.get(path(idle)))["power_state"] == "off"
    assert await names(innkeeper) == []


async def test_what_its_hypervisor_has_started_is_not_started_again(innkeeper: Deployment) -> None:
    web, db = await composed(innkeeper, "web", "db")
    await restarted(innkeeper, web)
    await decided(innkeeper)
    rows(innkeeper, "update guest set power = 'on' where name = 'web'")
    await refresh(innkeeper, web["pod"])
    await decided(innkeeper)
    assert await wanted(innkeeper, web) == ("on", "compose", "admin")
    await later(innkeeper)
    await runs(innkeeper, db)
    assert await starts(innkeeper) == ["db"]


@pytest.mark.slow
async def test_machines_start_by_their_priority_and_with_their_delay(innkeeper: Deployment) -> None:
    web, db, _ = await composed(innkeeper, "web", "db", "aux")
    await innkeeper.post(path(web), op="set_start_order", priority=1)
    await innkeeper.post(path(db), op="set_start_order", priority=9, delay=300)
    await restarted(innkeeper, web)
    await later(innkeeper, 8)
    await runs(innkeeper, db)
    await later(innkeeper, 4)
    assert await starts(innkeeper) == ["db"], "the delay has not passed"
    await later(innkeeper, 2)
    await runs(innkeeper, web)
    assert await starts(innkeeper) == ["db", "web"]
    await later(innkeeper, 1)
    assert await starts(innkeeper) == ["db", "web", "aux"]


async def test_a_machine_that_does_not_start_with_its_host_is_listed(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    await never_starts(innkeeper, web)
    await restarted(innkeeper, web)
    await decided(innkeeper)
    (item,) = await listed(innkeeper)
    assert (item["object_id"], item["host_name"], item["severity"]) == (web["system_id"], "sim", "broken")
    assert item["text"].startswith("web should run, but is off. It ran before sim was away")
    assert f"innkeeper machine accept-off {web['system_id']}" in item["remedy"]
    assert item["since"] is not None
    await later(innkeeper)
    assert await starts(innkeeper) == []
    await innkeeper.post(path(web), op="power_on")
    assert await names(innkeeper) == []


@pytest.mark.parametrize("leaves", ["accepted", "powered off", "started there"])
async def test_it_leaves_the_list_when_somebody_decides(innkeeper: Deployment, leaves: str) -> None:
    (web,) = await composed(innkeeper, "web")
    await never_starts(innkeeper, web)
    await restarted(innkeeper, web)
    await decided(innkeeper)
    assert await names(innkeeper) == ["web"]
    if leaves == "accepted":
        await innkeeper.post(path(web), op="accept_off")
        assert await wanted(innkeeper, web) == ("off", "accepted", "admin")
    elif leaves == "powered off":
        await innkeeper.post(path(web), op="power_off", stop_mode="hard")
    else:
        rows(innkeeper, "update guest set power = 'on'")
        await refresh(innkeeper, web["pod"])
    assert await names(innkeeper) == []
    await later(innkeeper, 30)
    assert (await starts(innkeeper), await names(innkeeper)) == ([], [])


async def test_nothing_starts_while_its_host_is_in_maintenance(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    host = f"vm-hosts/{web['pod']['id']}/"
    await innkeeper.post(host, op="maintenance", reason="new disks")
    await restarted(innkeeper, web)
    await later(innkeeper)
    (item,) = await listed(innkeeper)
    assert "maintenance" in item["cause"]
    assert await starts(innkeeper) == []
    await innkeeper.post(host, op="end_maintenance")
    await decided(innkeeper)
    await runs(innkeeper, web)


async def test_nothing_starts_beside_an_operation(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    await restarted(innkeeper, web)
    await decided(innkeeper)
    with innkeeper.held("set start order"):
        changed = await innkeeper.begin(path(web), op="set_start_order", priority=1)
        await later(innkeeper)
        assert (await starts(innkeeper), await names(innkeeper)) == ([], [])
    await innkeeper.ended(changed)
    await decided(innkeeper)
    await runs(innkeeper, web)


@pytest.mark.slow  # its refresh waits for the call that is held
async def test_a_machine_that_was_busy_when_its_host_was_back_is_listed(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    with innkeeper.held("set start order"):
        changed = await innkeeper.begin(path(web), op="set_start_order", priority=1)
        await restarted(innkeeper, web)
        assert (await innkeeper.get(path(web)))["power_state"] == "on", "nothing has looked"
    await innkeeper.ended(changed)
    await later(innkeeper, 5)
    await refresh(innkeeper, web["pod"])
    await decided(innkeeper)
    assert (await names(innkeeper), await starts(innkeeper)) == (["web"], [])


@pytest.mark.slow
async def test_a_start_that_fails_is_listed_and_tried_after_the_next_outage_only(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    await restarted(innkeeper, web)
    await decided(innkeeper)
    rows(innkeeper, _NO_START)
    for tries in range(1, 4):
        await later(innkeeper)
        assert await starts(innkeeper) == ["web"] * tries
        await eventually(partial(_gave_up, innkeeper))
        await back(innkeeper, web)
        await sql(innkeeper, "update vm_host set lost_at = null")  # the failed call has counted as a loss of the host
        await later(innkeeper)
        (item,) = await listed(innkeeper)
        assert "no such volume" in item["cause"]
        assert await starts(innkeeper) == ["web"] * tries
        await restarted(innkeeper, web)
    await later(innkeeper)
    assert await starts(innkeeper) == ["web"] * 3, "three times at most"
    assert await names(innkeeper) == ["web"]


async def _gave_up(innkeeper: Deployment) -> bool:
    """The operation has no more retries: it has failed once, and waits."""
    return bool(await sql(innkeeper, _NO_MORE_RETRIES))


@pytest.mark.slow
async def test_a_host_that_flaps_starts_each_machine_once(innkeeper: Deployment) -> None:
    web, db = await composed(innkeeper, "web", "db")
    await restarted(innkeeper, web)
    for _ in range(3):
        await restarted(innkeeper, web)
        await decided(innkeeper)
    await later(innkeeper)
    for machine in (web, db):
        await runs(innkeeper, machine)
    await restarted(innkeeper, web, stops=False)
    await later(innkeeper)
    assert sorted(await starts(innkeeper)) == ["db", "web"]


async def test_a_network_outage_starts_nothing_that_somebody_stopped(innkeeper: Deployment) -> None:
    """Another guest runs since before the outage, as far as the hypervisor reports it."""
    web, _ = await composed(innkeeper, "web", "db")
    await stopped_on_host(innkeeper, web)
    await restarted(innkeeper, web, stops=False)
    await sql(innkeeper, "update guest set started_at = now() - interval '1 day' where power_state = 'on'")
    await later(innkeeper, 11)
    assert (await wanted(innkeeper, web), await starts(innkeeper)) == (("off", "found", None), [])


async def test_guests_that_are_off_together_without_an_outage_are_only_listed(innkeeper: Deployment) -> None:
    web, db = await composed(innkeeper, "web", "db")
    rows(innkeeper, "update guest set power = 'off'")
    await refresh(innkeeper, web["pod"])
    await later(innkeeper)
    assert await names(innkeeper) == ["db", "web"]
    await later(innkeeper, 30)
    assert await starts(innkeeper) == []
    await innkeeper.post(path(db), op="accept_off")
    assert await names(innkeeper) == ["web"]


async def test_an_adopted_guest_without_a_setting_is_only_listed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    rows(innkeeper, "update guest set power = 'on'")
    await refresh(innkeeper, host)
    (guest,) = await innkeeper.get("virtual-machines/")
    web = await innkeeper.post(f"virtual-machines/{guest['id']}", op="adopt", hostname="web")
    await restarted(innkeeper, web)
    await later(innkeeper)
    assert (await starts(innkeeper), len(await listed(innkeeper))) == ([], 1)


async def test_only_its_owner_accepts_that_a_machine_is_off(innkeeper: Deployment) -> None:
    (web,) = await composed(innkeeper, "web")
    other = await as_user(innkeeper, "olga")
    assert await rejected_status(other.post(path(web), op="accept_off")) in (403, 404)
    assert await rejected_status(innkeeper.post(path(web), op="accept_off")) == 409, "it runs"


@pytest.mark.parametrize("was_away", [True, False])
async def test_what_its_cluster_moved_from_a_lost_member_is_listed(innkeeper: Deployment, was_away: bool) -> None:
    cluster = await add_cluster(innkeeper)
    (made,) = await innkeeper.get("machines/")
    await innkeeper.post(path(made), op="power_on")
    if was_away:
        with innkeeper.simulated("m1").down():
            assert not await innkeeper.refreshed(cluster.host_ids[0])
    await off_elsewhere(cluster)
    assert await wanted(innkeeper, made) == ("on", "power", "admin")
    assert await names(innkeeper) == ["mover"], "it is not known whether somebody stopped it"
    (item,) = await listed(innkeeper)
    assert "moved it to m2" in item["cause"]
    await later(innkeeper, 30)
    assert (await names(innkeeper), await starts(innkeeper)) == (["mover"], [])
    await innkeeper.post(path(made), op="accept_off")
    assert await names(innkeeper) == []


async def test_what_was_stopped_and_then_moved_should_be_off(innkeeper: Deployment) -> None:
    cluster = await add_cluster(innkeeper)
    (made,) = await innkeeper.get("machines/")
    await innkeeper.post(path(made), op="power_on")
    rows(innkeeper, "update guest set power = 'off'", name="m1")
    await refresh(innkeeper, made["pod"])
    await off_elsewhere(cluster)
    assert await names(innkeeper) == []
    await later(innkeeper, 11)
    assert await wanted(innkeeper, made) == ("off", "found", None)


async def off_elsewhere(cluster: Cluster) -> None:
    """A run of the second member finds the guest there, off."""
    async with cluster.database.connection() as db:
        began_at = await db.fetchval("select clock_timestamp()")
    await evolve(cluster, guest=evolve(cluster.guest, power=PowerState.OFF), began_at=began_at).refresh(
        1, guest_on="m2"
    )
