"""Whatever is killed in the middle of a compose: one machine with one guest, or none with none, and a right ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from rackd.drivers.simulated.pace import Call
from tests.faults.daemons import Daemons
from tests.waiting import eventually

HOST = "simulated:inn?cores=8&memory_mib=16384"
HELD: dict[str, Call] = {
    "called": "look up guest",
    "half_made": "define guest",
}  # the call to the host in which the compose is met


def rows(folder: Path, what: str) -> list[str]:
    """Names of the guests or volumes that the simulated hypervisor holds."""
    with closing(sqlite3.connect(folder / "simulated" / "inn.sqlite", timeout=60)) as store:
        return sorted(row[0] for row in store.execute(f"select name from {what}"))  # noqa: S608  # ours


@asynccontextmanager
async def composing(
    daemons: Daemons, moment: str, *, hostname: str = "survivor", host: str = HOST
) -> AsyncIterator[int]:
    """The id of a compose that has got as far as `moment`, and gets no further inside."""
    host_id = await daemons.add_host(type="simulated", power_address=host, name="inn")
    with daemons.held("inn", HELD[moment]):
        operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname=hostname)
        await eventually(lambda: daemons.has_begun("compose"))
        if moment == "half_made":
            await eventually(lambda: rows(daemons.folder, "volume"))
        yield operation_id


@pytest.mark.parametrize("moment", ["called", "half_made"])
@pytest.mark.parametrize("victim", ["region", "rack", "postgres"])
async def test_a_compose_survives_the_death_of(daemons: Daemons, victim: str, moment: str) -> None:
    await daemons.start()
    async with composing(daemons, moment) as operation_id:
        daemons.kill(victim)
    await daemons.start_again(victim)
    assert await daemons.ended(operation_id) == "succeeded"
    assert rows(daemons.folder, "guest") == ["survivor"]
    assert len(rows(daemons.folder, "volume")) == 1
    assert [machine["hostname"] for machine in await daemons.get("machines/")] == ["survivor"]
    assert await daemons.ledger_faults() == []


async def test_everything_killed_at_once_comes_back_to_one_machine(daemons: Daemons) -> None:
    await daemons.start()
    async with composing(daemons, "half_made") as operation_id:
        for name in ("region", "rack", "postgres"):
            daemons.kill(name)
    for name in ("postgres", "region", "rack"):
        await daemons.start_again(name)
    assert await daemons.ended(operation_id) == "succeeded"
    assert rows(daemons.folder, "guest") == ["survivor"]
    assert await daemons.ledger_faults() == []


async def test_a_compose_that_is_refused_while_the_region_dies_leaves_nothing(daemons: Daemons) -> None:
    await daemons.start()
    foreign = "foreign-0001"
    async with composing(daemons, "called", hostname=foreign, host=f"{HOST}&guests=1") as operation_id:
        daemons.kill("region")
    await daemons.start_again("region")
    assert await daemons.ended(operation_id) == "failed"
    assert rows(daemons.folder, "guest") == [foreign]
    assert await daemons.get("machines/") == []
    assert await daemons.ledger_faults() == []


async def test_deleting_survives_the_death_of_the_rack(daemons: Daemons) -> None:
    await daemons.start()
    host_id = await daemons.add_host(type="simulated", power_address=HOST, name="inn")
    operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname="short-lived")
    assert await daemons.ended(operation_id) == "succeeded"
    (machine,) = await daemons.get("machines/")
    with daemons.held("inn", "remove guest"):
        path = f"machines/{machine['system_id']}/"
        answer = await daemons.api.send("DELETE", path, headers={"Prefer": "respond-async"})
        await eventually(lambda: daemons.has_begun("decompose"))
        daemons.kill("rack")
    await daemons.start_again("rack")
    assert await daemons.ended(int(answer.json()["id"])) == "succeeded"
    assert rows(daemons.folder, "guest") == rows(daemons.folder, "volume") == []
    assert await daemons.get("machines/") == []
    assert await daemons.ledger_faults() == []
