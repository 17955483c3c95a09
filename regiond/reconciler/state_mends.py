"""Hosts and machines in a state that no operation ends: the state becomes true again, or an operation ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from regiond.hosts import handover
from regiond.hosts import store as host_store
from regiond.machines import life_store, store
from regiond.machines.life import TOLD, MachineState
from regiond.machines.model import MachineFilter, MachineView
from regiond.machines.requests import MAX_FAILURES, request_of
from regiond.machines.spec import known_spec
from regiond.operations import store as operation_store
from regiond.operations.model import OperationKind
from regiond.racks import store as rack_store
from regiond.reconciler import look_store, mend_store, operations, still
from regiond.reconciler.model import Difference

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def end_state(db: Db, difference: Difference) -> str | None:
    """Whatever was meant is asked for again by whoever meant it: nothing is removed that the ledger had kept."""
    if difference.key.startswith("host "):
        return await _offer_again(db, difference)
    machine_id = difference.number_of("machine")
    await mend_store.lock_machine(db, machine_id)
    if await still.of_machine(db, difference) is None or difference.system_id is None:
        return None
    found = await store.list_machines(db, MachineFilter(system_ids=(difference.system_id,)))
    return await _end(db, found[0]) if found else None


async def _offer_again(db: Db, difference: Difference) -> str | None:
    host_id = difference.number_of("host")
    await mend_store.lock_host(db, host_id)
    found = await look_store.removing_hosts(db, host_id)
    if difference.again(operations.of_host(host) for host in found) is None:
        return None
    await host_store.set_offered(db, host_id)
    return "it was being removed, and no operation did that: it is offered again, and the next look says how it is"


async def _end(db: Db, machine: MachineView) -> str:
    was = f"it was {machine.state}, and no operation acted on it"
    match machine.state:
        case MachineState.COMPOSING:
            return f"{was}: operation {await _undo_compose(db, machine)} undoes its compose"
        case MachineState.ADOPTING:
            await handover.let_go(db, machine.id)
            await store.delete(db, machine.id)
            return f"{was}: it is a machine no more, and its guest stays as it is"
        case _:
            state = await life_store.stays(db, machine.id, cancelled=True)
            return f"{was}: it is kept and {TOLD[state].name.lower()}"


async def _undo_compose(db: Db, machine: MachineView) -> int:
    """A compose that was cancelled when its host had heard of it: the guest goes, if there is one, then the claims."""
    installation_id: UUID = await rack_store.installation_id(db)
    operation_id = await operation_store.insert(
        db, OperationKind.COMPOSE, host_id=machine.host_id, host_name=machine.host_name, machine_id=machine.id,
        system_id=machine.system_id, hostname=machine.hostname,
        request=request_of(known_spec(machine, installation_id), power_on=False), max_failures=MAX_FAILURES,
    )  # fmt: skip
    await mend_store.undo_at_host(db, operation_id)
    return operation_id
