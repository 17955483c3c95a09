"""Records the disks of a guest as the disks of its machine."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.machines.remains.foreign_disks.store import record_disks as record_in_ledger
from regiond.reconciler import locks
from regiond.reconciler.disks import store
from regiond.reconciler.disks.detection import detect
from regiond.reconciler.model import Discrepancy


async def record_disks(db: Db, discrepancy: Discrepancy) -> str | None:
    """Records the disks of the guest as those of its machine. The claims in the ledger follow the guest already."""
    machine_id = discrepancy.id_of("machine")
    await locks.lock_machine(db, machine_id)
    machines = await store.suspect_machines(db, machine_id)
    current = discrepancy.revalidated(one for machine in machines for one in detect(machine))
    if current is None:
        return None
    for machine in machines:
        await record_in_ledger(db, machine.disks)
    return f"{current.found}: recorded as its disks"
