"""Ends registrations whose record is gone, and opens the deletion of records whose machine is gone."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.maas import service as maas_service
from regiond.reconciler.maas import detection, store
from regiond.reconciler.model import Discrepancy


async def forget_record(db: Db, discrepancy: Discrepancy) -> str | None:
    """Ends the registration of a machine that the MAAS no longer has."""
    current = await _current(db, discrepancy)
    if current is None:
        return None
    await maas_service.end_registration(db, current.id_of("registration"))
    return f"{current.found}: the registration was ended"


async def delete_record(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that deletes the record of a machine that is gone here."""
    current = await _current(db, discrepancy)
    if current is None:
        return None
    operation_id = await maas_service.open_record_deletion(db, current.id_of("registration"))
    return None if operation_id is None else f"{current.found}: operation {operation_id} deletes it"


async def _current(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    registration_id = discrepancy.id_of("registration")
    await maas_service.lock_registration(db, registration_id)
    found = [detection.detect(one) for one in await store.suspects(db, registration_id)]
    return discrepancy.revalidated(found)
