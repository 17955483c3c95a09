"""Quotas of users and resource pools: what counts, what is refused, and that concurrent callers never exceed one."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from innkeeper.http import Api
from regiond.quotas import store
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed, second_region
from tests.integration.support.users import as_user, user_key
from tests.support.rejections import outcomes, rejection
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

CALLERS = 32


async def allocate(deployment: Deployment, **fields: Any) -> Any:
    return await deployment.post("machines/", op="allocate", cpu_count=1, mem=1024, **fields)


async def used(deployment: Deployment) -> tuple[int, int, int]:
    (quota,) = await deployment.get("quotas/")
    return quota["machines_used"], quota["cores_used"], quota["memory_used"]


async def test_a_quota_is_refused_in_numbers(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=65536)
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", machines=2, cores=3, memory=4096, storage=20)
    for fields, reason in (
        ({"cpu_count": 4}, "quota of user ann: 3 cores, 0 used, 4 asked"),
        ({"mem": 5000}, "quota of user ann: 4096 MiB of memory, 0 MiB used, 5000 MiB asked"),
        ({"storage": "21"}, "quota of user ann: 20 GB of storage, 0 GB used, 21 GB asked"),
    ):
        error = await rejection(ann.post("machines/", op="allocate", **fields))
        assert (error.details["status"], error.message.partition(".")[0]) == (403, reason)
    for _ in range(2):
        await allocate(ann)
    error = await rejection(allocate(ann))
    assert error.message.startswith("quota of user ann: 2 machines, 2 used, 1 asked")
    assert await used(ann) == (2, 2, 2048)


async def test_an_allocation_without_a_quota_reads_no_usage(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise AssertionError("read although no quota concerns the caller")

    host = await innkeeper.add_simulated(cores=8)
    composed = await innkeeper.compose(host["id"], cores=1, memory=1024)
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="admin", machines=5)
    for name in ("holdings_of", "usage"):
        monkeypatch.setattr(store, name, fail)
    allocated = await ann.post("machines/", op="allocate", system_id=composed["system_id"])
    assert allocated["system_id"] == composed["system_id"]


async def test_what_is_released_or_deleted_no_longer_counts(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16, memory_mib=65536)
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", machines=1)
    ready = await innkeeper.compose(host["id"], cores=1, memory=1024)  # counts for the administrator
    taken = await allocate(ann)
    assert taken["system_id"] == ready["system_id"]
    assert await used(ann) == (1, 1, 1024)
    await ann.post(f"machines/{taken['system_id']}/", op="release")
    assert await used(ann) == (0, 0, 0)
    own = await ann.compose(host["id"], cores=1, memory=1024)  # has no owner, and counts for who composed it
    assert await used(ann) == (1, 1, 1024)
    assert (await allocate(ann, system_id=own["system_id"]))["owner"] == "ann"  # no second time
    await ann.delete(f"machines/{own['system_id']}/")

    async def is_gone() -> bool:
        return await used(ann) == (0, 0, 0)

    await eventually(is_gone)


async def test_a_pool_quota_counts_all_its_machines(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=65536)
    await innkeeper.post("resourcepools/", name="lab")
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", pool="default", machines=2)
    await allocate(ann)
    second = await allocate(innkeeper)
    error = await rejection(allocate(innkeeper))
    assert error.message.startswith("quota of pool default: 2 machines, 2 used, 1 asked")
    await innkeeper.put(f"machines/{second['system_id']}/", pool="lab")
    await allocate(ann)
    error = await rejection(innkeeper.put(f"machines/{second['system_id']}/", pool="default"))
    assert error.message.startswith("quota of pool default: 2 machines, 2 used, 1 asked")
    assert (await innkeeper.put(f"machines/{second['system_id']}/", pool="lab"))["pool"]["name"] == "lab"


async def test_adoption_counts_for_the_pool_of_the_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16, memory_mib=65536, guests=2)
    await innkeeper.post("quotas/", pool="default", machines=1)
    path = f"vm-hosts/{host['id']}/"
    error = await rejection(innkeeper.post(path, op="adopt", all="true"))
    assert error.message.startswith("quota of pool default: 1 machine, 0 used, 2 asked")
    assert await innkeeper.get("machines/") == []


async def test_administrators_set_quotas_and_users_read_their_own(innkeeper: Deployment) -> None:
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    quota = await innkeeper.post("quotas/", user="ann", machines=2, cores=4)
    assert (await ann.get("quotas/"))[0]["machines"] == 2
    assert await bob.get("quotas/") == []
    assert (await rejection(bob.get(f"quotas/{quota['id']}/"))).details["status"] == 404
    assert (await rejection(ann.post("quotas/", user="ann", machines=9))).details["status"] == 403
    assert (await rejection(innkeeper.post("quotas/", user="ann"))).details["status"] == 409
    assert (await rejection(innkeeper.post("quotas/", user="ann", pool="default"))).details["status"] == 400
    changed = await innkeeper.put(f"quotas/{quota['id']}/", machines=-1, storage=500)
    assert (changed["machines"], changed["cores"], changed["storage_bytes"]) == (None, 4, 500 * 10**9)
    await innkeeper.delete(f"quotas/{quota['id']}/")
    assert await innkeeper.get("quotas/") == []


async def test_callers_of_three_regions_never_exceed_quotas(tmp_path: Path, database_url: str) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(deployed(tmp_path, database_url))
        regions = [one, *[await stack.enter_async_context(second_region(one)) for _ in range(2)]]
        await one.in_process.link_rack_to("rack", *regions)
        for number in range(3):
            await one.add_simulated(f"sim{number}", cores=64, memory_mib=262144, storage_gb=2000)
        keys = [await user_key(one, name) for name in ("ann", "bob")]
        await one.post("quotas/", user="ann", machines=5)
        await one.post("quotas/", user="bob", cores=4)
        await one.post("quotas/", pool="default", machines=8)
        callers = ((regions[number % 3], keys[number % 2]) for number in range(CALLERS))
        clients = [evolve(region, other_account=Api(region.api.url, key)) for region, key in callers]
        ended = Counter(text.partition(":")[0] for text in await outcomes(allocate(client) for client in clients))
        assert ended == {"done": 8, "403": CALLERS - 8}
        owners = Counter(one["owner"] for one in await one.get("machines/"))
        assert owners["ann"] <= 5
        assert owners["bob"] <= 4
        assert owners["ann"] + owners["bob"] == 8
        machines = await one.get("machines/")
        await asyncio.gather(*(one.post(f"machines/{each['system_id']}/", op="release") for each in machines))
        await one.stop_rack("rack")
