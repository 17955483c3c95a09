"""Reads tables of the database of a deployment."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment


async def sql(innkeeper: Deployment, statement: str, *values: object) -> list[Any]:
    """Returns the rows of the query."""
    async with innkeeper.region.components.database.connection() as db:
        return await db.fetch(statement, *values)


async def rows(innkeeper: Deployment, query: str) -> list[Any]:
    async with innkeeper.region.components.database.connection() as db:
        return [tuple(row) for row in await db.fetch(query)]


COUNTED = (
    "vm_host", "machine", "operation", "claim", "zone", "resource_pool", "guest", "fabric", "vlan", "subnet", "space",
    "ip_range",
)  # fmt: skip


async def counts(innkeeper: Deployment) -> dict[str, int]:
    """Returns the rows in each table that a request may change."""
    return {table: await count(innkeeper, table) for table in COUNTED}


async def count(innkeeper: Deployment, table: str) -> int:
    async with innkeeper.region.components.database.connection() as db:
        found: int = await db.fetchval(f"select count(*) from {table}")  # noqa: S608  # names of tables in tests
        return found
