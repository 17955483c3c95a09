"""The operations of a machine. Each may start again from its first line: names are chosen, steps idempotent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from common.discovery import VolumeRef
from common.errors import Cancelled
from common.rpc.commands import (
    HOST_DECOMPOSE,
    HOST_DISOWN,
    HOST_POWER,
    HOST_REMOVE_VOLUMES,
    DecomposeCall,
    MarkCall,
    PowerCall,
    RemoveVolumesCall,
)
from common.values import GuestRef, GuestSpec, Mark, NicKind, PowerAction, PowerState
from common.wire import from_plain
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import handover, unused_store
from regiond.ledger import store as ledger
from regiond.machines import life_store, store, tombstones
from regiond.operations.model import Operation, OperationKind
from regiond.operations.work import Journal, Outcome, fence_of
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

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

    @property
    def mac_addresses(self) -> tuple[str, ...]:
        """Of the cards for which a hypervisor may keep addresses."""
        return tuple(nic.mac_address for nic in self.spec.nics if nic.kind is NicKind.NETWORK)


async def remove_guest(calls: HostCalls, operation: Operation, target: Target) -> None:
    """The guest and its volumes are gone afterwards, or an error says why not."""
    machine_id = str(target.spec.mark.machine_id)
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


async def forget(db: Db, operation: Operation, target: Target, reason: str) -> None:
    """The machine is over: its claims end, its row goes, its tombstone says that leftovers are ours to remove."""
    await bury(db, operation, target, reason)
    await ledger.release_machine(db, target.machine_id)
    await store.delete(db, target.machine_id)


async def bury(db: Db, operation: Operation, target: Target, reason: str) -> None:
    """What the host still has with the mark of `target` is ours to remove."""
    host = (target.host_id, operation.host_name or "")
    await tombstones.bury(db, target.spec.mark.machine_id, target.spec.name, host, reason, target.volumes)


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
        power = await set_power(self._calls, operation, target, action, grace_s=self._grace_s)

        async def record(db: Db) -> None:
            await store.set_power(db, target.machine_id, power.value)

        return Outcome(result={"power_state": power.value}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """A power state is not taken back: the next look at the host says what it is."""
        return Outcome()


async def set_power(
    calls: HostCalls, operation: Operation, target: Target, action: PowerAction, *, grace_s: float = POWER_OFF_GRACE_S
) -> PowerState:
    """What the guest's power is afterwards. Raises NotFound when the host has no such guest."""
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
            await life_store.stays(db, target.machine_id, cancelled=operation.error_code == Cancelled.code)
            message = f"{target.spec.name} was not deleted: {operation.error_message}"
            await Events.record(
                db, "delete_failed", message, level=Level.ERROR, host_id=target.host_id, system_id=target.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=("the machine is kept",), record=record)


class CleanUpGuest:
    """Removes a guest that carries the mark of a machine we gave up: a straggler made it after the undoing. Or volumes
    that no guest has, and then no guest; or the mark of a copy, and nothing else."""

    kind = OperationKind.CLEAN_UP

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        host_id = operation.host_id
        if host_id is None:
            return Outcome(result={"because": "the host was removed"})
        if "copy" in operation.request:
            return await self._unmark(operation, host_id, journal)
        if "unused" in operation.request:
            return await self._remove_volumes(operation, host_id, journal)
        guest = from_plain(operation.request["guest"], GuestRef)
        volumes = tuple((pool_id, volume) for pool_id, volume in operation.request.get("volumes", ()))
        await journal.step("remove_leftover", reaches_host=True, guest=guest.name)
        fence = fence_of(operation, str(guest.mark.machine_id))
        await self._calls.call(
            host_id,
            HOST_DECOMPOSE,
            lambda access: DecomposeCall(access=access, guest=guest, fence=fence, volumes=volumes),
            deadline_s=DECOMPOSE_DEADLINE_S,
        )
        return Outcome(result={"removed": guest.name})

    async def _unmark(self, operation: Operation, host_id: int, journal: Journal) -> Outcome:
        copy = operation.request["copy"]
        mark, name = from_plain(copy["mark"], Mark), copy["name"]
        await journal.step("take_mark_off_copy", reaches_host=True, guest=name)
        fence = fence_of(operation, str(mark.machine_id))
        await self._calls.call(
            host_id,
            HOST_DISOWN,
            lambda access: MarkCall(
                access=access, guest_id=copy["key"], guest_name=name, mark=mark, fence=fence, exactly=True
            ),
            deadline_s=DECOMPOSE_DEADLINE_S,
        )

        async def record(db: Db) -> None:
            await handover.unmarked(db, copy["id"])
            message = f"{name} on {operation.host_name} carries our mark no more: it was a copy of a machine's guest"
            await Events.record(db, "copy_unmarked", message, host_id=host_id, operation_id=operation.id)

        return Outcome(result={"guest": name}, record=record)

    async def _remove_volumes(self, operation: Operation, host_id: int, journal: Journal) -> Outcome:
        mark = from_plain(operation.request["mark"], Mark)
        volumes = tuple(from_plain(one, VolumeRef) for one in operation.request["unused"])
        names = [volume.name for volume in volumes]
        await journal.step("remove_unused_volumes", reaches_host=True, volumes=names)
        fence = fence_of(operation, str(mark.machine_id))
        await self._calls.call(
            host_id,
            HOST_REMOVE_VOLUMES,
            lambda access: RemoveVolumesCall(access=access, mark=mark, volumes=volumes, fence=fence),
            deadline_s=DECOMPOSE_DEADLINE_S,
        )

        async def record(db: Db) -> None:
            await unused_store.removed(db, host_id, volumes)
            message = f"{', '.join(names)} on {operation.host_name}: no guest had it, and it was removed"
            await Events.record(db, "unused_volume_removed", message, host_id=host_id, operation_id=operation.id)

        return Outcome(result={"removed": names}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        return Outcome()
