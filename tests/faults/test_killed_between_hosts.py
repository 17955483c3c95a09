"""A region that dies when a compose has left one host and has not come to the next: one machine, there, and no claim
of it anywhere else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from common.simulated_address import SimulatedAddress
from regiond.db.pool import connect
from tests.faults.daemons import Daemons
from tests.waiting import eventually

WAITING_FOR_A_LOCK = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


def guests(folder: Path, host: str) -> list[str]:
    with closing(sqlite3.connect(folder / "simulated" / f"{host}.sqlite", timeout=60)) as store:
        return sorted(row[0] for row in store.execute("select name from guest"))


async def test_a_compose_survives_the_death_of_the_region_between_two_hosts(daemons: Daemons) -> None:
    await daemons.start()
    for name, cores in (("first", 16), ("next", 8)):
        address = f"simulated:{name}?cores={cores}&memory_mib=16384"
        await daemons.add_host(type="simulated", power_address=address, name=name)
    db = await connect(daemons.dsn, application_name="test")
    try:
        changed = SimulatedAddress.parse("simulated:first?cores=16&memory_mib=16384&pools=other:100").normalised
        await db.execute("update vm_host set address = $1 where name = 'first'", changed)
        async with db.transaction():  # whoever would claim on the next host waits
            await db.execute(
                "select 1 from server where id = (select server_id from vm_host where name = 'next') for update"
            )
            answer = await daemons.api.send(
                "POST", "machines/", query=[("op", "allocate")], headers={"Prefer": "respond-async"}
            )
            operation_id = int(answer.json()["id"])

            async def between() -> bool:
                found = await daemons.get(f"operations/{operation_id}/")
                return bool(found["step"] == "give_back_claims" and await db.fetchval(WAITING_FOR_A_LOCK))

            await eventually(between)
            daemons.kill("region")
        await daemons.start_again("region")
        assert await daemons.ended(operation_id) == "succeeded"
    finally:
        await db.close()
    (machine,) = await daemons.get("machines/")
    assert (machine["pod"]["name"], machine["status_name"], machine["owner"]) == ("next", "Allocated", "admin")
    assert (guests(daemons.folder, "first"), guests(daemons.folder, "next")) == ([], [machine["hostname"]])
    used = {host["name"]: host["used"]["cores"] for host in await daemons.get("vm-hosts/")}
    assert used == {"first": 0, "next": 1}
    assert await daemons.ledger_faults() == []
