"""Reads what the database counts: VMs, discrepancies, what needs attention, the audit trail."""

from __future__ import annotations

from collections.abc import AsyncIterator

from common.process.metric_families import Family, Sample
from regiond.attention.model import AttentionKind, AttentionLimits
from regiond.attention.store import count as count_conditions
from regiond.db.pool import Db
from regiond.metrics.families import Reading
from regiond.reconciler.model import DiscrepancyKind

_MACHINES = Family(name="machines", text="VMs, by state.", labels=("state",))
_DISCREPANCIES = Family(
    name="discrepancies",
    text="Open discrepancies between the ledger and the hosts that the last check found, by kind.",
    labels=("kind",),
)
_ATTENTION = Family(
    name="attention_items",
    text="What needs attention, by kind, except quotas and the certificate of the API.",
    labels=("kind",),
)
_AUDIT = Family(name="audit_entries", text="Entries of the audit trail that are stored.")
_UNSENT = Family(
    name="audit_export_unsent_entries",
    text="Entries of the audit trail that audit_export has not sent yet; absent without that setting.",
)
_BACKUP = Family(
    name="last_backup_timestamp_seconds",
    text="Time whose data the last complete backup of the region has, by the command region backup; absent: none.",
)
_IN_MEMORY = frozenset({AttentionKind.QUOTA_FULL})

_READ_MACHINES = "select state, count(*)::integer as number from machine group by state"
_READ_DISCREPANCIES = (
    "select kind, count(*)::integer as number from discrepancy where resolved_at is null group by kind"
)
_READ_BACKUP = "select saved_at from region_backup"
_READ_AUDIT = "select head_id - pruned_id from audit_chain"  # entries have consecutive ids; counting them takes long


# Of former destinations no region holds the lease, which is renewed also while a destination fails.
_READ_UNSENT = """
    select max(head_id - greatest(sent_id, pruned_id)) from audit_chain, audit_export
     where lease_until > now() - interval '15 minutes'
"""


async def _machines(db: Db) -> AsyncIterator[Sample]:
    for row in await db.fetch(_READ_MACHINES):
        yield Sample(_MACHINES, row["number"], (row["state"],))


async def _discrepancies(db: Db) -> AsyncIterator[Sample]:
    found = {row["kind"]: row["number"] for row in await db.fetch(_READ_DISCREPANCIES)}
    for kind in DiscrepancyKind:
        yield Sample(_DISCREPANCIES, found.get(kind.value, 0), (kind.value,))


async def _audit(db: Db) -> AsyncIterator[Sample]:
    yield Sample(_AUDIT, await db.fetchval(_READ_AUDIT))


async def _backup(db: Db) -> AsyncIterator[Sample]:
    saved_at = await db.fetchval(_READ_BACKUP)
    if saved_at is not None:
        yield Sample(_BACKUP, saved_at.timestamp())


async def _audit_export(db: Db) -> AsyncIterator[Sample]:
    unsent = await db.fetchval(_READ_UNSENT)
    if unsent is not None:
        yield Sample(_UNSENT, unsent)


def attention(limits: AttentionLimits) -> Reading:
    async def read(db: Db) -> AsyncIterator[Sample]:
        found = await count_conditions(db, limits)
        for kind in AttentionKind:
            if kind not in _IN_MEMORY:
                number, _ = found.get(kind, (0, 0))
                yield Sample(_ATTENTION, number, (kind.value,))

    return Reading(name="attention", families=(_ATTENTION,), read=read, every_s=30.0)


MACHINES = Reading(name="machines", families=(_MACHINES,), read=_machines)
DISCREPANCIES = Reading(name="discrepancies", families=(_DISCREPANCIES,), read=_discrepancies)
BACKUP = Reading(name="backup", families=(_BACKUP,), read=_backup, every_s=60.0)
AUDIT = Reading(name="audit", families=(_AUDIT,), read=_audit, every_s=60.0)
AUDIT_EXPORT = Reading(name="audit_export", families=(_UNSENT,), read=_audit_export)
