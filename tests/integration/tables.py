"""What the tables of an installation's database hold."""

from __future__ import annotations

from typing import Any

from tests.installation import Installation


async def rows(innkeeper: Installation, query: str) -> list[Any]:
    async with innkeeper.region.parts.database.connection() as db:
        return [tuple(row) for row in await db.fetch(query)]


async def count(innkeeper: Installation, table: str) -> int:
    async with innkeeper.region.parts.database.connection() as db:
        found: int = await db.fetchval(f"select count(*) from {table}")  # noqa: S608  # tables of ours, named by the tests
        return found
