"""Detects which rows were written between two points in time, by the row versions of PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from regiond.db.pool import connect

FACTS = (
    "server", "storage_pool", "vm_host", "guest", "machine", "claim", "event", "rack_reach", "discrete_resource",
    "fabric", "vlan", "subnet", "ip_range", "host_interface", "host_interface_address",
    "seen_address",
)  # fmt: skip

Versions = frozenset[tuple[str, str, str]]


async def versions(dsn: str) -> Versions:
    """Returns every row version of the ledger and the discovered facts.

    An insert, a delete or an update, even to the same values, changes the set.
    """
    found: set[tuple[str, str, str]] = set()
    db = await connect(dsn, application_name="test")
    try:
        for table in FACTS:
            for row in await db.fetch(f"select ctid::text as location, xmin::text as writer from {table}"):  # noqa: S608  constants above
                found.add((table, row["location"], row["writer"]))
    finally:
        await db.close()
    return frozenset(found)


async def writes_nothing(dsn: str, work: Callable[[], Awaitable[Any]]) -> bool:
    """Whether no row is written during `work`; those that are, are printed for the reader of a failure.

    A refresh writes what parallel tests change on the machine, such as the bridges of their LXD servers: wait for this.
    """
    before = await versions(dsn)
    await work()
    written = await versions(dsn) ^ before
    if written:
        print("written:", *sorted({table for table, *_ in written}))  # noqa: T201
    return not written
