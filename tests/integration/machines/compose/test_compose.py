"""Compose through API, region, ledger, operation, link, rack and the simulated driver."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from common.errors import InnkeeperError, NotFound
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.deadlocks import loses
from tests.postgresql.database import fetchval
from tests.support.rejections import invalid_fields, outcomes, rejected_status
from tests.support.waiting import eventually

pytestmark = pytest.mark.database


async def test_a_composed_machine_is_ready_and_on_its_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    composed = await innkeeper.compose(host["id"], cores=2, memory=2048, hostname="web-1", storage="root:8,data:5")
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    assert (machine["status_name"], machine["hostname"], machine["cpu_count"]) == ("Ready", "web-1", 2)
    assert [disk["size"] for disk in machine["blockdevice_set"]] == [8 * 10**9, 5 * 10**9]
    assert innkeeper.simulated_guests() == ["web-1"]
    used = (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]
    assert used == {"cores": 2, "memory": 2048, "local_storage": 13 * 10**9}


async def test_ratios_limit_the_machines_of_a_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=4, memory_mib=12288)
    for _ in range(2):
        await innkeeper.compose(host["id"], cores=2, memory=4096)
    with pytest.raises(
        InnkeeperError,
        match=r"needs 2 cores, 0 free \(4 cores × ratio 1\.0 = 4 claimable, 4 claimed, 0 elsewhere on the server\)",
    ) as error:
        await innkeeper.compose(host["id"], cores=2, memory=4096)
    assert error.value.details["status"] == 503
    await innkeeper.put(f"vm-hosts/{host['id']}/", cpu_over_commit_ratio=2.0, memory_over_commit_ratio=1.5)
    for _ in range(2):
        await innkeeper.compose(host["id"], cores=2, memory=4096)
    with pytest.raises(InnkeeperError, match=r"needs 4096 MiB of memory, 2048 free \(12288 MiB × ratio 1\.5"):
        await innkeeper.compose(host["id"], cores=2, memory=4096)
    assert len(innkeeper.simulated_guests()) == 4


async def test_a_hundred_concurrent_callers_get_exactly_seven_machines(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=7, memory_mib=65536, storage_gb=1000)
    rejection = (
        "503: Unable to compose a machine on this host. sim: needs 1 core, 0 free "
        "(7 cores × ratio 1.0 = 7 claimable, 7 claimed, 0 elsewhere on the server)"
    )
    answers = await outcomes(innkeeper.compose(host["id"], cores=1, memory=1024) for _ in range(100))
    assert Counter(answers) == {"done": 7, rejection: 93}
    assert len(innkeeper.simulated_guests()) == 7
    operations = await innkeeper.get("operations/?limit=1000")
    assert sum(1 for operation in operations if operation["kind"] == "compose") == 7


async def test_invalid_values_are_rejected_by_field_and_write_nothing(innkeeper: Deployment) -> None:
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
        assert [*await invalid_fields(innkeeper.compose(host["id"], **fields))] == [field], fields
    with pytest.raises(NotFound):
        await innkeeper.compose(999)
    assert len(await innkeeper.get("machines/")) == 1
    assert len(await innkeeper.get("operations/")) == 2


async def test_all_problems_of_a_request_are_reported_together(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=4, memory_mib=8192)
    several: list[tuple[dict[str, Any], set[str]]] = [
        ({"cores": "many", "memory": 5, "storage": "root:x"}, {"cores", "memory", "storage"}),
        ({"cores": "many", "interfaces": "eth0", "pin_cores": 0}, {"cores", "interfaces", "pin_cores"}),
        ({"cores": 99, "storage": "root:x", "domain": "other"}, {"cores", "storage", "domain"}),
        ({"memory": "x", "hugepages_backed": "true", "hugepage_size": 3}, {"memory"}),
        ({"zone": "x", "pool": "y", "interfaces": "a:space=z"}, {"zone", "pool", "interfaces"}),
        ({"zone": "x", "pool": "y", "cores": "many"}, {"zone", "pool", "cores"}),
    ]  # fmt: skip
    for fields, wrong in several:
        assert {*await invalid_fields(innkeeper.compose(host["id"], **fields))} == wrong, fields


async def test_a_storage_shortage_is_reported_with_numbers(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(storage_gb=20)
    await innkeeper.compose(host["id"], cores=1, memory=1024, storage="15")
    with pytest.raises(InnkeeperError, match=r"needs a disk of 8\.0 GB, 5\.0 of 20\.0 GB free in default"):
        await innkeeper.compose(host["id"], cores=1, memory=1024)


async def test_a_foreign_guest_with_the_name_is_unchanged_after_undoing(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1, cores=8)
    (foreign,) = innkeeper.simulated_guests()
    before = await innkeeper.get(f"vm-hosts/{host['id']}/")
    assert await rejected_status(innkeeper.compose(host["id"], hostname=foreign, cores=1, memory=1024)) == 409
    assert innkeeper.simulated_guests() == [foreign]
    assert await innkeeper.get("machines/") == []
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"] == before["used"]
    (operation,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    assert operation["state"] == "failed"
    assert operation["error"]["code"] == "name_taken"


async def test_foreign_guests_count_against_the_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=3, cores=4)
    assert host["used"]["cores"] == 3
    with pytest.raises(InnkeeperError, match="needs 2 cores, 1 free"):
        await innkeeper.compose(host["id"], cores=2, memory=1024)


async def test_without_a_rack_compose_answers_503_or_waits(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.stop_rack("rack")
    with pytest.raises(InnkeeperError, match="No connected rack") as error:
        await innkeeper.compose(host["id"])
    assert error.value.details["status"] == 503
    operation_id = await innkeeper.begin_compose(host["id"], cores=1, memory=1024)
    await eventually(lambda: _state_is(innkeeper, operation_id, "waiting"))
    await innkeeper.start_rack("rack")
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert len(innkeeper.simulated_guests()) == 1


async def test_one_idempotency_key_composes_one_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()

    async def compose(cores: int) -> str:
        composed = await innkeeper.post(
            f"vm-hosts/{host['id']}/", op="compose", headers={"Idempotency-Key": "k1"}, cores=cores, memory=1024
        )
        return str(composed["system_id"])

    assert len(set(await asyncio.gather(*(compose(cores=1) for _ in range(8))))) == 1
    assert len(innkeeper.simulated_guests()) == 1
    assert await rejected_status(compose(cores=2)) == 422


async def test_deleting_a_machine_removes_its_guest_and_claims(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    composed = await innkeeper.compose(host["id"])
    await innkeeper.post(f"machines/{composed['system_id']}/", op="power_on")
    assert (await innkeeper.get(f"machines/{composed['system_id']}/", op="query_power_state")) == {"state": "on"}
    assert (await innkeeper.delete(f"machines/{composed['system_id']}/")).status == 204
    assert innkeeper.simulated_guests() == []
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["local_storage"] == 0
    with pytest.raises(NotFound):
        await innkeeper.get(f"machines/{composed['system_id']}/")


WAITING_TRANSACTIONS = "select array(select xact_start from pg_stat_activity where wait_event_type = 'Lock')"


async def _state_is(innkeeper: Deployment, operation_id: int, state: str) -> bool:
    return bool((await innkeeper.get(f"operations/{operation_id}/"))["state"] == state)


async def test_a_compose_gives_way_to_another_order_of_locks(innkeeper: Deployment) -> None:
    """Another transaction holds a storage pool and waits for the server's row, which the claims hold.

    It waits 200 ms (`limit_later_locks`), then let go of it: PostgreSQL aborts neither.
    """
    host = await innkeeper.add_simulated()
    compose = innkeeper.compose(host["id"], hostname="web")
    assert await loses(innkeeper.region.components.database, compose, held="storage_pool", wanted="server")
    assert innkeeper.simulated_guests() == ["web"]


async def test_a_compose_that_is_retried_lets_go_of_its_host_again(innkeeper: Deployment) -> None:
    """It waits for the host as long as needed, but never for the storage pool while it holds the host."""
    host = await innkeeper.add_simulated()
    database = innkeeper.region.components.database
    async with database.transaction() as other:
        await other.execute("select from storage_pool for update")
        composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="web"))
        begun: set[datetime] = set()  # its transactions: that of the batch, and its own

        async def several() -> bool:
            begun.update(await fetchval(database, WAITING_TRANSACTIONS))
            return len(begun) > 3

        await eventually(several)
    await composing
    assert innkeeper.simulated_guests() == ["web"]
