"""A failed connection makes the hosts of a server unreachable at once; the next success makes them ready again."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from common.errors import HostUnreachable, LinkLost
from regiond.hosts.discovery.lost_hosts import LostHosts
from regiond.hosts.model import HostState
from regiond.hosts.schedule_store import take_due
from regiond.racks.reach.link_supervisor import WATCH_EVERY_S
from regiond.requests.audience import HIDDEN_REASON
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import lock_waiters
from tests.integration.support.users import as_user
from tests.support.clock import advance
from tests.support.waiting import eventually

_REFRESH_LATER = "update vm_host_schedule set next_refresh_at = now() + interval '1 hour' returning host_id"
REFUSED = "Cannot connect to simulated/sim: connection refused"


async def state_of(innkeeper: Deployment, host_id: int) -> str:
    return (await innkeeper.region.components.services.hosts.read(host_id, caller=None)).state.value


async def is_in(innkeeper: Deployment, state: HostState, *host_ids: int) -> bool:
    return {await state_of(innkeeper, host_id) for host_id in host_ids} == {state.value}


async def becomes(innkeeper: Deployment, state: HostState, *host_ids: int) -> None:
    await innkeeper.after_refreshes(partial(is_in, innkeeper, state, *host_ids))


async def two_hosts_of_a_server(innkeeper: Deployment) -> tuple[int, int]:
    """Two hosts with one file, so with one identity: a server seen through two addresses."""
    first = await innkeeper.add_simulated()
    address = "simulated:sim?cores=4&memory_mib=12288&fault_seed=1&shared=1"
    sibling = await innkeeper.add_host(type="simulated", power_address=address, name="sibling")
    await none_is_due(innkeeper, first["id"], sibling)
    return first["id"], sibling


async def none_is_due(innkeeper: Deployment, *host_ids: int) -> None:
    """Returns when no refresh follows the addition of these hosts and the start of their watches."""
    components = innkeeper.region.components
    await components.link_supervisor.settled()
    await advance(WATCH_EVERY_S)
    await eventually(lambda: components.link_supervisor.watched.issuperset(host_ids))
    await innkeeper.fetch(_REFRESH_LATER)


async def events_of(innkeeper: Deployment, *kinds: str) -> list[tuple[str, int | None]]:
    """Kind and host of each event of these kinds, the oldest first."""
    events = await innkeeper.region.components.services.events.list()
    return [(event.kind, event.host_id) for event in reversed(events) if event.kind in kinds]


async def lost_and_back(innkeeper: Deployment) -> list[tuple[str, int | None]]:
    return await events_of(innkeeper, "host_unreachable", "host_back")


async def place(innkeeper: Deployment) -> Any:
    return await innkeeper.post("vm-hosts/", op="place", cores=1, memory=1024)


@pytest.mark.slow
async def test_a_failed_call_makes_all_hosts_of_the_server_suspect(innkeeper: Deployment) -> None:
    host_id, sibling_id = await two_hosts_of_a_server(innkeeper)
    other = await innkeeper.add_simulated("other", cores=2, memory_mib=2048)
    with innkeeper.simulated().down():
        operation = await innkeeper.begin_compose(host_id, cores=1, memory=1024)
        await becomes(innkeeper, HostState.UNREACHABLE, host_id, sibling_id)
        hosts = [await innkeeper.get(f"vm-hosts/{one}/") for one in (host_id, sibling_id)]
        assert {host["error"]["code"] for host in hosts} == {"host_unreachable"}
        assert all(REFUSED in host["error"]["message"] for host in hosts)
        seen = await (await as_user(innkeeper, "ann")).get(f"vm-hosts/{host_id}/")
        assert seen["error"] == {"code": "host_unreachable", "message": HIDDEN_REASON, "details": None}
        placed = await place(innkeeper)
        assert placed["chosen"] == "other"
        assert {one["host"] for one in placed["rejected"]} >= {"sim", "sibling"}
        assert await state_of(innkeeper, other["id"]) == "ready"
    await becomes(innkeeper, HostState.READY, host_id, sibling_id)
    assert await innkeeper.ended(operation) == "succeeded"


@pytest.mark.slow
async def test_one_event_is_recorded_per_change_and_host(innkeeper: Deployment) -> None:
    host_id, sibling_id = await two_hosts_of_a_server(innkeeper)
    with innkeeper.simulated().down():
        operations = [await innkeeper.begin_compose(host_id, cores=1, memory=1024) for _ in range(3)]
        await becomes(innkeeper, HostState.UNREACHABLE, host_id, sibling_id)
        for _ in range(3):
            assert not await innkeeper.refreshed(host_id)
            assert not await innkeeper.refreshed(sibling_id)
        lost = ("host_unreachable", host_id), ("host_unreachable", sibling_id)
        assert sorted(await lost_and_back(innkeeper)) == sorted(lost)
    await becomes(innkeeper, HostState.READY, host_id, sibling_id)
    assert [await innkeeper.ended(operation) for operation in operations] == ["succeeded"] * 3
    back = ("host_back", host_id), ("host_back", sibling_id)
    assert sorted(await lost_and_back(innkeeper)) == sorted((*lost, *back))


async def test_a_failed_refresh_makes_the_sibling_suspect(innkeeper: Deployment) -> None:
    host_id, sibling_id = await two_hosts_of_a_server(innkeeper)
    with innkeeper.simulated().down():
        assert not await innkeeper.refreshed(host_id)
        await becomes(innkeeper, HostState.UNREACHABLE, host_id, sibling_id)
    await becomes(innkeeper, HostState.READY, host_id, sibling_id)


async def test_a_late_failure_of_an_old_call_marks_no_host(innkeeper: Deployment) -> None:
    host_id, sibling_id = await two_hosts_of_a_server(innkeeper)
    lost_hosts = LostHosts(innkeeper.region.components.database)
    old, error = time.monotonic(), HostUnreachable("no route")
    assert await innkeeper.refreshed(sibling_id)
    await lost_hosts.call_failed(host_id, error, began_at=old)
    assert await is_in(innkeeper, HostState.READY, host_id, sibling_id)
    await lost_hosts.call_failed(host_id, error, began_at=time.monotonic())
    assert await is_in(innkeeper, HostState.UNREACHABLE, host_id, sibling_id)
    await becomes(innkeeper, HostState.READY, host_id, sibling_id)


async def test_concurrent_failures_record_one_event(innkeeper: Deployment) -> None:
    host_id, sibling_id = await two_hosts_of_a_server(innkeeper)
    lost_hosts, error = LostHosts(innkeeper.region.components.database), HostUnreachable("no route")
    failed = (lost_hosts.call_failed(one, error, began_at=time.monotonic()) for one in [host_id, sibling_id] * 4)
    await asyncio.gather(*failed)
    await becomes(innkeeper, HostState.READY, host_id, sibling_id)
    kinds = [kind for kind, _ in await lost_and_back(innkeeper)]
    assert (kinds.count("host_unreachable"), kinds.count("host_back")) == (2, 2)


async def test_two_refreshes_that_fail_at_once_record_one_event(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    await none_is_due(innkeeper, host_id)
    components = innkeeper.region.components
    refresher, database = components.schedule.refresher, components.database
    with innkeeper.simulated().down():
        async with database.transaction() as db:
            await db.execute("select from vm_host where id = $1 for no key update", host_id)
            refreshes = [asyncio.create_task(refresher.refresh(host_id)) for _ in range(2)]
            await eventually(partial(_waiting_for_a_lock, innkeeper, 2))  # each read that the host is ready
        failed = await asyncio.gather(*refreshes, return_exceptions=True)
        assert [type(error) for error in failed] == [HostUnreachable] * 2
        assert await lost_and_back(innkeeper) == [("host_unreachable", host_id)]
    await becomes(innkeeper, HostState.READY, host_id)


async def _waiting_for_a_lock(innkeeper: Deployment, wanted: int) -> bool:
    return await lock_waiters(innkeeper.region.components.database) == wanted


async def test_a_rack_that_connects_finds_an_unreachable_host(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    await innkeeper.stop_rack("rack")
    with innkeeper.simulated().down():
        await innkeeper.start_rack("rack")
        await becomes(innkeeper, HostState.UNREACHABLE, host_id)
    await becomes(innkeeper, HostState.READY, host_id)


async def test_a_refresh_that_lost_its_rack_leaves_the_host_ready(innkeeper: Deployment) -> None:
    """Another rack reaches the host, so nothing else would refresh it before the next periodic refresh."""
    host_id = (await innkeeper.add_simulated())["id"]
    await innkeeper.start_rack("second")
    components = innkeeper.region.components
    await none_is_due(innkeeper, host_id)
    first = min(
        await components.services.racks.list(caller=None), key=lambda rack: str(rack.id)
    )  # the one that is called first
    (link,) = innkeeper.in_process.links(first.name)
    await eventually(lambda: link.is_idle)
    with innkeeper.held("guests"):
        refreshing = asyncio.create_task(components.schedule.refresher.refresh(host_id))
        await eventually(lambda: innkeeper.simulated().is_holding() and not link.is_idle)
        innkeeper.kill(first.name)
        with pytest.raises(LinkLost):
            await refreshing
        before = await innkeeper.fetch("select refreshed_at from vm_host_schedule")
        assert await state_of(innkeeper, host_id) == "ready"

    async def is_refreshed() -> bool:
        return bool(await innkeeper.fetch("select refreshed_at from vm_host_schedule") != before)

    await innkeeper.after_refreshes(is_refreshed)
    assert await state_of(innkeeper, host_id) == "ready"


async def test_a_successful_call_clears_an_unreachable_host(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    composed = await innkeeper.compose(host_id, cores=1, memory=1024)
    async with innkeeper.region.components.database.connection() as db:
        await db.execute(
            "update vm_host set state = 'unreachable', error_code = 'host_unreachable', error_message = 'x'"
        )
    await innkeeper.post(f"machines/{composed['system_id']}/", op="power_on")
    await becomes(innkeeper, HostState.READY, host_id)
    assert (await events_of(innkeeper, "host_back")) == [("host_back", host_id)]


async def test_a_region_without_racks_leaves_refreshes_to_another(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    with_rack = innkeeper.region.components.heartbeat.region_id
    async with innkeeper.connection() as db, db.transaction():  # the region's own schedule does not see the due host
        await db.execute("update vm_host_schedule set next_refresh_at = now()")
        assert await take_due(db, 3600.0, 8, uuid4()) == []
        assert await take_due(db, 3600.0, 8, with_rack) == [host_id]
        await db.execute("update vm_host_schedule set next_refresh_at = now()")
        await db.execute("delete from rack_link")
        assert await take_due(db, 3600.0, 8, uuid4()) == [host_id]
