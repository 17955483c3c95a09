"""Sets the disk from which a machine boots first: the operation and its handler."""

from __future__ import annotations

from uuid import UUID

from common.rpc.host_commands import HOST_SET_BOOT_DISK, SetBootDiskCall
from common.values import PowerState
from regiond.db.pool import Db
from regiond.machines import boot_store
from regiond.machines.model import DiskView, MachineView
from regiond.machines.operation_intents import open_operation
from regiond.machines.steps import Target, record_event
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0


async def open_set_boot_disk(
    db: Db, machine: MachineView, disk: DiskView, installation_id: UUID, *, account_id: int
) -> int:
    """Returns the id of the operation, and records the choice, which the machine shows at once.

    Raises as `open_operation`.
    """
    before = machine.boot_disk
    request = {
        "disk": disk.id,
        "title": disk.title,
        "pool": disk.storage_pool_key,
        "volume": disk.volume,
        "before": None if before is None else before.id,
    }
    operation_id = await open_operation(
        db, OperationKind.SET_BOOT_DISK, machine, installation_id, account_id=account_id, request=request
    )
    await boot_store.choose(db, machine.id, disk.id)
    return operation_id


class SetBootDisk:
    """Changes the boot order on the host, for the next start of the guest."""

    kind = OperationKind.SET_BOOT_DISK

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await journal.step("set_boot_disk", reaches_host=True, volume=request["volume"])
        reply = await self._calls.call(
            target.host_id,
            HOST_SET_BOOT_DISK,
            lambda access: SetBootDiskCall(
                access=access, guest=target.spec.ref, pool_id=request["pool"], volume=request["volume"], fence=fence
            ),
            deadline_s=DEADLINE_S,
        )

        async def record(db: Db) -> None:
            await boot_store.settle(db, target.machine_id)
            when = "" if reply.power is PowerState.OFF else " at its next start"
            message = f"{operation.hostname} boots from {request['title']} on {operation.host_name}{when}"
            await record_event(db, operation, "boot_disk_set", message)

        return Outcome(result={"disk": request["disk"], "power_state": reply.power.value}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Records the disk of before; if the host has the new one, the next refresh records that."""
        target, request = Target.of(operation), operation.request

        async def record(db: Db) -> None:
            if request["before"] is not None:
                await boot_store.restore(db, target.machine_id, request["disk"], request["before"])

        return Outcome(undone=("boot disk as before",), record=record)
