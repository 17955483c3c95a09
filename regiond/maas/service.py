"""Functions on registrations in MAAS that other rooms call. They join the caller's transaction."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.maas.bridge import registration_store
from regiond.maas.bridge.registrations import open_end, open_end_of
from regiond.machines.service import read_machine
from regiond.racks.service import read_installation_id


async def lock_registration(db: Db, registration_id: int) -> None:
    """Excludes other changes of the registration until the transaction ends."""
    await registration_store.lock(db, registration_id)


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
