"""Opens the end of registrations whose record is gone, and the deletion of records whose machine is gone."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.maas.bridge import registration_store
from regiond.maas.bridge.registrations import open_end, open_end_of
from regiond.maas.reconciliation import detection, store
from regiond.machines.core.view_store import read as read_machine
from regiond.racks.service import read_installation_id
from regiond.reconciler.model import Discrepancy


async def forget_record(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that ends the registration of a machine that the MAAS no longer has.

    Locks nothing before: it excludes other changes of the registration, and one that waits for it would wait for ours.
    """
    current = await _detected(db, discrepancy)
    if current is None:
        return None
    operation_id = await open_lost_end(db, current.id_of("registration"))
    return None if operation_id is None else f"{current.found}: operation {operation_id} ends the registration"


async def delete_record(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that deletes the record of a machine that is gone here."""
    current = await _current(db, discrepancy)
    if current is None:
        return None
    operation_id = await open_record_deletion(db, current.id_of("registration"))
    return None if operation_id is None else f"{current.found}: operation {operation_id} deletes it"


async def open_lost_end(db: Db, registration_id: int) -> int | None:
    """Returns the operation that ends the registration of a machine whose record MAAS no longer has.

    None if the registration has ended. The caller must not hold its lock. Raises Busy, WrongState.
    """
    found = await registration_store.of_id(db, registration_id)
    if found is None or found.machine_id is None:
        return None
    machine = await read_machine(db, found.system_id)
    return await open_end_of(db, machine, found, await read_installation_id(db), keep_record=True, is_lost=True)


async def open_record_deletion(db: Db, registration_id: int) -> int | None:
    """Returns the operation that deletes the record in MAAS; None if the registration has ended."""
    found = await registration_store.of_id(db, registration_id)
    return None if found is None else await open_end(db, found)


async def _current(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    await registration_store.lock(db, discrepancy.id_of("registration"))
    return await _detected(db, discrepancy)


async def _detected(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    found = [detection.detect(one) for one in await store.suspects(db, discrepancy.id_of("registration"))]
    return discrepancy.revalidated(found)
