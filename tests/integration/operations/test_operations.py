"""Operations in a whole deployment: two regions, takeover, cancellation, conflicts and failing hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, OperationPending
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed, second_region
from tests.postgresql.database import execute, fetchval
from tests.support.waiting import eventually

# A frozen region renews no lease and no link, so the operation is left to the other region.
FREEZE = """
    with unlinked as (delete from rack_link where region_id = $2)
    update operation set lease_until = now() - interval '1 second' where id = $1 and attempt = 1
"""


async def start_compose(innkeeper: Deployment, host_id: int, **fields: Any) -> int:
    """Returns the id of the operation once it is committed."""
    return await innkeeper.begin_compose(host_id, cores=1, memory=1024, **fields)


async def status_of(request: Awaitable[Any]) -> int:
    """Returns the HTTP status of the rejected request; 200 if it succeeded."""
    try:
        await request
    except InnkeeperError as error:
        return int(error.details["status"])
    return 200


async def wait_until_at_host(innkeeper: Deployment, operation_id: int) -> None:
    """Waits until the operation has reached the host."""
    operations = innkeeper.region.components.services.operations

    async def reached() -> bool:
        return (await operations.read(operation_id, caller=None)).reached_host

    await eventually(reached)


async def cancel(innkeeper: Deployment, operation_id: int) -> None:
    await innkeeper.post(f"operations/{operation_id}/", op="cancel")


async def attempts(innkeeper: Deployment) -> list[int]:
    found = await innkeeper.region.components.services.operations.list(limit=1000, caller=None)
    return [operation.attempt for operation in found if operation.kind == "compose"]


async def test_two_regions_run_each_operation_once(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        await one.in_process.link_rack_to("rack", one, two)
        host = await one.add_simulated(cores=16, memory_mib=65536, storage_gb=1000)
        await asyncio.gather(
            *(region.compose(host["id"], cores=1, memory=1024) for region in (one, two) for _ in range(6))
        )
        assert len(one.simulated_guests()) == 12
        assert await attempts(one) == [1] * 12
        await one.stop_rack("rack")


@pytest.mark.slow
async def test_the_region_with_the_rack_runs_the_operation(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        await one.start_rack()
        host = await one.add_simulated(cores=16, memory_mib=65536, storage_gb=1000)
        for region in (one, two, two, one):
            await one.wait_for_state(await start_compose(region, host["id"]), "succeeded")
        assert await attempts(one) == [1] * 4


@pytest.mark.slow
async def test_a_stopping_region_releases_its_compose_to_the_other(rackless: Deployment) -> None:
    remaining, hold = rackless, ExitStack()
    async with second_region(remaining) as stopping:
        await stopping.in_process.link_rack_to("rack", stopping, remaining)
        host = await stopping.add_simulated()
        await remaining.region.components.engine.stop()  # so that the other region leases the operation
        hold.enter_context(remaining.held("create volume"))
        operation_id = await start_compose(stopping, host["id"], hostname="moved")
        await wait_until_at_host(remaining, operation_id)
        remaining.region.components.engine.start()
        remaining.in_process.racks.update(stopping.in_process.racks)
        stopping.in_process.racks.clear()
    hold.close()
    assert await remaining.ended(operation_id) == "succeeded"
    assert (await remaining.region.components.services.operations.read(operation_id, caller=None)).attempt == 2
    assert remaining.simulated_guests() == ["moved"]


async def test_a_region_frozen_during_a_compose_writes_nothing_late(tmp_path: Path, database_url: str) -> None:
    """Its lease lapses during the host call; the other region continues, and one VM results."""
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        await one.in_process.link_rack_to("rack", one, two)
        host = await one.add_simulated()
        engine, database = two.region.components.engine, two.region.components.database
        frozen_id, other_id = (region.region.components.heartbeat.region_id for region in (one, two))
        await engine.stop()

        async def taken_over() -> bool:
            await execute(database, FREEZE, operation_id, frozen_id)
            engine.wake()
            owner = await fetchval(database, "select lease_owner from operation where id = $1", operation_id)
            return bool(owner == other_id)

        with one.held("create volume"):
            operation_id = await start_compose(one, host["id"], hostname="once")
            await wait_until_at_host(one, operation_id)
            engine.start()
            await eventually(taken_over)
        await two.ended(operation_id)
        operation = await two.region.components.services.operations.read(operation_id, caller=None)
        assert (operation.state, operation.attempt) == ("succeeded", 2)
        assert one.simulated_guests() == ["once"]
        assert [machine["status_name"] for machine in await two.get("machines/")] == ["Ready"]
        await one.stop_rack("rack")


async def test_a_cancelled_waiting_compose_leaves_nothing(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.stop_rack("rack")
    operation_id = await start_compose(innkeeper, host["id"])
    await innkeeper.wait_for_state(operation_id, "waiting")
    await cancel(innkeeper, operation_id)
    assert await innkeeper.ended(operation_id) == "cancelled"
    assert (await innkeeper.get(f"operations/{operation_id}/"))["error"]["code"] == "cancelled"
    assert await innkeeper.get("machines/") == []
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 0


async def test_a_cancelled_running_compose_leaves_nothing_on_the_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        operation_id = await start_compose(innkeeper, host["id"], storage="8,8")
        await wait_until_at_host(innkeeper, operation_id)
        await cancel(innkeeper, operation_id)
    assert await innkeeper.ended(operation_id) == "cancelled"
    operation = await innkeeper.get(f"operations/{operation_id}/")
    assert operation["undone"][0] == "guest and volumes removed from the host"
    assert innkeeper.simulated_guests() == []
    assert await innkeeper.get("machines/") == []
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    after = await innkeeper.get(f"vm-hosts/{host['id']}/")
    assert after["used"] == {"cores": 0, "memory": 0, "local_storage": 0}
    with pytest.raises(InnkeeperError, match="is cancelled and cannot be cancelled") as rejected:
        await cancel(innkeeper, operation_id)
    assert rejected.value.details["status"] == 409


async def test_a_cancelled_waiting_delete_keeps_the_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"])
    await innkeeper.stop_rack("rack")
    path = f"machines/{machine['system_id']}/"
    operation_id = await innkeeper.begin(path, method="DELETE")
    await innkeeper.wait_for_state(operation_id, "waiting")
    await cancel(innkeeper, operation_id)
    assert await innkeeper.ended(operation_id) == "cancelled"
    assert (await innkeeper.get(path))["status_name"] == "Ready"


async def test_one_operation_at_a_time_acts_on_a_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web")
    path = f"machines/{machine['system_id']}/"
    with innkeeper.held("power"):
        changes = [innkeeper.post(path, op=op) for op in ("power_on", "power_off") * 3]
        requests = [asyncio.create_task(status_of(change)) for change in changes]
        await eventually(lambda: sum(request.done() for request in requests) == 5)
    assert sorted(await asyncio.gather(*requests)) == [200] + [409] * 5


async def test_a_machine_being_composed_cannot_be_deleted_or_powered(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        operation_id = await start_compose(innkeeper, host["id"], hostname="web")
        (machine,) = await innkeeper.get("machines/")
        path = f"machines/{machine['system_id']}/"
        for request in (innkeeper.delete(path), innkeeper.post(path, op="power_on")):
            with pytest.raises(InnkeeperError, match="still being composed") as error:
                await request
            assert error.value.details["status"] == 409
    await innkeeper.wait_for_state(operation_id, "succeeded")
    assert (await innkeeper.delete(path)).status == 204


async def test_concurrent_deletes_of_a_machine_join_one_operation(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(delay_ms=20)
    machine = await innkeeper.compose(host["id"])
    deletions = [innkeeper.delete(f"machines/{machine['system_id']}/") for _ in range(8)]
    statuses = await asyncio.gather(*map(status_of, deletions))
    assert statuses.count(200) >= 1
    assert set(statuses) <= {200, 404}
    found = await innkeeper.region.components.services.operations.list(limit=100, caller=None)
    assert [operation.state for operation in found if operation.kind == "delete"] == ["succeeded"]


async def test_concurrent_requests_with_one_key_compose_one_machine(innkeeper: Deployment) -> None:
    """The machine of the first request takes the name and the only core."""
    host = await innkeeper.add_simulated(cores=1)
    request = {"headers": {"Idempotency-Key": "k"}, "cores": 1, "memory": 1024, "hostname": "web"}
    composed = await asyncio.gather(*(innkeeper.compose(host["id"], **request) for _ in range(8)))
    assert len({machine["system_id"] for machine in composed}) == 1
    assert innkeeper.simulated_guests() == ["web"]


async def test_wait_timeout_names_the_operation_which_continues(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    operations = innkeeper.region.components.services.operations
    with innkeeper.held():
        operation_id = await start_compose(innkeeper, host["id"])
        with pytest.raises(OperationPending, match=f"operations/{operation_id}/") as pending:
            await operations.wait(operation_id, timeout_s=0.1)
    assert pending.value.details["operation"] == operation_id
    done = await operations.wait(operation_id, timeout_s=240)
    assert done.state == "succeeded"


async def test_an_operation_without_a_rack_says_for_what_it_waits(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    operations = innkeeper.region.components.services.operations
    await innkeeper.stop_rack("rack")
    operation_id = await start_compose(innkeeper, host["id"], hostname="web")

    async def reason() -> str | None:
        return await operations.wait_reason(await operations.read(operation_id, caller=None))

    await eventually(reason)
    with pytest.raises(OperationPending, match=r"which composes web on .* rack"):
        await operations.wait(operation_id, timeout_s=0.1)
    await innkeeper.start_rack("rack")
    done = await operations.wait(operation_id, timeout_s=240)
    assert (done.state, await operations.wait_reason(done)) == ("succeeded", None)


@pytest.mark.slow
async def test_a_rack_that_stops_during_a_compose_only_delays_it(innkeeper: Deployment) -> None:
    await innkeeper.start_rack("other")
    host = await innkeeper.add_simulated(delay_ms=200)
    operation_id = await start_compose(innkeeper, host["id"], hostname="web")
    await wait_until_at_host(innkeeper, operation_id)
    await innkeeper.stop_rack("rack")
    await innkeeper.stop_rack("other")
    await innkeeper.start_rack("rack")
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert innkeeper.simulated_guests() == ["web"]


@pytest.mark.slow
async def test_each_compose_on_a_flaky_host_creates_one_machine_or_none(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=32, memory_mib=65536, storage_gb=1000)
    path = f"vm-hosts/{host['id']}/"
    address = (await innkeeper.get(path, op="parameters"))["power_address"]
    flaky = address.replace("fault_rate=0", "fault_rate=0.15").replace("fault_seed=0", "fault_seed=11")
    await innkeeper.put(path, power_address=flaky)
    operation_ids = [await start_compose(innkeeper, host["id"], hostname=f"vm-{number}") for number in range(12)]
    ended = [await innkeeper.wait_for_state(one, "succeeded", "failed") for one in operation_ids]
    composed = [operation["result"]["hostname"] for operation in ended if operation["state"] == "succeeded"]
    assert {operation["error"]["code"] for operation in ended if operation["error"]} <= {"driver_failed"}
    assert composed
    assert innkeeper.simulated_guests() == sorted(composed)
    assert sorted(machine["hostname"] for machine in await innkeeper.get("machines/")) == sorted(composed)
    assert len(innkeeper.simulated().volume_names()) == len(composed)
    await innkeeper.put(path, power_address=address)
    assert (await innkeeper.get(path))["used"]["cores"] == len(composed)
