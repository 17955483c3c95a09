"""Removal of hosts, with and without their machines, and during other operations."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import InnkeeperError, NotFound
from regiond.machines.arrivals.compose import reservation
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import count, is_count, rows
from tests.support.rejections import outcomes
from tests.support.waiting import eventually

# A compose that waits for longer than its first attempt does.
_WAITS_WITH_HOST = """
    select from pg_locks where not granted and waitstart < clock_timestamp() - interval '900 ms'
"""
_BOTH_WAIT = "select from pg_locks where not granted having count(distinct pid) = 2"
_DISCOVERING = "select from operation where state = 'running' and step = 'discover'"


async def remove(innkeeper: Deployment, host_id: int, *, decompose: bool = False) -> int:
    """Returns the id of the operation, which may still be queued."""
    query = [("decompose", str(decompose).lower())]
    answer = await innkeeper.send("DELETE", f"vm-hosts/{host_id}/", query=query, headers=ASYNC)
    return int(answer.json()["id"])


async def test_a_removed_host_leaves_its_guests_and_no_rows(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    await innkeeper.compose(host["id"], hostname="web")
    assert (await innkeeper.delete(f"vm-hosts/{host['id']}/")).status == 204
    assert innkeeper.simulated_guests() == ["foreign-0001", "web"]
    for table in ("vm_host", "server", "machine", "guest", "claim", "storage_pool", "secret", "machine_disk"):
        assert await count(innkeeper, table) == 0, table
    with pytest.raises(NotFound):
        await innkeeper.get(f"vm-hosts/{host['id']}/")
    (operation, *_) = await innkeeper.get("operations/")
    assert (operation["kind"], operation["state"]) == ("remove_host", "succeeded")
    (event,) = [one for one in await innkeeper.region.components.services.events.list() if one.kind == "host_removed"]
    assert event.message == "sim was removed; 1 machine stays there, no longer managed"


async def test_a_host_added_again_does_not_change_its_old_guests(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], cores=2, hostname="web")
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    again = await innkeeper.add_simulated()
    assert again["used"]["cores"] == 2
    await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
    assert innkeeper.simulated_guests() == ["web"]


async def test_decompose_deletes_each_machine_and_no_foreign_guest(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1, cores=8)
    machines = [await innkeeper.compose(host["id"], cores=1, memory=1024) for _ in range(3)]
    assert (await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")).status == 204
    assert innkeeper.simulated_guests() == ["foreign-0001"]
    assert await innkeeper.get("machines/") == []
    operations = await innkeeper.get("operations/")
    deleted = {one["system_id"] for one in operations if one["kind"] == "delete" and one["state"] == "succeeded"}
    assert deleted == {one["system_id"] for one in machines}
    assert await count(innkeeper, "tombstone") == 3


@pytest.mark.slow
async def test_a_failed_decompose_retains_the_host_and_names_the_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    path = f"vm-hosts/{host['id']}/"
    await innkeeper.compose(host["id"], hostname="web")
    address = (await innkeeper.get(path, op="parameters"))["power_address"]
    await innkeeper.put(path, power_address=address.replace("fault_rate=0", "fault_rate=1"))
    operation_id = await remove(innkeeper, host["id"], decompose=True)
    await innkeeper.ended(operation_id)
    operation = await innkeeper.get(f"operations/{operation_id}/")
    assert (operation["state"], operation["error"]["code"]) == ("failed", "driver_failed")
    assert operation["error"]["message"].startswith("1 machine on sim could not be deleted: web: ")
    (event,) = [one for one in (await innkeeper.get("events/", op="query"))["events"] if "not removed" in str(one)]
    assert event["description"].startswith("sim was not removed: 1 machine on sim could not be deleted: web: ")
    assert "web: " in operation["error"]["message"]
    assert innkeeper.simulated_guests() == ["web"]
    await innkeeper.put(path, power_address=address)
    (machine,) = await innkeeper.get("machines/")
    assert (machine["hostname"], machine["status_name"]) == ("web", "Ready")
    await innkeeper.compose(host["id"], cores=1, memory=1024)
    assert (await innkeeper.delete(path, decompose="true")).status == 204
    assert innkeeper.simulated_guests() == []


async def test_a_removal_waits_for_a_running_compose(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="late"))
        await eventually(lambda: count(innkeeper, "machine"))
        removal = await remove(innkeeper, host["id"])
        with pytest.raises(InnkeeperError, match="removed"):
            await innkeeper.compose(host["id"])
    await composing
    assert await innkeeper.ended(removal) == "succeeded"
    assert innkeeper.simulated_guests() == ["late"]
    assert await count(innkeeper, "claim") == 0


async def test_a_removal_with_decompose_deletes_a_machine_being_composed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8)
    await innkeeper.compose(host["id"], hostname="first", cores=1)
    with innkeeper.held("create volume"):
        composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="second", cores=1))
        await eventually(lambda: is_count(innkeeper, "machine", 2))
        removal = await remove(innkeeper, host["id"], decompose=True)
    await composing
    assert await innkeeper.ended(removal) == "succeeded"
    assert innkeeper.simulated_guests() == []


async def test_a_removal_during_composes_leaves_no_machine_without_a_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=64, memory_mib=65536, storage_gb=1000)
    composes = (innkeeper.compose(host["id"], cores=1, memory=1024) for _ in range(12))
    answers, removal = await asyncio.gather(outcomes(composes), remove(innkeeper, host["id"], decompose=True))
    assert not any(answer.startswith("500") for answer in answers)
    assert await innkeeper.ended(removal) == "succeeded"
    assert innkeeper.simulated_guests() == []
    assert await count(innkeeper, "machine") == 0


async def test_a_removal_deletes_the_machine_of_a_compose_that_commits_late(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compose has read that the host is ready, and waits for a lock while the removal begins."""
    monkeypatch.setattr(reservation, "limit_later_locks", nothing)
    host = await innkeeper.add_simulated()
    database = innkeeper.region.components.database
    async with database.transaction() as reader:
        await reader.execute("select from vm_host for key share")  # the removal does not end before this one
        async with database.transaction() as other:
            await other.execute("select from storage_pool for update")
            composing = asyncio.create_task(outcomes([innkeeper.compose(host["id"])]))
            await eventually(lambda: rows(innkeeper, _WAITS_WITH_HOST))
            removal = await remove(innkeeper, host["id"], decompose=True)
            await eventually(lambda: rows(innkeeper, _BOTH_WAIT))
        await composing
    assert await innkeeper.ended(removal) == "succeeded"
    assert innkeeper.simulated_guests() == []


async def nothing(_: object) -> None:
    """Sets no limit to the time for which a compose waits."""


async def test_concurrent_removals_share_one_operation(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"])
    with innkeeper.held():
        removals = await asyncio.gather(*(remove(innkeeper, host["id"], decompose=True) for _ in range(5)))
        assert len({*removals}) == 1
        with pytest.raises(InnkeeperError, match="already being removed with the machines"):
            await remove(innkeeper, host["id"], decompose=False)
    assert await innkeeper.ended(removals[0]) == "succeeded"


async def test_a_host_removed_during_a_refresh_leaves_nothing(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=2)
    with innkeeper.held():
        refreshing = asyncio.create_task(innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))
        await eventually(lambda: rows(innkeeper, _DISCOVERING))
        removal = await remove(innkeeper, host["id"])
        assert await innkeeper.ended(removal) == "succeeded"
    with pytest.raises(NotFound):
        await refreshing
    for table in ("vm_host", "server", "guest", "claim"):
        assert await count(innkeeper, table) == 0, table
    assert (await innkeeper.add_simulated(guests=2))["used"]["cores"] == 2


async def test_concurrent_refreshes_and_removals_raise_no_bug(innkeeper: Deployment) -> None:
    """Two hosts of one server: in each round, one is refreshed repeatedly while the other is removed."""
    remaining = await innkeeper.add_simulated(guests=3)
    for _ in range(4):
        other = await innkeeper.add_simulated(host_name="two", shared=1)
        refreshes = [
            asyncio.create_task(innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))
            for host in (remaining, other, remaining, other)
        ]
        await innkeeper.delete(f"vm-hosts/{other['id']}/")
        outcomes = await asyncio.gather(*refreshes, return_exceptions=True)
        assert all(isinstance(one, dict | NotFound) for one in outcomes), outcomes
    assert (await innkeeper.get(f"vm-hosts/{remaining['id']}/"))["used"]["cores"] == 3
    codes = {operation["error"]["code"] for operation in await innkeeper.get("operations/") if operation["error"]}
    assert codes <= {"not_found"}
