"""A standby without the last seconds is promoted: what they had promised is reported, nothing is destroyed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from development.postgres import DATABASE
from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.deployment.processes import Processes
from tests.faults.database.replication import Replication, replication
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

HOSTS = ("east", "west")
FIELDS: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "root:1"}
_NEWEST = "select max(id) from operation"
_TAGS = "select string_agg(name, ',' order by name) from tag"
_MOVED_ON = "select kind, message from event where kind in ('region_restored', 'database_failed_over') order by id"


@pytest.fixture
def pair() -> Iterator[Replication]:
    with replication(synchronous=False) as made:
        yield made


@pytest.fixture
def deployment(tmp_path: Path, pair: Replication) -> Iterator[Deployment]:
    made = Deployment(runner=Processes(folder=tmp_path, server_folder=tmp_path, dsn=pair.dsn))
    yield made
    made.processes.kill_all()


def guests_of(deployment: Deployment) -> dict[str, object]:
    return {name: guest for host in HOSTS for name, guest in deployment.simulated(host).guests().items()}


async def test_lost_seconds_are_reported_and_nothing_is_destroyed(deployment: Deployment, pair: Replication) -> None:
    await deployment.start_region_and_rack()
    east, west = [(await deployment.add_simulated(name, cores=64, memory_mib=262144))["id"] for name in HOSTS]
    kept = [await deployment.compose(east, hostname=f"kept{n}", **FIELDS) for n in range(3)]
    with deployment.held("define guest", name="west"):
        open_compose = await deployment.begin_compose(west, hostname="open", **FIELDS)
        await eventually(deployment.simulated("west").volume_names)
        await eventually(lambda: _has(pair, open_compose))
        pair.cut()
    assert await deployment.ended(open_compose) == "succeeded"
    for number in range(3):
        await deployment.compose(east, hostname=f"lost{number}", **FIELDS)
    await deployment.delete(f"machines/{kept[0]['system_id']}/")
    newest = (await deployment.fetch(_NEWEST))[0][0]
    guests, changes = guests_of(deployment), [deployment.simulated(name).newest_change() for name in HOSTS]
    pair.primary.kill()
    await asyncio.to_thread(pair.promote)

    async def reported() -> bool:
        found = [one.kind for one in await deployment.discrepancies()]
        return (found.count(DiscrepancyKind.UNKNOWN_GUEST), found.count(DiscrepancyKind.MACHINE_MISSING)) == (3, 1)

    await eventually(reported)
    await deployment.get("discrepancies/")  # as the periodic check does
    assert {one["kind"] for one in await deployment.get("attention/")} >= {"vm_missing", "discrepancy"}
    ((kind, message),) = await deployment.fetch(_MOVED_ON)
    assert kind == "region_restored"
    assert f"it lacks changes of operation {open_compose}, operation " in message
    assert "1 open operation ended, 1 VM in transition settled" in message
    assert (guests_of(deployment), [deployment.simulated(name).newest_change() for name in HOSTS]) == (guests, changes)
    states = {one["hostname"]: one["status_name"] for one in await deployment.get("machines/")}
    assert states == {"kept0": "Missing", "kept1": "Ready", "kept2": "Ready", "open": "Ready"}
    await can_go_on(deployment, east, newest, str(kept[1]["system_id"]))


async def test_a_region_leaves_a_primary_that_was_replaced(deployment: Deployment, pair: Replication) -> None:
    """The former primary still runs, and has open connections of the region."""
    await deployment.processes.start_region()
    await deployment.post("tags/", name="both")
    await eventually(lambda: pair.standby.sql(_TAGS, database=DATABASE) == "both")
    pair.cut()
    await deployment.post("tags/", name="lost")
    await asyncio.to_thread(pair.promote)

    async def is_used() -> bool:
        return pair.standby.sql("select count(*) from event where kind = 'region_restored'", database=DATABASE) == "1"

    await eventually(is_used)
    await eventually(deployment.processes.region_is_ready)
    await deployment.post("tags/", name="later")
    assert pair.standby.sql(_TAGS, database=DATABASE) == "both,later"
    assert pair.primary.sql(_TAGS, database=DATABASE) == "both,lost"


def _has(pair: Replication, operation_id: int) -> bool:
    """Whether the standby has the operation."""
    return str(operation_id) in pair.standby.sql("select id from operation", database=DATABASE).split()


async def can_go_on(deployment: Deployment, host_id: int, newest: int, system_id: str) -> None:
    """The rack has seen newer tokens than the database has: it accepts what follows, since the numbers moved on."""
    await deployment.compose(host_id, hostname="after", **FIELDS)
    assert (await deployment.fetch(_NEWEST))[0][0] > newest
    await deployment.delete(f"machines/{system_id}/")
    await deployment.post(f"vm-hosts/{host_id}/", op="adopt", guests="lost1")
    names = {one["hostname"] for one in await deployment.get("machines/")}
    assert names == {"kept0", "kept2", "open", "after", "lost1"}
    assert "kept1" not in guests_of(deployment)
    assert await deployment.ledger_problems() == []
