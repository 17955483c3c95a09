"""Operations in whole installations: two regions that share a rack, taken over, cancelled, and in each other's way."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, OperationPending
from tests.installation import Installation, installed
from tests.integration.regions import second_region, start_rack_of
from tests.waiting import eventually

LATER = {"Prefer": "respond-async"}


async def compose_later(innkeeper: Installation, host_id: int, **fields: Any) -> int:
    """The operation's id, as soon as it is committed."""
    asked = {"cores": 1, "memory": 1024, **fields}
    return int((await innkeeper.post(f"vm-hosts/{host_id}/", op="compose", headers=LATER, **asked))["id"])


async def in_state(innkeeper: Installation, operation_id: int, *states: str) -> Any:
    async def look() -> Any:
        operation = await innkeeper.get(f"operations/{operation_id}/")
        return operation if operation["state"] in states else None

    return await eventually(look)


async def at_host(innkeeper: Installation, operation_id: int) -> None:
    """The host has been asked."""
    operations = innkeeper.region.parts.services.operations

    async def reached() -> bool:
        return (await operations.read(operation_id)).reached_host

    await eventually(reached)


async def attempts(innkeeper: Installation) -> list[int]:
    found = await innkeeper.region.parts.services.operations.list(limit=1000)
    return [operation.attempt for operation in found if operation.kind == "compose"]


# Two regions


async def test_two_regions_run_each_operation_once(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as one, second_region(one) as two:
        await start_rack_of("rack", one, two)
        host = await one.add_simulated(cores=16, memory_mib=65536, storage_gb=1000)
        await asyncio.gather(
            *(region.compose(host["id"], cores=1, memory=1024) for region in (one, two) for _ in range(6))
        )
        assert len(one.simulated_guests()) == 12
        assert await attempts(one) == [1] * 12
        await one.stop_rack("rack")


async def test_an_operation_goes_to_the_region_that_has_the_rack(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as one, second_region(one) as two:
        await one.start_rack()
        host = await one.add_simulated(cores=16, memory_mib=65536, storage_gb=1000)
        for region in (one, two, two, one):
            await in_state(one, await compose_later(region, host["id"]), "succeeded")
        assert await attempts(one) == [1] * 4


async def test_a_region_that_stops_in_the_middle_of_a_compose_hands_it_to_the_other(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as two:
        held = ExitStack()
        async with AsyncExitStack() as first:
            one = await first.enter_async_context(second_region(two))
            await start_rack_of("rack", one, two)
            host = await one.add_simulated()
            await two.region.parts.engine.stop()  # so that the one that will stop has it
            held.enter_context(two.held("make volume"))
            operation_id = await compose_later(one, host["id"], hostname="moved")
            await at_host(two, operation_id)
            two.region.parts.engine.start()
            two.racks.update(one.racks)
            one.racks.clear()
        held.close()
        operation = await in_state(two, operation_id, "succeeded", "failed")
        assert operation["state"] == "succeeded"
        assert (await two.region.parts.services.operations.read(operation_id)).attempt == 2
        assert two.simulated_guests() == ["moved"]


async def test_a_region_that_froze_in_the_middle_of_a_compose_comes_too_late(tmp_path: Path, database_url: str) -> None:
    """Its lease lapsed while the host was at work: the other region has gone on, and one VM comes of it."""
    async with installed(tmp_path, database_url) as one, second_region(one) as two:
        await start_rack_of("rack", one, two)
        host = await one.add_simulated()
        await two.region.parts.engine.stop()

        async def taken_over() -> bool:
            async with two.region.parts.database.connection() as db:
                await db.execute(
                    "update operation set lease_until = now() - interval '1 second' where id = $1 and attempt = 1",
                    operation_id,
                )
                return bool(await db.fetchval("select attempt = 2 from operation where id = $1", operation_id))

        with one.held("make volume"):
            operation_id = await compose_later(one, host["id"], hostname="once")
            await at_host(one, operation_id)
            one.region.parts.engine.wake = lambda: None  # type: ignore[method-assign]  # frozen: it looks for no work
            two.region.parts.engine.start()
            await eventually(taken_over)
        await in_state(two, operation_id, "succeeded", "failed")
        operation = await two.region.parts.services.operations.read(operation_id)
        assert (operation.state, operation.attempt) == ("succeeded", 2)
        assert one.simulated_guests() == ["once"]
        assert [machine["status_name"] for machine in await two.get("machines/")] == ["Ready"]
        await one.stop_rack("rack")


# Cancelling


async def test_a_waiting_compose_that_is_cancelled_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.stop_rack("rack")
        operation_id = await compose_later(innkeeper, host["id"])
        await in_state(innkeeper, operation_id, "waiting")
        await innkeeper.post(f"operations/{operation_id}/", op="cancel")
        operation = await in_state(innkeeper, operation_id, "cancelled", "failed")
        assert (operation["state"], operation["error"]["code"]) == ("cancelled", "cancelled")
        assert await innkeeper.get("machines/") == []
        assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 0


async def test_a_running_compose_that_is_cancelled_leaves_nothing_on_the_host(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("make volume"):
            operation_id = await compose_later(innkeeper, host["id"], storage="8,8")
            await at_host(innkeeper, operation_id)
            await innkeeper.post(f"operations/{operation_id}/", op="cancel")
        operation = await in_state(innkeeper, operation_id, "cancelled", "failed")
        assert operation["state"] == "cancelled"
        assert operation["undone"][0] == "guest and volumes removed from the host"
        assert innkeeper.simulated_guests() == []
        assert await innkeeper.get("machines/") == []
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        after = await innkeeper.get(f"vm-hosts/{host['id']}/")
        assert after["used"] == {"cores": 0, "memory": 0, "local_storage": 0}
        with pytest.raises(InnkeeperError, match="is cancelled and cannot be cancelled") as refused:
            await innkeeper.post(f"operations/{operation_id}/", op="cancel")
        assert refused.value.details["status"] == 409


async def test_a_delete_that_is_cancelled_while_it_waits_keeps_the_machine(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"])
        await innkeeper.stop_rack("rack")
        path = f"machines/{made['system_id']}/"
        operation = (await innkeeper.api.send("DELETE", path, headers=LATER)).json()
        await in_state(innkeeper, operation["id"], "waiting")
        await innkeeper.post(f"operations/{operation['id']}/", op="cancel")
        await in_state(innkeeper, operation["id"], "cancelled")
        assert (await innkeeper.get(path))["status_name"] == "Ready"


# In each other's way


async def test_what_acts_on_a_machine_keeps_others_off_it(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"], hostname="web")
        path = f"machines/{made['system_id']}/"

        async def one(op: str) -> int:
            try:
                await innkeeper.post(path, op=op)
            except InnkeeperError as error:
                return int(error.details["status"])
            return 200

        with innkeeper.held("power"):
            asking = [asyncio.create_task(one(op)) for op in ("power_on", "power_off") * 3]
            await eventually(lambda: sum(asked.done() for asked in asking) == 5)
        assert sorted(await asyncio.gather(*asking)) == [200] + [409] * 5


async def test_a_machine_that_is_being_composed_cannot_be_deleted_or_powered(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("make volume"):
            operation_id = await compose_later(innkeeper, host["id"], hostname="web")
            (machine,) = await innkeeper.get("machines/")
            path = f"machines/{machine['system_id']}/"
            for refused in (innkeeper.delete(path), innkeeper.post(path, op="power_on")):
                with pytest.raises(InnkeeperError, match="still being composed") as error:
                    await refused
                assert error.value.details["status"] == 409
        await in_state(innkeeper, operation_id, "succeeded")
        assert (await innkeeper.delete(path)).status == 204


async def test_many_who_delete_a_machine_at_once_delete_it_once(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(delay_ms=20)
        made = await innkeeper.compose(host["id"])

        async def one() -> int:
            try:
                return (await innkeeper.delete(f"machines/{made['system_id']}/")).status
            except InnkeeperError as error:
                return int(error.details["status"])

        statuses = await asyncio.gather(*(one() for _ in range(8)))
        assert statuses.count(204) == 1
        assert set(statuses) <= {204, 404, 409}


async def test_one_key_and_one_name_at_once_is_one_machine(tmp_path: Path, database_url: str) -> None:
    """Those who come second find the name taken, or no room, by the very machine that they asked for."""
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=1)

        async def one() -> str:
            made = await innkeeper.post(
                f"vm-hosts/{host['id']}/",
                op="compose",
                headers={"Idempotency-Key": "k"},
                cores=1,
                memory=1024,
                hostname="web",
            )
            return str(made["system_id"])

        assert len(set(await asyncio.gather(*(one() for _ in range(8))))) == 1
        assert innkeeper.simulated_guests() == ["web"]


# Waiting


async def test_who_waits_too_long_hears_which_operation_goes_on(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        operations = innkeeper.region.parts.services.operations
        with innkeeper.held():
            operation_id = await compose_later(innkeeper, host["id"])
            with pytest.raises(OperationPending, match=f"operations/{operation_id}/") as pending:
                await operations.wait(operation_id, timeout_s=0.1)
        assert pending.value.details["operation"] == operation_id
        done = await operations.wait(operation_id, timeout_s=60)
        assert done.state == "succeeded"


async def test_a_rack_that_stops_in_the_middle_of_a_compose_only_delays_it(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.start_rack("other")
        host = await innkeeper.add_simulated(delay_ms=200)
        operation_id = await compose_later(innkeeper, host["id"], hostname="web")
        await at_host(innkeeper, operation_id)
        await innkeeper.stop_rack("rack")
        await innkeeper.stop_rack("other")
        await innkeeper.run_rack("rack")
        operation = await in_state(innkeeper, operation_id, "succeeded", "failed", "cancelled")
        assert operation["state"] == "succeeded"
        assert innkeeper.simulated_guests() == ["web"]


# A host that fails


def volumes(innkeeper: Installation) -> set[str]:
    """What fills the storage pools of the simulated hypervisor."""
    with closing(sqlite3.connect(innkeeper.folder / "simulated" / "sim.sqlite")) as store:
        return {row[0] for row in store.execute("select name from volume")}


async def test_on_a_host_that_fails_often_each_compose_ends_in_one_machine_or_in_nothing(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=32, memory_mib=65536, storage_gb=1000)
        path = f"vm-hosts/{host['id']}/"
        address = (await innkeeper.get(path, op="parameters"))["power_address"]
        flaky = address.replace("fault_rate=0", "fault_rate=0.15").replace("fault_seed=0", "fault_seed=11")
        await innkeeper.put(path, power_address=flaky)
        begun = [await compose_later(innkeeper, host["id"], hostname=f"vm-{number}") for number in range(12)]
        ended = [await in_state(innkeeper, one, "succeeded", "failed") for one in begun]
        made = [operation["result"]["hostname"] for operation in ended if operation["state"] == "succeeded"]
        assert {operation["error"]["code"] for operation in ended if operation["error"]} <= {"driver_failed"}
        assert made
        assert innkeeper.simulated_guests() == sorted(made)
        assert sorted(machine["hostname"] for machine in await innkeeper.get("machines/")) == sorted(made)
        assert len(volumes(innkeeper)) == len(made)
        await innkeeper.put(path, power_address=address)
        assert (await innkeeper.get(path))["used"]["cores"] == len(made)
