"""The operations of a machine. Each may start again from its first line: names are chosen, steps idempotent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from common.rpc.commands import (
    HOST_COMPOSE,
    HOST_DECOMPOSE,
    HOST_POWER,
    HOST_REACH,
    ComposeCall,
    DecomposeCall,
    HostCall,
    PowerCall,
)
from common.values import GuestRef, GuestSpec, PowerAction, PowerState
from common.wire import from_plain, to_plain
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.service import record_guest
from regiond.ledger import store as ledger
from regiond.machines import store
from regiond.machines.model import MachineState
from regiond.operations.model import Operation, OperationKind
from regiond.operations.work import Journal, Outcome, fence_of
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

MAX_FAILURES = 120  # with the longest pause of half a minute, an hour of trying
REACH_DEADLINE_S = 30.0
COMPOSE_DEADLINE_S = 110.0
DECOMPOSE_DEADLINE_S = 60.0
POWER_OFF_GRACE_S = 30.0
POWER_DEADLINE_S = 60.0  # beside the time that the guest is given


@frozen(kw_only=True)
class Target:
    """What an operation of a machine acts on, read from its row."""

    host_id: int
    machine_id: int
    system_id: str
    spec: GuestSpec

    @classmethod
    def of(cls, operation: Operation) -> Target:
        if operation.host_id is None or operation.machine_id is None or operation.system_id is None:
            raise ValueError(f"operation {operation.id} has lost its host or machine")
        return cls(
            host_id=operation.host_id,
            machine_id=operation.machine_id,
            system_id=operation.system_id,
            spec=from_plain(operation.request["spec"], GuestSpec),
        )

    @property
    def volumes(self) -> tuple[tuple[str, str], ...]:
        return tuple((disk.pool_id, disk.volume) for disk in self.spec.disks)


async def remove_guest(calls: HostCalls, operation: Operation, target: Target) -> None:
    """The guest and its volumes are gone afterwards, or an error says why not."""
    machine_id = str(target.spec.mark.machine_id)
    await calls.call(
        target.host_id,
        HOST_DECOMPOSE,
        lambda access: DecomposeCall(
            access=access, guest=target.spec.ref, fence=fence_of(operation, machine_id), volumes=target.volumes
        ),
        deadline_s=DECOMPOSE_DEADLINE_S,
    )


async def forget(db: Db, operation: Operation, target: Target, reason: str) -> None:
    """The machine is over: its claims end, its row goes, its tombstone says that leftovers are ours to remove."""
    await store.bury(db, target.spec.mark.machine_id, target.spec.name, operation.host_name or "", reason)
    await ledger.release_machine(db, target.machine_id)
    await store.delete(db, target.machine_id)


class ComposeMachine:
    """Follows the claim: the host is chosen and paid for, the guest may not exist yet."""

    kind = OperationKind.COMPOSE

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target = Target.of(operation)
        if not operation.reached_host:  # a host that cannot be had is found out before anything there may have begun
            await self._calls.call(
                target.host_id, HOST_REACH, lambda access: HostCall(access=access), deadline_s=REACH_DEADLINE_S
            )
        await journal.step("compose_on_host", reaches_host=True, hostname=target.spec.name)
        fence = fence_of(operation, str(target.spec.mark.machine_id))
        guest = await self._calls.call(
            target.host_id,
            HOST_COMPOSE,
            lambda access: ComposeCall(access=access, spec=target.spec, fence=fence),
            deadline_s=COMPOSE_DEADLINE_S,
        )
        power = guest.power
        if operation.request.get("power_on"):
            await journal.step("power_on", reaches_host=True)
            power = await _set_power(self._calls, operation, target, PowerAction.ON)

        async def record(db: Db) -> None:
            await record_guest(db, target.host_id, guest, target.machine_id, power)
            await store.set_power(db, target.machine_id, power.value)
            await store.set_state(db, target.machine_id, MachineState.READY)
            message = f"{target.spec.name} was composed on {operation.host_name}"
            await Events.record(
                db, "machine_composed", message, host_id=target.host_id, system_id=target.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(result={"system_id": target.system_id, "hostname": target.spec.name}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)
        undone = ["claims given back", "machine record removed"]
        if operation.reached_host:
            await journal.step("remove_half_made_guest", reaches_host=True)
            await remove_guest(self._calls, operation, target)
            undone.insert(0, "guest and volumes removed from the host")

        async def record(db: Db) -> None:
            await forget(db, operation, target, "its compose failed")
            message = f"{target.spec.name} was not composed on {operation.host_name}: {operation.error_message}"
            await Events.record(
                db, "compose_failed", message, level=Level.WARNING, host_id=target.host_id,
                system_id=target.system_id, operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=tuple(undone), record=record)


class PowerMachine:
    """Power on, off, cycle. A guest that was asked to shut down is switched off after `grace_s`."""

    kind = OperationKind.POWER

    def __init__(self, calls: HostCalls, *, grace_s: float = POWER_OFF_GRACE_S) -> None:
        self._calls = calls
        self._grace_s = grace_s

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target = Target.of(operation)
        action = PowerAction(operation.request["action"])
        await journal.step(f"power_{action.value}", reaches_host=True)
        power = await _set_power(self._calls, operation, target, action, grace_s=self._grace_s)

        async def record(db: Db) -> None:
            await store.set_power(db, target.machine_id, power.value)

        return Outcome(result={"power_state": power.value}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """A power state is not taken back: the next look at the host says what it is."""
        return Outcome()


async def _set_power(
    calls: HostCalls, operation: Operation, target: Target, action: PowerAction, *, grace_s: float = POWER_OFF_GRACE_S
) -> PowerState:
    fence = fence_of(operation, str(target.spec.mark.machine_id))
    reply = await calls.call(
        target.host_id,
        HOST_POWER,
        lambda access: PowerCall(access=access, guest=target.spec.ref, action=action, grace_s=grace_s, fence=fence),
        deadline_s=grace_s + POWER_DEADLINE_S,
    )
    return reply.power


class DeleteMachine:
    """The row goes when the guest is known to be gone, and not before."""

    kind = OperationKind.DELETE

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target = Target.of(operation)
        await journal.step("remove_guest", reaches_host=True)
        await remove_guest(self._calls, operation, target)

        async def record(db: Db) -> None:
            await forget(db, operation, target, "it was deleted")
            message = f"{target.spec.name} was deleted from {operation.host_name}"
            await Events.record(
                db, "machine_deleted", message, host_id=target.host_id, system_id=target.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(result={"system_id": target.system_id}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """What is gone stays gone; the machine is kept, and the next refresh says whether its guest is there."""
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)

        async def record(db: Db) -> None:
            await store.set_state(db, target.machine_id, MachineState.READY)
            message = f"{target.spec.name} was not deleted: {operation.error_message}"
            await Events.record(
                db, "delete_failed", message, level=Level.ERROR, host_id=target.host_id, system_id=target.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=("the machine is kept",), record=record)


class CleanUpGuest:
    """Removes a guest that carries the mark of a machine we gave up: a straggler made it after the undoing."""

    kind = OperationKind.CLEAN_UP

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        guest = from_plain(operation.request["guest"], GuestRef)
        host_id = operation.host_id
        if host_id is None:
            return Outcome(result={"because": "the host was removed"})
        await journal.step("remove_leftover", reaches_host=True, guest=guest.name)
        fence = fence_of(operation, str(guest.mark.machine_id))
        await self._calls.call(
            host_id,
            HOST_DECOMPOSE,
            lambda access: DecomposeCall(access=access, guest=guest, fence=fence),
            deadline_s=DECOMPOSE_DEADLINE_S,
        )
        return Outcome(result={"removed": guest.name})

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        return Outcome()


def request_of(spec: GuestSpec, **more: Any) -> dict[str, Any]:
    """What is stored with an operation: the spec as plain data."""
    return {"spec": to_plain(spec), **more}
