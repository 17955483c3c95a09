"""Detects a discrepancy again under the locks of its repair."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.reconciler.guests import detection as guest_detection
from regiond.reconciler.guests import store as guest_store
from regiond.reconciler.machines import detection as machine_detection
from regiond.reconciler.machines import store as machine_store
from regiond.reconciler.model import Discrepancy


async def revalidate_marked_guest(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    """As `Discrepancy.revalidated`, for a discrepancy whose key names a marked guest."""
    guests = await guest_store.marked_guests(db, discrepancy.id_of("guest"))
    return discrepancy.revalidated(guest_detection.detect(guest) for guest in guests)


async def revalidate_machine(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    """As `Discrepancy.revalidated`, for a discrepancy whose key names a machine."""
    machines = await machine_store.suspect_machines(db, discrepancy.id_of("machine"))
    return discrepancy.revalidated(one for machine in machines for one in machine_detection.detect(machine))
