"""Opens the end of registrations whose record is gone, and the deletion of records whose machine is gone."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.maas import service as maas_service
from regiond.maas.reconciliation import detection, store
from regiond.reconciler.model import Discrepancy


async def forget_record(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that ends the registration of a machine that the MAAS no longer has.

    Locks nothing before: it excludes other changes of the registration, and one that waits for it would wait for ours.
    """
    current = await _detected(db, discrepancy)
    if current is None:
        return None
    operation_id = await maas_service.open_lost_end(db, current.id_of("registration"))
    return None if operation_id is None else f"{current.found}: operation {operation_id} ends the registration"


async def delete_record(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that deletes the record of a machine that is gone here."""
    current = await _current(db, discrepancy)
    if current is None:
        return None
    operation_id = await maas_service.open_record_deletion(db, current.id_of("registration"))
    return None if operation_id is None else f"{current.found}: operation {operation_id} deletes it"


async def _current(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    await maas_service.lock_registration(db, discrepancy.id_of("registration"))
    return await _detected(db, discrepancy)


async def _detected(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    found = [detection.detect(one) for one in await store.suspects(db, discrepancy.id_of("registration"))]
    return discrepancy.revalidated(found)
