"""Concurrent changes of links: one order of locks (machine, subnet, NIC), and retries after a deadlock with others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from regiond.machines.core import lifecycle_store
from regiond.machines.core.nics.restoration import restore_links
from tests.deployment.deployment import Deployment
from tests.integration.machines.test_devices import interface_of, register
from tests.integration.networks.test_nic_links import Nic, allocated, subnet
from tests.integration.support.rigs.deadlocks import loses
from tests.integration.support.tables import lock_waiters, rows
from tests.support.waiting import eventually

Link = Callable[[], Awaitable[Any]]  # a request

_LOCK = "select from subnet where id = $1 for update"


async def link_of_nic(nic: Nic) -> Link:
    return lambda: nic.link("AUTO", force="true")


async def link_of_device(nic: Nic) -> Link:
    path = interface_of(await register(nic.innkeeper, nic.system_id))
    return lambda: nic.innkeeper.post(path, op="link_subnet", mode="AUTO", subnet="10.1.0.0/24", force="true")


async def test_a_release_and_a_device_lock_in_the_same_order(innkeeper: Deployment) -> None:
    """The release waits for the machine, and does not hold the subnet that the device is going to lock."""
    nic = await allocated(innkeeper, interfaces="eth0:ip=10.1.0.7")
    await nic.link("STATIC", ip_address="10.1.0.9", force="true")
    ((machine_id, subnet_id),) = await rows(innkeeper, "select machine_id, subnet_id from machine_nic")
    database = innkeeper.region.components.database

    async def restore() -> tuple[str, ...]:
        async with database.transaction() as db:
            return await restore_links(db, machine_id)

    async with database.transaction() as db:
        await lifecycle_store.lock(db, [nic.system_id])
        restoring = asyncio.create_task(restore())
        await eventually(lambda: lock_waiters(database))
        await db.execute(_LOCK, subnet_id)
    assert await restoring == ()
    assert await nic.links() == [("static", "10.1.0.7")]


async def test_a_link_and_the_deletion_of_its_subnet_lock_in_the_same_order(innkeeper: Deployment) -> None:
    """The link waits for the subnet, and does not hold the NIC that the deletion is going to change."""
    nic = await allocated(innkeeper)
    database = innkeeper.region.components.database
    async with database.transaction() as db:
        await db.execute(_LOCK, (await subnet(innkeeper))["id"])
        linking = asyncio.create_task(nic.link("AUTO"))
        await eventually(lambda: lock_waiters(database))
        await db.execute("select from machine_nic for update nowait")
    assert (await linking)["links"][0]["ip_address"] == "10.1.0.2"


@pytest.mark.parametrize("link_of", [link_of_nic, link_of_device])
async def test_a_link_that_loses_a_deadlock_is_retried(
    innkeeper: Deployment, link_of: Callable[[Nic], Awaitable[Link]]
) -> None:
    link = await link_of(await allocated(innkeeper))

    async def gets_an_address() -> None:
        assert (await link())["links"][0]["ip_address"]

    database = innkeeper.region.components.database
    while not await loses(database, gets_an_address(), held="subnet", wanted="machine"):
        pass
