"""A region and its database are lost and restored from a backup; the rack and the hosts live through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.deployment.restored import lose_and_restore, save
from tests.support.waiting import eventually

HOSTS = ("east", "north", "south", "west")
BEFORE, SINCE = 200, 50  # VMs; of those since the backup, as many are made as deleted
FIELDS: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "root:1"}
_NEWEST = "select max(id) from operation"


def guests_of(deployment: Deployment) -> dict[str, object]:
    """The guests of all hosts by name, with all that their hosts know of them."""
    return {name: guest for host in HOSTS for name, guest in deployment.simulated(host).guests().items()}


def changes_of(deployment: Deployment) -> list[int]:
    """The number of the newest change of a guest, on each host: whatever starts, stops or deletes one adds to it."""
    return [deployment.simulated(host).newest_change() for host in HOSTS]


async def compose(deployment: Deployment, ids: Sequence[int], name: str, count: int) -> list[Any]:
    """Composes this many machines, not all at once: on a busy computer the last ones would wait too long."""
    at_once = asyncio.Semaphore(len(ids) * 8)

    async def one(n: int) -> Any:
        async with at_once:
            return await deployment.compose(ids[n % len(ids)], hostname=f"{name}{n}", **FIELDS)

    return await asyncio.gather(*map(one, range(count)))


async def test_a_restored_region_reports_what_changed_and_touches_no_guest(deployment: Deployment) -> None:
    await deployment.start()
    ids = [(await deployment.add_simulated(name, cores=128, memory_mib=262144))["id"] for name in HOSTS]
    machines = await compose(deployment, ids, "vm", BEFORE)
    with deployment.held("define guest", name=HOSTS[0]):
        open_compose = await deployment.begin_compose(ids[0], hostname="open", **FIELDS)
        await eventually(lambda: deployment.processes.has_begun("compose"))
        await save(deployment)
    assert await deployment.ended(open_compose) == "succeeded"
    await compose(deployment, ids, "new", SINCE)
    await asyncio.gather(*(deployment.delete(f"machines/{machines[n]['system_id']}/") for n in range(SINCE)))
    newest = (await deployment.fetch(_NEWEST))[0][0]
    guests, changes = guests_of(deployment), changes_of(deployment)
    assert "1 open operation ended, 1 VM in transition settled" in await lose_and_restore(deployment)

    async def reported() -> bool:
        found = await deployment.discrepancies()
        kinds = [one.kind for one in found]
        return (kinds.count(DiscrepancyKind.UNKNOWN_GUEST), kinds.count(DiscrepancyKind.MACHINE_MISSING)) == (
            SINCE,
        ) * 2

    await eventually(reported)
    assert (guests_of(deployment), changes_of(deployment)) == (guests, changes)
    states = {one["hostname"]: one["status_name"] for one in await deployment.get("machines/")}
    assert states["open"] == "Ready"
    assert [name for name in states if name.startswith("new")] == []
    await deployment.compose(ids[0], hostname="after", **FIELDS)
    assert (await deployment.fetch(_NEWEST))[0][0] > newest + 900_000
    assert guests_of(deployment).keys() == guests.keys() | {"after"}
