"""Adoption requests, the state of simulated hypervisors, and the claims of the region."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.support import tables
from tests.support.waiting import eventually

ASYNC = {"Prefer": "respond-async"}


def rows(innkeeper: Deployment, statement: str, *values: object, name: str = "sim") -> list[Any]:
    """Runs SQL in the simulated hypervisor's own store."""
    with closing(sqlite3.connect(innkeeper.folder / "simulated" / f"{name}.sqlite")) as store, store:
        return store.execute(statement, values).fetchall()


def guests(innkeeper: Deployment) -> list[Any]:
    """Returns the guests of the hypervisor without their markers."""
    return rows(innkeeper, "select guest_id, name, power, cores, memory_mib from guest order by name")


def markers(innkeeper: Deployment) -> dict[str, str | None]:
    return dict(rows(innkeeper, "select name, machine_id from guest"))


def volumes(innkeeper: Deployment) -> list[Any]:
    return rows(innkeeper, "select pool, name, size_bytes from volume order by name")


async def claims(innkeeper: Deployment) -> list[tuple[bool, str, int]]:
    """Returns (of a machine, resource, amount) of the claims, added up."""
    return await tables.rows(
        innkeeper, "select machine_id is not null, resource, sum(amount)::bigint from claim group by 1, 2 order by 1, 2"
    )


async def refresh(innkeeper: Deployment, host: Any) -> Any:
    return await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")


async def adopt(innkeeper: Deployment, host: Any, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", headers=headers, **fields)


async def reached(innkeeper: Deployment, operation: Any, step_or_state: str) -> Any:
    """Returns the operation once it is in that step or state."""

    async def found() -> Any:
        current = await innkeeper.get(f"operations/{operation['id']}/")
        return current if step_or_state in (current["step"], current["state"]) else None

    return await eventually(found)


async def detached(innkeeper: Deployment) -> Any:
    return await innkeeper.get("machines/", op="detached")


async def kinds_of_events(innkeeper: Deployment) -> list[str]:
    return [event.kind for event in await innkeeper.region.components.services.events.list()]
