"""Refresh: changes are recorded, an unchanged host writes no row, and the host is never changed."""

from __future__ import annotations

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.postgresql.row_versions import versions
from tests.support.waiting import eventually


@pytest.mark.slow
async def test_an_unchanged_refresh_writes_no_row_at_a_constant_number_of_calls(
    innkeeper: Deployment, database_url: str
) -> None:
    host = await innkeeper.add_simulated(guests=200, cores=64, memory_mib=524288, storage_gb=10000)
    few = await innkeeper.add_simulated(
        "few", guests=1, cores=16, memory_mib=65536, numa_nodes=2, hugepages_mib=16384, virtual_functions="3x8",
        pinned_guests="0-3:8192:huge,8:1024",
    )  # fmt: skip
    for one in (host, few):
        await innkeeper.post(f"vm-hosts/{one['id']}/", op="refresh")
    before = await versions(database_url)
    for one in (host, few):
        await innkeeper.post(f"vm-hosts/{one['id']}/", op="refresh")
    assert await versions(database_url) == before
    newest = await innkeeper.get("operations/")
    assert newest[0]["result"]["calls"] == newest[1]["result"]["calls"]
    assert newest[1]["result"]["guests"] == 200


async def test_a_vanished_guest_makes_its_machine_missing_until_it_returns(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    composed = await innkeeper.compose(host["id"], hostname="vanished")
    with innkeeper.simulated().open() as store:
        store.executescript("create table away as select * from guest; delete from guest")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    assert machine["status_name"] == "Missing"
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 1, "its claims remain"
    with innkeeper.simulated().open() as store:
        store.execute("insert into guest select * from away")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["status_name"] == "Ready"


async def test_an_unreachable_host_retains_its_last_facts(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"])
    await innkeeper.stop_rack("rack")
    with pytest.raises(InnkeeperError) as rejected:
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert rejected.value.details["status"] == 503
    after = await innkeeper.get(f"vm-hosts/{host['id']}/")
    assert (after["total"], after["used"]["cores"]) == (host["total"], 1)


async def test_a_guest_that_a_late_call_creates_is_removed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    composed = await innkeeper.compose(host["id"], hostname="leftover")
    with innkeeper.simulated().open() as store:
        store.execute("create table away as select * from guest")
        store.execute("update away set guest_id = 'late'")
    await innkeeper.delete(f"machines/{composed['system_id']}/")
    with innkeeper.simulated().open() as store:
        store.execute("insert into guest select * from away")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    await eventually(lambda: not innkeeper.simulated_guests())


async def test_a_guest_with_an_unknown_marker_is_not_changed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="restored")
    async with innkeeper.region.components.database.transaction() as db:  # a database restored from before the compose
        for table in ("claim", "guest", "operation", "machine"):
            await db.execute(f"delete from {table}")  # noqa: S608
        await db.execute("update server set cores_claimed = 0, memory_mib_claimed = 0")
        await db.execute("update storage_pool set claimed_bytes = 0")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert innkeeper.simulated_guests() == ["restored"]
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 1, "it counts as a foreign guest"
    events = await innkeeper.region.components.services.events.list()
    assert any(event.kind == "unknown_marker_found" for event in events)


async def test_an_external_power_change_is_found_by_its_event(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    composed = await innkeeper.compose(host["id"])
    await innkeeper.post(f"machines/{composed['system_id']}/", op="power_on")
    await innkeeper.stop_rack("rack")
    await innkeeper.start_rack("other")
    await innkeeper.post(f"machines/{composed['system_id']}/", op="power_off", stop_mode="hard")

    async def is_off() -> bool:
        return bool((await innkeeper.get(f"machines/{composed['system_id']}/"))["power_state"] == "off")

    await eventually(is_off)
