"""After much has died: when all is quiet, hosts, rows and claims have to say the same of every machine."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from functools import partial
from typing import Any

from regiond.db.pool import connect
from tests.faults.daemons import Daemons
from tests.faults.load import ASYNC
from tests.waiting import eventually

_MACHINES = """
    select h.name as host, m.id, m.uuid::text, m.hostname, m.state, m.cores, m.memory_mib,
           coalesce((select sum(d.size_bytes) from machine_disk d where d.machine_id = m.id), 0)::bigint as size_bytes,
           array(select d.volume from machine_disk d where d.machine_id = m.id order by d.volume) as volumes
      from machine m join vm_host h on h.id = m.host_id
"""
_CLAIMS = """
    select machine_id, resource, sum(amount)::bigint as amount
      from claim where machine_id is not null group by machine_id, resource
"""
_OPEN = "select id, kind, state from operation where state in ('queued', 'running', 'waiting', 'undoing')"
_ENDED_BUT_HELD = "select id from operation where finished_at is not null and lease_owner is not null"
_OVER_COMMITTED = """
    select identity from server where cores_claimed > cores or memory_mib_claimed > memory_mib
    union all
    select name from storage_pool where claimed_bytes + used_elsewhere_bytes > total_bytes
"""


async def fetch(daemons: Daemons, query: str) -> list[dict[str, Any]]:
    db = await connect(daemons.dsn, application_name="test")
    try:
        return [dict(row) for row in await db.fetch(query)]
    finally:
        await db.close()


def on_hosts(daemons: Daemons, query: str) -> set[tuple[str, ...]]:
    """What the simulated hypervisors really hold, with the host's name before each row."""
    found: set[tuple[str, ...]] = set()
    for path in (daemons.folder / "simulated").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as store:
            found |= {(path.stem, *row) for row in store.execute(query)}
    return found


async def until_nothing_is_open(daemons: Daemons, *, deadline_s: float = 150.0) -> None:
    async def nothing_open() -> bool:
        return not await fetch(daemons, _OPEN)

    await eventually(nothing_open, deadline_s=deadline_s, every_s=0.2)


async def refresh_until_good(daemons: Daemons, host_ids: list[int]) -> None:
    """One good look at each host: a tenth of the calls to it fails."""

    async def refreshed(host_id: int) -> bool:
        answer = await daemons.api.send("POST", f"vm-hosts/{host_id}/", query=[("op", "refresh")], headers=ASYNC)
        return await daemons.ended(int(answer.json()["id"])) == "succeeded"

    for host_id in host_ids:
        await eventually(partial(refreshed, host_id), deadline_s=60.0)


async def assert_all_adds_up(daemons: Daemons) -> list[dict[str, Any]]:
    """The machines, once hosts, rows and claims were found to say the same of them."""
    machines = await fetch(daemons, _MACHINES)
    assert {machine["state"] for machine in machines} <= {"ready", "missing"}
    there = [machine for machine in machines if machine["state"] == "ready"]
    assert on_hosts(daemons, "select name, machine_id from guest where machine_id is not null") == {
        (machine["host"], machine["hostname"], machine["uuid"]) for machine in there
    }
    assert on_hosts(daemons, "select name from volume where machine_id is not null") == {
        (machine["host"], volume) for machine in there for volume in machine["volumes"]
    }
    claims = {(row["machine_id"], row["resource"]): row["amount"] for row in await fetch(daemons, _CLAIMS)}
    assert claims == {
        (machine["id"], resource): machine[column]
        for machine in machines
        for resource, column in (("cores", "cores"), ("memory_mib", "memory_mib"), ("storage_bytes", "size_bytes"))
    }
    assert await daemons.ledger_faults() == []
    assert await fetch(daemons, _OVER_COMMITTED) == []
    assert await fetch(daemons, _ENDED_BUT_HELD) == []
    return machines


async def delete_all(daemons: Daemons, machines: list[dict[str, Any]]) -> None:
    async def none_left() -> bool:
        for machine in await daemons.get("machines/") or ():
            with suppress(Exception):
                await daemons.api.send("DELETE", f"machines/{machine['system_id']}/", headers=ASYNC)
        await until_nothing_is_open(daemons)
        return not await daemons.get("machines/")

    await eventually(none_left, deadline_s=120.0)
