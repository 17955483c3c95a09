"""Reads the unfinished operations: by kind and state, the oldest, and the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator

from common.process.metric_families import Family, Sample
from regiond.db.pool import Db
from regiond.metrics.families import Reading

_OPERATIONS = Family(
    name="operations", text="Unfinished operations, by kind and state.", labels=("kind", "state")
)  # fmt: skip
_OLDEST = Family(
    name="operation_oldest_age_seconds", text="Age of the oldest unfinished operation, by kind.", labels=("kind",)
)
_DUE = Family(name="operations_due", text="Operations that are due and that no region has leased.")
_LEASES = Family(name="operation_leases", text="Operations that a region has leased.")

# Ended ones are left out: they stay for months, and counting them would read all of the table.
_READ_OPERATIONS = """
    select kind, state, count(*)::integer as number, extract(epoch from now() - min(created_at))::float8 as age_s
      from operation where is_open group by kind, state order by kind, state
"""
_READ_QUEUE = """
    select count(*) filter (where (lease_until is null or lease_until < now()) and not_before <= now())::integer as due,
           count(*) filter (where lease_owner is not null and lease_until > now())::integer as leased
      from operation where is_open
"""


async def _read(db: Db) -> AsyncIterator[Sample]:
    oldest: dict[str, float] = {}
    for row in await db.fetch(_READ_OPERATIONS):
        yield Sample(_OPERATIONS, row["number"], (row["kind"], row["state"]))
        oldest[row["kind"]] = max(row["age_s"], oldest.get(row["kind"], 0.0))
    for kind, age_s in oldest.items():
        yield Sample(_OLDEST, age_s, (kind,))
    for row in await db.fetch(_READ_QUEUE):
        yield Sample(_DUE, row["due"])
        yield Sample(_LEASES, row["leased"])


OPERATIONS = Reading(name="operations", families=(_OPERATIONS, _OLDEST, _DUE, _LEASES), read=_read)
