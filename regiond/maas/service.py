"""Functions on registrations in MAAS that other rooms call. They join the caller's transaction."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.maas.bridge import registration_store
from regiond.maas.bridge.registrations import open_end


async def lock_registration(db: Db, registration_id: int) -> None:
    """Excludes other changes of the registration until the transaction ends."""
    await registration_store.lock(db, registration_id)


async def end_registration(db: Db, registration_id: int) -> None:
    """Forgets the record in MAAS, and changes nothing there. Idempotent."""
    await registration_store.delete(db, registration_id)


async def open_record_deletion(db: Db, registration_id: int) -> int | None:
    """Returns the operation that deletes the record in MAAS; None if the registration has ended."""
    found = await registration_store.of_id(db, registration_id)
    return None if found is None else await open_end(db, found)
