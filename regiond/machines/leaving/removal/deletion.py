"""Operation handler that deletes a machine: its guest, then its row; leaves a tombstone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from common.errors import Cancelled, RackUnreachable, WrongState
from common.rpc.commands.host_commands import HOST_DECOMPOSE, HOST_FIND, DecomposeCall, GuestCall
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.ledger import store as ledger_store
from regiond.machines.core import lifecycle_store, store, view_store
from regiond.machines.core.steps import Target, record_event, wait_for_older_commands
from regiond.machines.leaving.removal import released_store
from regiond.machines.remains import kept_disk_store
from regiond.machines.remains.remaining_disk_store import read_remaining
from regiond.machines.remains.removal_fact_store import staying
from regiond.machines.running.deployment.disks import check_no_kept_disk, empty_guest
from regiond.machines.values.guest_request import StateBefore
from regiond.machines.values.removals import DeletionRequest
from regiond.machines.values.states import MachineState
from regiond.operations.handler import Journal, Outcome, fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

DECOMPOSE_DEADLINE_S = 60.0
FIND_DEADLINE_S = 20.0

OnDeleted = Callable[[Db, Operation], Awaitable[None]]


async def remove_guest(calls: HostCalls, operation: Operation, target: Target) -> None:
    """Removes the machine's guest and volumes from the host. Raises if one of them remains. Idempotent."""
    machine_id = str(target.spec.marker.machine_id)
    await calls.call(
        target.host_id,
        HOST_DECOMPOSE,
        lambda access: DecomposeCall(
            access=access,
            guest=target.spec.ref,
            fence=fence_of(operation, machine_id),
            volumes=target.volumes,
            mac_addresses=target.mac_addresses,
        ),
        deadline_s=DECOMPOSE_DEADLINE_S,
    )


async def delete_machine(db: Db, operation: Operation, target: Target, reason: str) -> None:
    """Records a tombstone, releases the machine's claims and deletes its row. Its guest must not exist."""
    await record_tombstone(db, operation, target, reason, was_composed=True)
    for disk_id in await _kept_disks(db, operation, target):
        await kept_disk_store.keep(db, target.machine_id, disk_id)
    await ledger_store.release_machine(db, target.machine_id)
    await store.delete(db, target.machine_id)


async def _kept_disks(db: Db, operation: Operation, target: Target) -> Sequence[int]:
    known = operation.request_as(DeletionRequest).kept_disks
    if known is not None:
        return known
    machine = await view_store.read(db, target.system_id)  # a region of release 1.0 opened the operation
    remaining = await read_remaining(db, [machine], target.spec.marker.installation_id)
    return [disk.id for disk in remaining[machine.id].kept]


async def record_tombstone(db: Db, operation: Operation, target: Target, reason: str, *, was_composed: bool) -> None:
    """Permits operations to remove a guest with the marker of `target` that a call of ours left or creates later.

    Of a machine that was never composed, that is any guest, with its volumes. Of one that `was_composed`, it is a guest
    with another id than the machine's: users may have restored any other.
    """
    host = (target.host_id, operation.host_name or "")
    marker, name = target.spec.marker.machine_id, target.spec.name
    await store.record_tombstone(db, marker, name, host, reason, target.volumes, was_composed=was_composed)


async def _check_deletable_now(calls: HostCalls, operation: Operation, target: Target) -> None:
    """Raises WrongState if the host refuses to delete the guest, before its disks are emptied for that."""
    reply = await calls.call(
        target.host_id,
        HOST_FIND,
        lambda access: GuestCall(access=access, guest=target.spec.ref),
        deadline_s=FIND_DEADLINE_S,
    )
    protection = "" if reply.guest is None else reply.guest.removal.protection
    if protection:
        raise WrongState(
            f"On {operation.host_name}, {target.spec.name} is not deleted, and its disks keep their content: "
            f"{protection}",
            system_id=target.system_id,
        )


class DeleteMachine:
    """Removes the guest; deletes the machine's row only when the guest is known not to exist."""

    kind = OperationKind.DELETE

    def __init__(self, calls: HostCalls, database: Database, on_deleted: OnDeleted) -> None:
        """`on_deleted` is called in the transaction that ends the operation."""
        self._calls = calls
        self._database = database
        self._on_deleted = on_deleted

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target = Target.of(operation)
        request = operation.request_as(DeletionRequest)
        stays = request.disks_that_stay or ()
        await wait_for_older_commands(self._calls, operation, target, journal)
        await check_no_kept_disk(self._calls, self._database, operation, target, "with the machine")
        if request.overwrite:  # given by a release that deletes the machine
            await _check_deletable_now(self._calls, operation, target)
            await empty_guest(self._calls, operation, target, journal, erase=True, overwrite=True)
        await journal.step("remove_guest", reaches_host=True)
        try:
            await remove_guest(self._calls, operation, target)
        except RackUnreachable:
            if not operation.reached_host:
                await journal.host_not_reached()
            raise

        async def record(db: Db) -> None:
            await released_store.record(db, target.machine_id)
            also = await staying(db, target.machine_id)
            await delete_machine(db, operation, target, "it was deleted")
            stay = dict.fromkeys((*stays, *also))  # what was adopted may be both
            named = f"; these disks stay there: {', '.join(stay)}" if stay else ""
            message = f"{target.spec.name} was deleted from {operation.host_name}{named}"
            await record_event(db, operation, "machine_deleted", message)
            await self._on_deleted(db, operation)

        result = {"system_id": target.system_id, **({"disks_that_stay": [*stays]} if stays else {})}
        return Outcome(result=result, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """The machine remains, in the state before. The next refresh records whether its guest still exists."""
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)

        async def record(db: Db) -> None:
            cancelled = operation.error_code == Cancelled.code
            was = operation.request_as(StateBefore).was
            before = None if was is None else MachineState(was)
            await lifecycle_store.end_removal(db, target.machine_id, cancelled=cancelled, was=before)
            message = f"{target.spec.name} was not deleted: {operation.error_message}"
            await record_event(db, operation, "delete_failed", message, level=Level.ERROR)

        return Outcome(undone=("machine not deleted",), record=record)
