"""Which rows were written between two moments: by the versions of the rows themselves, not by anybody's account."""

from __future__ import annotations

from regiond.db.pool import connect

FACTS = (
    "server", "storage_pool", "vm_host", "guest", "machine", "claim", "event", "rack_reach", "counted_resource",
    "fabric", "vlan", "subnet", "ip_range", "host_interface", "host_interface_address",
)  # fmt: skip

Versions = frozenset[tuple[str, str, str]]


async def versions(dsn: str) -> Versions:
    """Every version of a row of the facts and the ledger: a row inserted, updated (to the same values even) or
    deleted since makes another set."""
    found: set[tuple[str, str, str]] = set()
    db = await connect(dsn, application_name="test")
    try:
        for table in FACTS:
            for row in await db.fetch(f"select ctid::text as place, xmin::text as writer from {table}"):  # noqa: S608  ours
                found.add((table, row["place"], row["writer"]))
    finally:
        await db.close()
    return frozenset(found)
