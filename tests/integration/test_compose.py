"""Compose through API, region, ledger, operation, link, rack and driver, with nothing replaced but the hypervisor."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, NotFound
from tests.installation import Installation, installed
from tests.waiting import eventually


async def test_a_composed_machine_is_ready_and_on_its_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"], cores=2, memory=2048, hostname="web-1", storage="root:8,data:5")
        machine = await innkeeper.get(f"machines/{made['system_id']}/")
        assert (machine["status_name"], machine["hostname"], machine["cpu_count"]) == ("Ready", "web-1", 2)
        assert [disk["size"] for disk in machine["blockdevice_set"]] == [8 * 10**9, 5 * 10**9]
        assert innkeeper.simulated_guests() == ["web-1"]
        used = (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]
        assert used == {"cores": 2, "memory": 2048, "local_storage": 13 * 10**9}


async def test_ratios_decide_how_many_machines_a_host_takes(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=4, memory_mib=12288)
        for _ in range(2):
            await innkeeper.compose(host["id"], cores=2, memory=4096)
        with pytest.raises(InnkeeperError, match=r"cores: 2 asked, 0 of 4 × 1\.0 = 4 left") as refused:
            await innkeeper.compose(host["id"], cores=2, memory=4096)
        assert refused.value.details["status"] == 503
        await innkeeper.put(f"vm-hosts/{host['id']}/", cpu_over_commit_ratio=2.0, memory_over_commit_ratio=1.5)
        for _ in range(2):
            await innkeeper.compose(host["id"], cores=2, memory=4096)
        with pytest.raises(InnkeeperError, match=r"memory: 4096 MiB asked, 2048 of 12288 × 1\.5 = 18432 MiB left"):
            await innkeeper.compose(host["id"], cores=2, memory=4096)
        assert len(innkeeper.simulated_guests()) == 4


async def test_a_hundred_callers_at_once_get_seven_machines_and_ninety_three_refusals(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=7, memory_mib=65536, storage_gb=1000)

        async def one() -> str:
            try:
                await innkeeper.compose(host["id"], cores=1, memory=1024)
            except InnkeeperError as error:
                return f"{error.details['status']}: {error.message}"
            return "made"

        refusal = "503: Unable to compose a machine on this host. sim: cores: 1 asked, 0 of 7 × 1.0 = 7 left"
        assert Counter(await asyncio.gather(*(one() for _ in range(100)))) == {"made": 7, refusal: 93}
        assert len(innkeeper.simulated_guests()) == 7
        operations = await innkeeper.get("operations/?limit=1000")
        assert sum(1 for operation in operations if operation["kind"] == "compose") == 7


async def test_bad_values_are_refused_by_field_and_nothing_is_written(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=4, memory_mib=8192)
        await innkeeper.compose(host["id"], hostname="taken")
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"cores": 5}, "cores"),
            ({"cores": "two"}, "cores"),
            ({"memory": 1023}, "memory"),
            ({"memory": 8193}, "memory"),
            ({"storage": "8gb"}, "storage"),
            ({"architecture": "arm64/generic"}, "architecture"),
            ({"hostname": "-x-"}, "hostname"),
            ({"hostname": "taken"}, "hostname"),
            ({"zone": 99}, "zone"),
            ({"pool": "nope"}, "pool"),
            ({"interfaces": "eth0:space=dmz"}, "interfaces"),
            ({"interfaces": "eth0:subnet=10.77.0.0/24"}, "interfaces"),
            ({"interfaces": "eth0:ip=10.77.0.9"}, "interfaces"),
            ({"interfaces": "eth0:subnet"}, "interfaces"),
            ({"pinned_cores": 4}, "pinned_cores"),
            ({"pinned_cores": [1, 1]}, "pinned_cores"),
            ({"pin_cores": 5}, "pin_cores"),
            ({"hugepages_backed": "true"}, "hugepages_backed"),
        ]
        for fields, field in wrong:
            with pytest.raises(InvalidRequest) as refused:
                await innkeeper.compose(host["id"], **fields)
            assert list(refused.value.fields) == [field], fields
        with pytest.raises(NotFound):
            await innkeeper.compose(999)
        assert len(await innkeeper.get("machines/")) == 1
        assert len(await innkeeper.get("operations/")) == 2


async def test_too_little_storage_is_refused_in_numbers(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(storage_gb=20)
        await innkeeper.compose(host["id"], cores=1, memory=1024, storage="15")
        with pytest.raises(InnkeeperError, match=r"a disk of 8\.0 GB asked, 5\.0 of 20\.0 GB left in default"):
            await innkeeper.compose(host["id"], cores=1, memory=1024)


async def test_a_foreign_guest_that_has_the_name_is_left_alone_and_everything_is_undone(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=1, cores=8)
        (foreign,) = innkeeper.simulated_guests()
        before = await innkeeper.get(f"vm-hosts/{host['id']}/")
        with pytest.raises(InnkeeperError) as refused:
            await innkeeper.compose(host["id"], hostname=foreign, cores=1, memory=1024)
        assert refused.value.details["status"] == 409
        assert innkeeper.simulated_guests() == [foreign]
        assert await innkeeper.get("machines/") == []
        assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"] == before["used"]
        (operation,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
        assert operation["state"] == "failed"
        assert operation["error"]["code"] == "name_taken"


async def test_foreign_guests_count_against_the_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=3, cores=4)
        assert host["used"]["cores"] == 3
        with pytest.raises(InnkeeperError, match="cores: 2 asked, 1 of 4"):
            await innkeeper.compose(host["id"], cores=2, memory=1024)


async def test_without_a_rack_compose_is_503_with_retry_after_or_waits_for_one(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.stop_rack("rack")
        with pytest.raises(InnkeeperError, match="No connected rack") as refused:
            await innkeeper.compose(host["id"])
        assert refused.value.details["status"] == 503
        accepted = await innkeeper.post(
            f"vm-hosts/{host['id']}/", op="compose", headers={"Prefer": "respond-async"}, cores=1, memory=1024
        )
        await eventually(lambda: _state_is(innkeeper, accepted["id"], "waiting"))
        await innkeeper.run_rack("rack")
        await eventually(lambda: _state_is(innkeeper, accepted["id"], "succeeded"))
        assert len(innkeeper.simulated_guests()) == 1


async def test_the_same_idempotency_key_makes_one_machine(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()

        async def one() -> str:
            made = await innkeeper.post(
                f"vm-hosts/{host['id']}/", op="compose", headers={"Idempotency-Key": "k1"}, cores=1, memory=1024
            )
            return str(made["system_id"])

        assert len(set(await asyncio.gather(*(one() for _ in range(8))))) == 1
        assert len(innkeeper.simulated_guests()) == 1
        with pytest.raises(InnkeeperError) as refused:
            await innkeeper.post(
                f"vm-hosts/{host['id']}/", op="compose", headers={"Idempotency-Key": "k1"}, cores=2, memory=1024
            )
        assert refused.value.details["status"] == 422


async def test_deleting_a_machine_removes_its_guest_and_gives_everything_back(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        made = await innkeeper.compose(host["id"])
        await innkeeper.post(f"machines/{made['system_id']}/", op="power_on")
        assert (await innkeeper.get(f"machines/{made['system_id']}/", op="query_power_state")) == {"state": "on"}
        assert (await innkeeper.delete(f"machines/{made['system_id']}/")).status == 204
        assert innkeeper.simulated_guests() == []
        assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["local_storage"] == 0
        with pytest.raises(NotFound):
            await innkeeper.get(f"machines/{made['system_id']}/")


async def _state_is(innkeeper: Installation, operation_id: int, state: str) -> bool:
    return bool((await innkeeper.get(f"operations/{operation_id}/"))["state"] == state)


async def test_a_compose_that_loses_a_deadlock_is_claimed_all_the_same(tmp_path: Path, database_url: str) -> None:
    """Somebody who has the server's row wants a storage pool's, which the compose points at already."""
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        database = innkeeper.region.parts.database

        async def waits() -> bool:
            async with database.connection() as db:
                return await db.fetchval("select exists (select from pg_locks where not granted)") is True

        async with database.transaction() as db:
            await db.execute("select from server for update")
            composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="made"))
            await eventually(waits)
            await db.execute("select from storage_pool for update")  # the compose has waited longer, so it gives way
        await composing
        assert innkeeper.simulated_guests() == ["made"]
