"""Checks that hosts, machines and claims agree when all operations have ended."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from functools import partial

import asyncpg

from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

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
_OPEN = "select id, kind, state from operation where is_open"
_ENDED_BUT_HELD = "select id from operation where finished_at is not null and lease_owner is not null"
# Servers and storage pools, if no host has a ratio above 1.
OVERCOMMITTED = """
    select identity from server where cores_claimed > cores or memory_mib_claimed > memory_mib
    union all
    select name from storage_pool where claimed_bytes + used_elsewhere_bytes > total_bytes
"""


def on_hosts(deployment: Deployment, query: str) -> set[tuple[str, ...]]:
    """Rows of all simulated hosts; the host's name comes first."""
    found: set[tuple[str, ...]] = set()
    for path in (deployment.folder / "simulated").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as store:
            found |= {(path.stem, *row) for row in store.execute(query)}
    return found


async def until_no_operation_is_open(deployment: Deployment, *, deadline_s: float = 150.0) -> None:
    async def nothing_open() -> bool:
        return not await deployment.fetch(_OPEN)

    await eventually(nothing_open, deadline_s=deadline_s, every_s=0.2)


async def refresh_hosts(deployment: Deployment, host_ids: list[int]) -> None:
    """Refreshes each host until that succeeds: a tenth of the calls fails."""
    for host_id in host_ids:
        await eventually(partial(deployment.refreshed, host_id))


async def settle(deployment: Deployment, host_ids: list[int], *, deadline_s: float = 150.0) -> None:
    """Returns when no operation is open and the hosts are refreshed, whose leftover guests operations remove."""
    await until_no_operation_is_open(deployment, deadline_s=deadline_s)
    await refresh_hosts(deployment, host_ids)
    await until_no_operation_is_open(deployment, deadline_s=deadline_s)


async def assert_consistent(deployment: Deployment) -> list[asyncpg.Record]:
    """Returns the machines. Raises AssertionError unless hosts, machines and claims agree."""
    machines = await deployment.fetch(_MACHINES)
    assert {machine["state"] for machine in machines} <= {"ready", "missing"}
    there = [machine for machine in machines if machine["state"] == "ready"]
    assert on_hosts(deployment, "select name, machine_id from guest where machine_id is not null") == {
        (machine["host"], machine["hostname"], machine["uuid"]) for machine in there
    }
    assert on_hosts(deployment, "select name from volume where machine_id is not null") == {
        (machine["host"], volume) for machine in there for volume in machine["volumes"]
    }
    claims = {(row["machine_id"], row["resource"]): row["amount"] for row in await deployment.fetch(_CLAIMS)}
    assert claims == {
        (machine["id"], resource): machine[column]
        for machine in machines
        for resource, column in (("cores", "cores"), ("memory_mib", "memory_mib"), ("storage_bytes", "size_bytes"))
    }
    assert await deployment.ledger_problems() == []
    assert await deployment.fetch(OVERCOMMITTED) == []
    assert await deployment.fetch(_ENDED_BUT_HELD) == []
    return machines


async def delete_all(deployment: Deployment) -> None:
    """Deletes every machine; repeats what failed."""

    async def none_left() -> bool:
        for machine in await deployment.poll("machines/") or ():
            with suppress(Exception):
                await deployment.begin(f"machines/{machine['system_id']}/", method="DELETE")
        await until_no_operation_is_open(deployment)
        return not await deployment.get("machines/")

    await eventually(none_left, deadline_s=400.0)
