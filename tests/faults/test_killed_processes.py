"""Whatever is killed in the middle of a compose: one machine with one guest, or none with none, and a right ledger."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.daemons import Daemons
from tests.waiting import eventually

SLOW = "simulated:slow?cores=8&memory_mib=16384&delay_ms=300"


def rows(folder: Path, what: str) -> list[str]:
    """Names of the guests or volumes that the simulated hypervisor holds."""
    with closing(sqlite3.connect(folder / "simulated" / "slow.sqlite")) as store:
        return sorted(row[0] for row in store.execute(f"select name from {what}"))  # noqa: S608  # ours


async def a_step_has_begun(daemons: Daemons, operation_id: int) -> bool:
    operation = await daemons.get(f"operations/{operation_id}/")
    return bool(operation and operation["step"] == "compose_on_host")


@pytest.mark.parametrize("moment", ["called", "half_made"])
@pytest.mark.parametrize("victim", ["region", "rack", "postgres"])
async def test_a_compose_survives_the_death_of(daemons: Daemons, victim: str, moment: str) -> None:
    await daemons.start()
    host_id = await daemons.add_host(type="simulated", power_address=SLOW, name="slow")
    operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname="survivor")
    await eventually(lambda: a_step_has_begun(daemons, operation_id), every_s=0.01)
    if moment == "half_made":
        await eventually(lambda: rows(daemons.folder, "volume"), every_s=0.005)
    daemons.kill(victim)
    await daemons.start_again(victim)
    assert await daemons.ended(operation_id) == "succeeded"
    assert rows(daemons.folder, "guest") == ["survivor"]
    assert len(rows(daemons.folder, "volume")) == 1
    assert [machine["hostname"] for machine in await daemons.get("machines/")] == ["survivor"]
    assert await daemons.ledger_faults() == []


async def test_everything_killed_at_once_comes_back_to_one_machine(daemons: Daemons) -> None:
    await daemons.start()
    host_id = await daemons.add_host(type="simulated", power_address=SLOW, name="slow")
    operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname="survivor")
    await eventually(lambda: rows(daemons.folder, "volume"), every_s=0.005)
    for name in ("region", "rack", "postgres"):
        daemons.kill(name)
    for name in ("postgres", "region", "rack"):
        await daemons.start_again(name)
    assert await daemons.ended(operation_id) == "succeeded"
    assert rows(daemons.folder, "guest") == ["survivor"]
    assert await daemons.ledger_faults() == []


async def test_a_compose_that_is_refused_while_the_region_dies_leaves_nothing(daemons: Daemons) -> None:
    await daemons.start()
    host_id = await daemons.add_host(type="simulated", power_address=SLOW + "&guests=1", name="slow")
    (foreign,) = rows(daemons.folder, "guest")
    operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname=foreign)
    await eventually(lambda: a_step_has_begun(daemons, operation_id), every_s=0.01)
    daemons.kill("region")
    await daemons.start_again("region")
    assert await daemons.ended(operation_id) == "failed"
    assert rows(daemons.folder, "guest") == [foreign]
    assert await daemons.get("machines/") == []
    assert await daemons.ledger_faults() == []


async def test_deleting_survives_the_death_of_the_rack(daemons: Daemons) -> None:
    await daemons.start()
    host_id = await daemons.add_host(type="simulated", power_address=SLOW, name="slow")
    operation_id = await daemons.begin_compose(host_id, cores=1, memory=1024, hostname="short-lived")
    assert await daemons.ended(operation_id) == "succeeded"
    (machine,) = await daemons.get("machines/")
    answer = await daemons.api.send("DELETE", f"machines/{machine['system_id']}/", headers={"Prefer": "respond-async"})
    daemons.kill("rack")
    await daemons.start_again("rack")
    assert await daemons.ended(int(answer.json()["id"])) == "succeeded"
    assert rows(daemons.folder, "guest") == rows(daemons.folder, "volume") == []
    assert await daemons.get("machines/") == []
    assert await daemons.ledger_faults() == []
