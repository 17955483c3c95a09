"""Storage pools on one file system count once: in claims, in placement, and in what is shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve

from common.errors import InnkeeperError
from common.hosts.discovery import Discovery
from tests.deployment.deployment import Deployment
from tests.integration.ledger.test_claim_boundaries import claim_image, new_copy
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.ledger_fixture import ELSEWHERE_BYTES, POOL_BYTES, LedgerFixture
from tests.integration.support.rigs.discovery_runs import apply, discover
from tests.integration.support.web_client import WebClient

__all__ = ["client"]

GB = 10**9
FREE_BYTES = POOL_BYTES - ELSEWHERE_BYTES
SHARED = "update storage_pool set storage_id = 'one'"


@pytest.mark.database
async def test_claims_in_pools_on_one_storage_share_its_space(ledger: LedgerFixture) -> None:
    await ledger.execute(SHARED)
    assert await ledger.claim(0, 1, 1, {0: 60, 1: FREE_BYTES - 59}) is None
    machine_id = await ledger.must_claim(0, 1, 1, {0: 60})
    assert await ledger.claim(1, 1, 1, {1: FREE_BYTES - 59}) is None
    assert await ledger.claim(1, 1, 1, {1: FREE_BYTES - 60}) is not None
    await ledger.release(machine_id)
    assert await ledger.claim(1, 1, 1, {1: 60}) is not None
    assert await ledger.mismatches() == []


@pytest.mark.database
async def test_concurrent_claims_in_two_pools_do_not_exceed_their_storage(ledger: LedgerFixture) -> None:
    await ledger.execute(SHARED)
    claimed = await asyncio.gather(*(ledger.claim(number % 2, 1, 1, {number % 2: 46}) for number in range(8)))
    assert sum(machine_id is not None for machine_id in claimed) == 1


@pytest.mark.database
async def test_pools_of_different_storage_are_claimed_separately(ledger: LedgerFixture) -> None:
    await ledger.execute("update storage_pool set storage_id = pool_key")
    assert await ledger.claim(0, 1, 1, {0: FREE_BYTES, 1: FREE_BYTES}) is not None


@pytest.mark.database
async def test_a_pool_that_is_gone_takes_nothing_of_the_storage(ledger: LedgerFixture) -> None:
    """Its files count as other use, as soon as they are written."""
    await ledger.execute(SHARED)
    await ledger.must_claim(0, 1, 1, {1: FREE_BYTES})
    await ledger.execute("update storage_pool set missing_since = now() where pool_key = 'f'")
    assert await ledger.claim(0, 1, 1, {0: FREE_BYTES}) is not None


@pytest.mark.database
async def test_the_copy_of_an_image_fits_the_shared_storage(database: Any, ledger: LedgerFixture) -> None:
    await ledger.execute(SHARED)
    copy_id = await new_copy(database, ledger)
    await ledger.must_claim(0, 1, 1, {1: 60})
    with pytest.raises(InnkeeperError, match=f"has {FREE_BYTES - 60} bytes left"):
        await claim_image(database, ledger, copy_id, FREE_BYTES - 59)
    await claim_image(database, ledger, copy_id, FREE_BYTES - 60)


async def shared_host(innkeeper: Deployment) -> tuple[int, Discovery]:
    """A host with the pools `first` and `second` on one file system of 100 GB, and `third` of 30 GB alone."""
    host = await innkeeper.add_simulated(cores=16, memory_mib=65536, pools="first:100,second:100,third:30")
    found = await discover(innkeeper, host["id"])
    pools = tuple(
        evolve(pool, storage_id="third" if pool.name == "third" else "disk", used_elsewhere_bytes=0)
        for pool in found.facts.storage_pools
    )
    found = evolve(found, facts=evolve(found.facts, storage_pools=pools))
    await apply(innkeeper, host["id"], found)
    return host["id"], found


async def test_a_file_system_of_two_pools_counts_once(innkeeper: Deployment, client: WebClient) -> None:
    host_id, _ = await shared_host(innkeeper)
    host = await innkeeper.get(f"vm-hosts/{host_id}/")
    assert host["total"]["local_storage"] == host["available"]["local_storage"] == 130 * GB
    assert host["capacity"]["storage_bytes"]["total"] == host["capacity"]["storage_bytes"]["free"] == 130 * GB
    await innkeeper.compose(host_id, memory=1024, storage="root:70(pool:first)")
    host = await innkeeper.get(f"vm-hosts/{host_id}/")
    pools = {pool["name"]: pool for pool in host["storage_pools"]}
    assert {name: pool["available"] // GB for name, pool in pools.items()} == {"first": 30, "second": 30, "third": 30}
    assert {name: pool["capacity"]["free"] // GB for name, pool in pools.items()} == {
        "first": 30, "second": 30, "third": 30,
    }  # fmt: skip
    assert {name: pool["shares_space_with"] for name, pool in pools.items()} == {
        "first": ["second"], "second": ["first"], "third": [],
    }  # fmt: skip
    assert pools["second"]["capacity"]["elsewhere"] == 70 * GB
    storage = host["capacity"]["storage_bytes"]
    assert (storage["claimed"], storage["elsewhere"], storage["free"]) == (70 * GB, 0, 60 * GB)
    assert host["available"]["local_storage"] == 60 * GB
    fleet = (await innkeeper.get("vm-hosts/", op="capacity"))["fleet"]["capacity"]["storage_bytes"]
    assert (fleet["total"], fleet["claimed"], fleet["free"]) == (130 * GB, 70 * GB, 60 * GB)
    assert "Shares its space with first." in await page(client, f"hosts/{host_id}/resources")


async def test_composes_in_both_pools_do_not_exceed_the_file_system(innkeeper: Deployment) -> None:
    host_id, _ = await shared_host(innkeeper)
    with pytest.raises(InnkeeperError, match=r"needs a disk of 40.0 GB, 30.0 of 100.0 GB free in second"):
        await innkeeper.compose(host_id, memory=1024, storage="root:70(pool:first),data:40(pool:second)")
    composed = await innkeeper.compose(host_id, memory=1024, storage="root:70(pool:first)")
    with pytest.raises(InnkeeperError, match=r"needs a disk of 40.0 GB, 30.0 of 100.0 GB free in second"):
        await innkeeper.compose(host_id, memory=1024, storage="root:40(pool:second)")
    with pytest.raises(InnkeeperError, match=r"30.0 of 100.0 GB free in second"):
        await innkeeper.post(f"machines/{composed['system_id']}/", op="add_disk", size=40, pool="second")
    await innkeeper.delete(f"machines/{composed['system_id']}/")
    await innkeeper.compose(host_id, memory=1024, storage="root:40(pool:second)")


async def test_an_inactive_pool_stays_on_its_storage(innkeeper: Deployment) -> None:
    host_id, found = await shared_host(innkeeper)
    await innkeeper.compose(host_id, memory=1024, storage="root:70(pool:first)")
    await innkeeper.compose(host_id, memory=1024, storage="root:1(pool:second)")
    first, *others = found.facts.storage_pools
    lost = evolve(first, status="inactive", total_bytes=0, used_elsewhere_bytes=0, storage_id="")
    now = await discover(innkeeper, host_id)
    await apply(innkeeper, host_id, evolve(now, facts=evolve(found.facts, storage_pools=(lost, *others))))
    with pytest.raises(InnkeeperError, match=r"29.0 of 100.0 GB free in second"):
        await innkeeper.compose(host_id, memory=1024, storage="root:40(pool:second)")
    host = await innkeeper.get(f"vm-hosts/{host_id}/")
    assert host["total"]["local_storage"] == 130 * GB
    assert {pool["name"]: pool["available"] // GB for pool in host["storage_pools"]} == {
        "first": 0, "second": 29, "third": 30,
    }  # fmt: skip


async def test_a_full_file_system_is_named_once(innkeeper: Deployment) -> None:
    host_id, _ = await shared_host(innkeeper)
    await innkeeper.compose(host_id, memory=1024, storage="root:99(pool:second)")
    (full,) = [one for one in await innkeeper.get("attention/") if one["kind"] == "storage_pool_full"]
    assert "first" in full["text"]


async def test_a_pool_that_is_defined_again_is_the_same_pool(innkeeper: Deployment) -> None:
    """libvirt gives it another UUID. Its disks were claimed twice, and their machines had them in a missing pool."""
    host_id, found = await shared_host(innkeeper)
    machine = await innkeeper.compose(host_id, memory=1024, storage="root:60(pool:first)")
    now = await discover(innkeeper, host_id)
    pools = tuple(
        evolve(pool, pool_id="another" if pool.name == "first" else pool.pool_id) for pool in found.facts.storage_pools
    )
    (guest,) = now.guests
    moved = evolve(guest, disks=tuple(evolve(disk, pool_id="another") for disk in guest.disks))
    await apply(innkeeper, host_id, evolve(now, facts=evolve(found.facts, storage_pools=pools), guests=(moved,)))
    host = await innkeeper.get(f"vm-hosts/{host_id}/")
    assert [(pool["id"], pool["used"] // GB) for pool in host["storage_pools"]] == [
        ("another", 60), ("second", 0), ("third", 0),
    ]  # fmt: skip
    assert (host["used"]["local_storage"], host["capacity"]["storage_bytes"]["free"]) == (60 * GB, 70 * GB)
    (disk,) = (await innkeeper.get(f"machines/{machine['system_id']}/"))["blockdevice_set"]
    assert (disk["storage_pool"], disk["storage_pool_name"]) == ("another", "first")
    assert [one["kind"] for one in await innkeeper.get("attention/")] == []
