"""Confirms whose a machine is, after the database was restored."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.machines.core import use_evidence
from regiond.reconciler import locks
from regiond.reconciler.model import Discrepancy
from regiond.reconciler.uses import detection, store


async def confirm(db: Db, discrepancy: Discrepancy) -> str | None:
    """Ends the doubt, as the host has shown or an administrator has approved."""
    machine_id = discrepancy.id_of("machine")
    await locks.lock_machine(db, machine_id)
    current = discrepancy.revalidated(detection.detect(one) for one in await store.unproven_machines(db, machine_id))
    if current is None or not await use_evidence.confirm_use(db, machine_id):
        return None
    return f"{current.found}: {current.remedy}"
