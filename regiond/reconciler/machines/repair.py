"""Removes missing machines, and ends transient states that no operation ends."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.hosts import guest_ownership
from regiond.machines.arrivals.adoption import intents
from regiond.machines.core import lifecycle_store, operation_intents
from regiond.machines.core import store as machine_store
from regiond.machines.core import view_store as machine_view_store
from regiond.machines.running.deployment import outcome
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MAAS_STATUS, MachineState
from regiond.racks.service import read_installation_id
from regiond.reconciler import locks
from regiond.reconciler.machines import detection, store
from regiond.reconciler.model import Discrepancy
from regiond.reconciler.operations.store import set_undo


async def drop_missing(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that forgets the machine. If its guest exists after all, it stays, without our marker."""
    machine_id = discrepancy.id_of("machine")
    await locks.lock_machine(db, machine_id)
    current = await revalidate_machine(db, discrepancy)
    if current is None or current.system_id is None:
        return None
    machine = await machine_view_store.read(db, current.system_id)
    operation_intents.check_settled(machine)
    operation_id = await intents.open_forget(db, machine, await read_installation_id(db), account_id=None)
    return f"{current.found}: operation {operation_id} deletes the machine from the ledger"


async def end_state(db: Db, discrepancy: Discrepancy) -> str | None:
    """Ends the state composing, adopting, releasing or deleting. Only undoing a compose removes a guest (operation)."""
    machine_id = discrepancy.id_of("machine")
    await locks.lock_machine(db, machine_id)
    if await revalidate_machine(db, discrepancy) is None or discrepancy.system_id is None:
        return None
    return await _end(db, await machine_view_store.read(db, discrepancy.system_id))


async def _end(db: Db, machine: MachineView) -> str:
    before = f"it was {machine.state}, and no operation acted on it"
    match machine.state:
        case MachineState.COMPOSING:
            return f"{before}: operation {await _undo_compose(db, machine)} undoes the compose"
        case MachineState.ADOPTING:
            await guest_ownership.detach_guest(db, machine.id)
            await machine_store.delete(db, machine.id)
            return f"{before}: the machine was removed, and its guest is foreign again"
        case MachineState.DEPLOYING:
            await outcome.fail_deployment(db, machine.id)
            return f"{before}: its deployment is marked as failed"
        case _:
            state = await lifecycle_store.end_removal(db, machine.id, cancelled=True)
            return f"{before}: it is {MAAS_STATUS[state].name.lower()} again"


async def _undo_compose(db: Db, machine: MachineView) -> int:
    """Opens a compose that is already cancelled, so that it only undoes: it deletes the guest, then the claims."""
    operation_id = await operation_intents.open_compose_undo(db, machine, await read_installation_id(db))
    await set_undo(db, operation_id)
    return operation_id


async def revalidate_machine(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    """Returns `Discrepancy.revalidated`, for a discrepancy whose key names a machine. Its locks are held."""
    machines = await store.suspect_machines(db, discrepancy.id_of("machine"))
    return discrepancy.revalidated(one for machine in machines for one in detection.detect(machine))
