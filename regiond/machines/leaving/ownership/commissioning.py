"""Commissioning of machines, which is a refresh of their VM host, for machines that are New or Failed."""

from __future__ import annotations

from common.errors import WrongState
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.hosts import operation_intents
from regiond.hosts.views import view_store as host_view_store
from regiond.machines.core import lifecycle_store
from regiond.machines.core.affinity import store as affinity_store
from regiond.machines.devices import store as device_store
from regiond.machines.leaving.ownership.ending import take_back_links
from regiond.machines.values.lifecycle import fixed_event, protection_text
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MAAS_STATUS, MachineState
from regiond.requests.caller import Caller

_COMMISSIONABLE = (MachineState.NEW, MachineState.READY, MachineState.FAILED)


async def begin_commission(db: Db, caller: Caller, machine: MachineView, comment: str) -> int:
    """Returns the id of the refresh of the machine's host, in the caller's transaction.

    A failed machine becomes Ready, without owner. If its host does not list its guest, it becomes New, and the refresh
    makes it Ready. Raises WrongState.
    """
    host_id = check_commissionable(machine)
    host = await host_view_store.read_host(db, host_id)
    operation_id = await operation_intents.open_refresh(db, caller, host)
    if machine.state is MachineState.FAILED:
        if machine.locked:
            raise WrongState(protection_text(machine.hostname, machine.system_id), system_id=machine.system_id)
        await _check_at_rest(db, machine)
        await take_back_links(db, caller, machine)
        await device_store.delete_of(db, machine.id)
        event = fixed_event(owned=False, listed=machine.guest_id is not None)
        await lifecycle_store.apply_event(db, machine.id, event)
        await lifecycle_store.clear_owner(db, machine.id, emptied=False)
        await affinity_store.end_allocation(db, machine.id)
    message = f"{machine.hostname} is commissioned: {host.name} is refreshed" + (f": {comment}" if comment else "")
    await Events.record(
        db, "machine_commissioned", message, caller=caller, host_id=host_id, system_id=machine.system_id,
        operation_id=operation_id,
    )  # fmt: skip
    return operation_id


async def _check_at_rest(db: Db, machine: MachineView) -> None:
    """Locks the machine. Raises WrongState if its guest may run, which would continue for the next owner."""
    await lifecycle_store.lock_one(db, machine.id)
    if machine.guest_id is not None and not await lifecycle_store.is_at_rest(db, machine.id):
        raise WrongState(
            f"{machine.hostname} may still run: it is on, an operation acts on it or its VM host is not ready. Release "
            f"it again (innkeeper machine release {machine.system_id}).",
            system_id=machine.system_id,
        )


def check_commissionable(machine: MachineView) -> int:
    """Returns the id of the machine's host. Raises WrongState, with a remedy."""
    name, system_id = machine.hostname, machine.system_id
    if machine.state is MachineState.FAILED_COMPOSE:
        raise WrongState(
            f"{name} has no virtual machine to commission. Delete it: innkeeper machine delete {system_id}"
        )
    if machine.state not in _COMMISSIONABLE:
        raise WrongState(
            f"{name} is {MAAS_STATUS[machine.state].name}: only machines that are New, Ready or Failed commissioning "
            "are commissioned.",
            state=machine.state.value,
        )
    if machine.osystem:
        raise WrongState(
            f"{name} still has its operating system. Delete it (innkeeper machine delete {system_id}), or mark it "
            f"fixed and release it (innkeeper machine mark-fixed {system_id})."
        )
    if machine.host_id is None:
        raise WrongState(f"{name} is on no host.")
    return machine.host_id
