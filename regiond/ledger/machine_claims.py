"""Reads what one machine claims of the server of its host."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.ledger.model import GuestClaims, discrete_resources_of

_CLAIMS = "select resource, storage_pool_id, key, amount from claim where machine_id = $1 order by id"


async def claims_of_machine(db: Db, machine_id: int) -> GuestClaims:
    """Returns the claims; all are 0 for a machine that holds none, such as one whose compose failed."""
    rows = await db.fetch(_CLAIMS, machine_id)
    amounts = {row["resource"]: row["amount"] for row in rows if row["resource"] in {"cores", "memory_mib"}}
    return GuestClaims(
        cores=amounts.get("cores", 0),
        memory_mib=amounts.get("memory_mib", 0),
        storage_bytes={row["storage_pool_id"]: row["amount"] for row in rows if row["storage_pool_id"] is not None},
        discrete=discrete_resources_of([(row["resource"], row["key"], row["amount"]) for row in rows]),
    )
