"""Operation handler that releases a machine."""

from __future__ import annotations

from common.errors import NotFound
from common.rpc.commands.host_commands import PowerReply
from common.values import PowerAction
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.hosts import guest_ownership
from regiond.hosts.model import MACHINE_MISSING, MACHINE_MISSING_TEXT
from regiond.machines.core import lifecycle_store, store
from regiond.machines.core.nics.reservations import set_addresses, with_nics_of_ledger
from regiond.machines.core.nics.restoration import ADDRESSES_NOT_RESTORED, not_restored_text, restore_links
from regiond.machines.core.steps import (
    POWER_OFF_GRACE_S,
    Target,
    power_off,
    record_event,
    set_power,
    wait_for_older_commands,
)
from regiond.machines.leaving.ownership.ending import end_ownership
from regiond.machines.running.deployment import store as deployment_store
from regiond.machines.running.deployment.disks import check_no_kept_disk, empty_disks, guest_was_found
from regiond.machines.values.guest_request import StateBefore
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.removals import ReleaseRequest
from regiond.machines.values.states import MachineState
from regiond.networks.ipam import link_store
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls


class ReleaseMachine:
    """Powers off the machine's guest, removes its operating system and its devices, then clears owner and owner data.

    The guest remains. An operating system that a user installed by hand remains too, unless the request erases the
    disks. A deployed guest has `grace_s` to shut down by itself.
    """

    kind = OperationKind.RELEASE

    def __init__(self, calls: HostCalls, database: Database, *, grace_s: float = POWER_OFF_GRACE_S) -> None:
        self._calls = calls
        self._database = database
        self._grace_s = grace_s

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request_as(ReleaseRequest)
        try:
            power = await self._change_host(operation, target, journal)
        except NotFound as error:
            await journal.note("guest not found", reason=error.message)
            power = None

        async def record(db: Db) -> None:
            if power is None:  # before the machine's row is locked: the server's lock comes first
                await guest_ownership.delete_guest(db, target.machine_id)
            await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.RELEASED)
            await _restore_links(db, operation, target)
            if power is not None:
                await link_store.end_reservation(db, target.machine_id)
            await end_ownership(db, target.machine_id, emptied=request.empties)
            if request.deployed:
                await deployment_store.delete(db, target.machine_id)
                await lifecycle_store.set_error_description(db, target.machine_id, "")
            if power is not None:
                await store.set_power(
                    db, target.machine_id, power.power, operation
                )  # off: it starts with no other size
            await _restore_state(db, operation, target, missing=power is None)

        return Outcome(result={"system_id": target.system_id}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Leaves the machine to its owner, powered on or off."""
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)

        async def record(db: Db) -> None:
            await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.RELEASE_FAILED)
            if operation.request_as(StateBefore).was == MachineState.BROKEN:
                await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.MARK_BROKEN)
            message = f"{target.spec.name} was not released: {operation.error_message}"
            await record_event(db, operation, "release_failed", message, level=Level.ERROR)

        return Outcome(undone=("machine not released",), record=record)

    async def _change_host(self, operation: Operation, target: Target, journal: Journal) -> PowerReply:
        """Returns the guest's power state afterwards. Raises NotFound if the host has no such guest.

        Powers the guest off before it restores the links of its NICs: until then it uses the addresses of its owner.
        """
        request = operation.request_as(ReleaseRequest)
        await wait_for_older_commands(self._calls, operation, target, journal)
        if request.erase:
            await check_no_kept_disk(self._calls, self._database, operation, target, "with the other disks")
        if request.shuts_down:
            await journal.step("shut_down", reaches_host=True)
            power = await set_power(self._calls, operation, target, PowerAction.OFF, grace_s=self._grace_s)
        else:
            power = await power_off(self._calls, operation, target, journal)
        target, differs = await self._with_restored_links(operation, target, journal)
        with guest_was_found():
            if request.empties:
                await empty_disks(
                    self._calls, operation, target, journal, erase=request.erase, overwrite=request.overwrite
                )
            elif differs:
                await set_addresses(self._calls, operation, target, journal)
        return power

    async def _with_restored_links(self, operation: Operation, target: Target, journal: Journal) -> tuple[Target, bool]:
        """Restores the links that the NICs had before the owner changed them.

        Returns the target with these links, and whether the host may reserve other addresses than theirs.
        """
        found: list[tuple[Target, bool]] = []

        async def restore(db: Db) -> None:
            await _restore_links(db, operation, target)
            differs = await link_store.reservations_differ(db, target.machine_id)
            found.append((await with_nics_of_ledger(db, target), differs))

        await journal.write("restore_links", restore)
        return found[-1]


async def _restore_links(db: Db, operation: Operation, target: Target) -> None:
    lost = await restore_links(db, target.machine_id)
    if lost:
        message = not_restored_text(target.spec.name, lost)
        await record_event(db, operation, ADDRESSES_NOT_RESTORED, message, level=Level.WARNING)


async def _restore_state(db: Db, operation: Operation, target: Target, *, missing: bool) -> None:
    """Makes a released machine broken if it was before, otherwise missing if its guest is."""
    was = operation.request_as(StateBefore).was
    if was == MachineState.BROKEN:
        await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.MARK_BROKEN)
    elif missing:
        await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.LOST)
        if was != MachineState.MISSING:
            text = MACHINE_MISSING_TEXT.format(host=operation.host_name)
            await record_event(db, operation, MACHINE_MISSING, f"{operation.hostname}: {text}", level=Level.WARNING)
