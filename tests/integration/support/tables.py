"""Reads tables of the database of a deployment."""

from __future__ import annotations

from typing import Any

from regiond.db.pool import Database
from tests.deployment.deployment import Deployment

_LOCK_WAITERS = """
    select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


async def sql(innkeeper: Deployment, statement: str, *values: object) -> list[Any]:
    """Returns the rows of the query."""
    async with innkeeper.region.components.database.connection() as db:
        return await db.fetch(statement, *values)


async def rows(innkeeper: Deployment, query: str) -> list[Any]:
    async with innkeeper.region.components.database.connection() as db:
        return [tuple(row) for row in await db.fetch(query)]


async def dump(innkeeper: Deployment) -> str:
    """Returns every row of every table as text, with bytes in hex."""
    names = await rows(innkeeper, "select tablename from pg_tables where schemaname = 'public'")
    found = [row[0] for (name,) in names for row in await rows(innkeeper, f'select t::text from "{name}" t')]  # noqa: S608  # names from pg_tables
    return "\n".join(found)


async def lock_waiters(database: Database) -> int:
    """Returns the number of connections that wait for a lock."""
    async with database.connection() as db:
        found: int = await db.fetchval(_LOCK_WAITERS)
    return found


COUNTED = (
    "vm_host", "machine", "operation", "claim", "zone", "resource_pool", "guest", "fabric", "vlan", "subnet", "space",
    "ip_range",
)  # fmt: skip


async def counts(innkeeper: Deployment) -> dict[str, int]:
    """Returns the rows in each table that a request may change."""
    return {table: await count(innkeeper, table) for table in COUNTED}


async def is_count(innkeeper: Deployment, table: str, wanted: int) -> bool:
    return await count(innkeeper, table) == wanted


async def count(innkeeper: Deployment, table: str) -> int:
    async with innkeeper.region.components.database.connection() as db:
        found: int = await db.fetchval(f"select count(*) from {table}")  # noqa: S608  # names of tables in tests
        return found
