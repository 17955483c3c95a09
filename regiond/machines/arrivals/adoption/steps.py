"""Operation handlers that adopt guests and forget machines; each can restart at any line."""

from __future__ import annotations

from attrs import frozen

from common.errors import NameTaken, NotFound, Unsupported
from common.rpc.commands.host_commands import HOST_ADOPT, HOST_DISOWN, MarkerCall
from common.values import Guest, HostAccess, OwnershipMarker
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.hosts import guest_ownership
from regiond.machines.arrivals.adoption import imported_store, store
from regiond.machines.core import lifecycle_store
from regiond.machines.core import store as machine_store
from regiond.machines.core.steps import record_event
from regiond.machines.devices.mac_conflicts import take_mac_addresses
from regiond.machines.values.adoption import AdoptionRequest, ForgetRequest, GuestToForget
from regiond.machines.values.guest_request import GuestRequest
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.states import MachineState
from regiond.operations.handler import Journal, Outcome, fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

MARKER_DEADLINE_S = 60.0


@frozen(kw_only=True)
class _MarkerChange:
    """The guest that gets or loses a marker, read from the operation's row."""

    operation: Operation
    host_id: int
    machine_id: int
    guest_key: str
    guest_name: str
    marker: OwnershipMarker

    @classmethod
    def of(cls, operation: Operation, guest: GuestToForget, marker: OwnershipMarker) -> _MarkerChange:
        if operation.host_id is None or operation.machine_id is None:
            raise ValueError(f"operation {operation.id} has lost its host or machine")
        return cls(
            operation=operation,
            host_id=operation.host_id,
            machine_id=operation.machine_id,
            guest_key=guest.key,
            guest_name=guest.name,
            marker=marker,
        )

    async def write(self, calls: HostCalls) -> Guest:
        """Returns the guest with the marker."""
        return await calls.call(self.host_id, HOST_ADOPT, self._call, deadline_s=MARKER_DEADLINE_S)

    async def remove(self, calls: HostCalls) -> None:
        await calls.call(self.host_id, HOST_DISOWN, self._call, deadline_s=MARKER_DEADLINE_S)

    def _call(self, access: HostAccess) -> MarkerCall:
        return MarkerCall(
            access=access,
            guest_id=self.guest_key,
            guest_name=self.guest_name,
            marker=self.marker,
            fence=fence_of(self.operation, str(self.marker.machine_id)),
        )


class AdoptGuest:
    """Writes our marker onto the guest. The machine's row exists; the guest's row holds the claims until the end."""

    kind = OperationKind.ADOPT

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        request = operation.request_as(AdoptionRequest)
        change = _MarkerChange.of(operation, request.guest, request.marker)
        await journal.step("write_marker", reaches_host=True, guest=change.guest_name)
        guest = await change.write(self._calls)

        async def record(db: Db) -> None:
            await guest_ownership.attach_guest(db, change.host_id, guest, change.machine_id)
            macs = [nic.mac_address.lower() for nic in guest.nics if nic.mac_address]
            await take_mac_addresses(db, macs, hostname=operation.hostname or guest.name)
            await store.complete(db, change.machine_id, guest)
            if request.becomes is not None:  # another controller made it
                await imported_store.adopt_disks(db, change.machine_id)
            await machine_store.set_power(db, change.machine_id, guest.power, operation)
            for event in _events(request.becomes or MachineState.DEPLOYED, owned=bool(request.owned)):
                await lifecycle_store.apply_event(db, change.machine_id, event)
            if request.locked:
                await lifecycle_store.set_locked(db, change.machine_id, locked=True)
            owner = await store.owner_of(db, change.machine_id)
            message = f"{guest.name} on {operation.host_name} was adopted as {operation.hostname}"
            message += f" and belongs to {owner}" if owner else " and has no owner"
            await record_event(db, operation, "machine_adopted", message)

        return Outcome(result={"system_id": operation.system_id, "hostname": operation.hostname}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Removes the machine's row, and the marker unless the guest had it before."""
        if operation.machine_id is None:
            return Outcome()
        request = operation.request_as(AdoptionRequest)
        change = _MarkerChange.of(operation, request.guest, request.marker)
        undone = ["machine record removed"]
        if operation.reached_host and not request.had_marker:
            await journal.step("remove_marker", reaches_host=True, guest=change.guest_name)
            try:
                await change.remove(self._calls)
            except Unsupported as error:  # a driver that cannot remove markers wrote none
                await journal.note("no marker was written", reason=error.message)
            undone.insert(0, "marker removed from the guest")

        async def record(db: Db) -> None:
            await machine_store.delete(db, change.machine_id)
            message = f"{change.guest_name} on {operation.host_name} was not adopted: {operation.error_message}"
            await record_event(db, operation, "adopt_failed", message, level=Level.WARNING)

        return Outcome(undone=tuple(undone), record=record)


def _events(state: MachineState, *, owned: bool) -> tuple[MachineEvent, ...]:
    """Returns the events that lead an adopted machine to the state in which another controller had it."""
    if state is MachineState.DEPLOYED:
        return (MachineEvent.ADOPTED,)
    first = MachineEvent.ADOPTED_ALLOCATED if owned else MachineEvent.ADOPTED_READY
    return (first, MachineEvent.MARK_BROKEN) if state is MachineState.BROKEN else (first,)


class ForgetMachine:
    """Removes the marker, then the machine's row. The guest is foreign afterwards and holds its own claims."""

    kind = OperationKind.FORGET

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        change = _change_of(operation)
        await journal.step("remove_marker", reaches_host=True, guest=change.guest_name)
        await change.remove(self._calls)

        async def record(db: Db) -> None:
            await guest_ownership.detach_guest(db, change.machine_id, marked=False)
            await machine_store.delete(db, change.machine_id)
            remains = f"{change.guest_name} remains on {operation.host_name}"
            guest = remains if change.guest_key else f"{operation.host_name} did not list its guest"
            message = f"{operation.hostname} was removed from Innkeeper; {guest}"
            await record_event(db, operation, "detached_machine", message)

        return Outcome(result={"guest": change.guest_name}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """The machine remains, and its guest gets the marker back if it still exists."""
        if operation.machine_id is None:
            return Outcome()
        change = _change_of(operation)
        undone = ["machine not removed"]
        if operation.reached_host:
            await journal.step("restore_marker", reaches_host=True, guest=change.guest_name)
            try:
                await change.write(self._calls)
                undone.insert(0, "marker written to the guest again")
            # The guest was deleted or has another marker, or our marker was never removed.
            except (NotFound, NameTaken, Unsupported) as error:
                await journal.note("the marker was not restored", reason=error.message)

        async def record(db: Db) -> None:
            message = f"{operation.hostname} could not be forgotten: {operation.error_message}"
            await record_event(db, operation, "forget_failed", message, level=Level.WARNING)

        return Outcome(undone=tuple(undone), record=record)


def _change_of(operation: Operation) -> _MarkerChange:
    guest = operation.request_as(ForgetRequest).guest
    return _MarkerChange.of(operation, guest, operation.request_as(GuestRequest).spec.marker)
