"""Opens the deletion of a machine, joins the open one, or at once deletes a machine that is on no host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from common.errors import Busy, WrongState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store, store, view_store
from regiond.machines.values.guest_request import StateBefore
from regiond.machines.values.lifecycle import protection_text
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.operations import intent_store
from regiond.operations import store as operation_store
from regiond.operations.model import OperationState, stored_request
from regiond.requests.caller import Caller

TieKey = Callable[["Db", int], Awaitable[None]]  # stores the idempotency key of the request, if any, for an operation


async def open_or_join_deletion(
    database: Database,
    caller: Caller,
    machine: MachineView,
    tie_key: TieKey,
    open_one: Callable[[], Awaitable[int]],
) -> int:
    """Returns the id of the operation that deletes the machine: the open one, or the one that `open_one` opens.

    A machine whose compose failed is deleted here. Raises what `open_one` raises, NotFound if the machine was deleted.
    """
    if machine.state is MachineState.FAILED_COMPOSE:
        return await _delete_uncomposed(database, caller, machine.system_id, tie_key)
    joined = await _join(database, machine, tie_key)
    if joined is not None:
        return joined
    try:
        return await open_one()
    except Busy:  # another request may have come first
        joined = await _join(database, machine, tie_key)
        if joined is not None:
            return joined
        async with database.connection() as db:
            await view_store.read(db, machine.system_id)
        raise


async def _join(database: Database, machine: MachineView, tie_key: TieKey) -> int | None:
    async with database.transaction() as db:
        active = await operation_store.active(db, OperationKind.DELETE, machine_id=machine.id)
        if active is None or active.kind is not OperationKind.DELETE:
            return None
        if active.cancel_requested or active.state is OperationState.UNDOING:
            return None
        await tie_key(db, active.id)
        return active.id


async def _delete_uncomposed(database: Database, caller: Caller, system_id: str, tie_key: TieKey) -> int:
    """Deletes a machine without guest and claims; returns the id of the operation, which has ended already."""
    async with database.transaction() as db:
        await lifecycle_store.lock(db, [system_id])
        machine = await view_store.read(db, system_id)
        if machine.locked:
            raise WrongState(protection_text(machine.hostname, system_id), system_id=system_id)
        operation_id = await intent_store.insert_succeeded(
            db, OperationKind.DELETE, host_id=machine.failed_host_id, host_name=machine.host_name,
            machine_id=machine.id, system_id=system_id, hostname=machine.hostname, account_id=caller.account_id,
            request=stored_request(StateBefore(was=machine.state.value)), result={"system_id": system_id},
        )  # fmt: skip
        await tie_key(db, operation_id)
        await store.delete(db, machine.id)
        await Events.record(
            db, "machine_deleted", f"{machine.hostname}, whose compose had failed, was deleted", caller=caller,
            host_id=machine.failed_host_id, system_id=system_id, operation_id=operation_id,
        )  # fmt: skip
        return operation_id
