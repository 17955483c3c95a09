"""Guests of simulated hosts that are adopted: what is asked, what the hypervisor holds, what the region claims."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from tests.installation import Installation

ASYNC = {"Prefer": "respond-async"}


def rows(innkeeper: Installation, statement: str, *values: object, name: str = "sim") -> list[Any]:
    """Asked of the simulated hypervisor itself, or done there as its administrator would."""
    with closing(sqlite3.connect(innkeeper.folder / "simulated" / f"{name}.sqlite")) as store, store:
        return store.execute(statement, values).fetchall()


def guests(innkeeper: Installation) -> list[Any]:
    """All that the hypervisor keeps of its guests but the mark."""
    return rows(innkeeper, "select guest_id, name, power, cores, memory_mib from guest order by name")


def marks(innkeeper: Installation) -> dict[str, str | None]:
    return dict(rows(innkeeper, "select name, machine_id from guest"))


def volumes(innkeeper: Installation) -> list[Any]:
    return rows(innkeeper, "select pool, name, size_bytes from volume order by name")


async def claims(innkeeper: Installation) -> list[tuple[bool, str, int]]:
    async with innkeeper.region.parts.database.connection() as db:
        found = await db.fetch(
            "select machine_id is not null as of_machine, resource, sum(amount)::bigint as amount from claim"
            " group by 1, 2 order by 1, 2"
        )
    return [tuple(row.values()) for row in found]


async def refresh(innkeeper: Installation, host: Any) -> Any:
    return await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")


async def adopt(innkeeper: Installation, host: Any, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", headers=headers, **fields)


async def forgotten(innkeeper: Installation) -> Any:
    return await innkeeper.get("machines/", op="forgotten")


async def kinds_of_events(innkeeper: Installation) -> list[str]:
    return [event.kind for event in await innkeeper.region.parts.events.list()]
