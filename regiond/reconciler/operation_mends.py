"""Operations that are opened, freed or cancelled because sweeps have seen that something is left undone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from common.values import GuestRef, Mark
from regiond.machines.opening import open_clean_up
from regiond.operations import lease_store
from regiond.operations import store as operation_store
from regiond.racks import store as rack_store
from regiond.reconciler import look_store, mend_store, operations, still
from regiond.reconciler.model import Difference

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def remove_leftover(db: Db, difference: Difference) -> str | None:
    """The same operation that a look at its host would open; one that was approved waits for a host that is away."""
    guest_id = difference.number_of("guest")
    await mend_store.lock_guest(db, guest_id)
    again = await still.of_marked_guest(db, difference)
    if again is None or again.host_id is None or again.host_name is None:
        return None
    (guest,) = await look_store.marked_guests(db, guest_id)
    installation_id: UUID = await rack_store.installation_id(db)
    mark = Mark(installation_id=installation_id, machine_id=guest.mark)
    await open_clean_up(db, again.host_id, again.host_name, GuestRef(name=again.name, mark=mark))
    return f"{again.found}: an operation removes it"


async def end_lease(db: Db, difference: Difference) -> str | None:
    """Any region may take the operation at once; the fence keeps away whoever had it."""
    operation_id = difference.number_of("operation")
    attempt, step = await mend_store.lock_operation(db, operation_id)
    again = await _still(db, difference)
    if again is None:
        return None
    await mend_store.end_lease(db, operation_id)
    await lease_store.log(db, operation_id, attempt, step, "lease ended by the reconciler", {"because": again.found})
    return f"{again.found}: its lease was ended, any region may take it"


async def cancel(db: Db, difference: Difference) -> str | None:
    """What was done is undone before the operation says `cancelled`."""
    operation_id = difference.number_of("operation")
    attempt, step = await mend_store.lock_operation(db, operation_id)
    again = await _still(db, difference)
    if again is None or not await operation_store.ask_cancel(db, operation_id):
        return None
    await lease_store.log(db, operation_id, attempt, step, "cancel asked", {"because": again.found})
    return f"{again.found}: it is being cancelled"


async def _still(db: Db, difference: Difference) -> Difference | None:
    now = await look_store.now(db)
    found = await look_store.open_operations(db, difference.number_of("operation"))
    return difference.again(operations.judge(one, now) for one in found)
