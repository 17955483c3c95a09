"""Sets the disk from which a machine boots first: the operation and its handler."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.rpc.commands.host_commands import HOST_SET_BOOT_DISK
from common.values import PowerState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.core import boot_store
from regiond.machines.core.operation_intents import open_operation
from regiond.machines.hardware.change import Attempt, ChangeHandler
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from regiond.operations.handler import Outcome


@frozen(kw_only=True)
class _Request:
    """`disk` and `before` are ids of disks, `pool` and `volume` where the disk is."""

    disk: int
    title: str
    pool: str
    volume: str
    before: int | None


async def open_set_boot_disk(
    db: Db, machine: MachineView, disk: DiskView, installation_id: UUID, *, account_id: int
) -> int:
    """Returns the id of the operation, and records the choice, which the machine shows at once.

    Raises as `open_operation`.
    """
    before = machine.boot_disk
    request = _Request(
        disk=disk.id, title=disk.title, pool=disk.storage_pool_key, volume=disk.volume,
        before=None if before is None else before.id,
    )  # fmt: skip
    operation_id = await open_operation(
        db, OperationKind.SET_BOOT_DISK, machine, installation_id, account_id=account_id, request=request
    )
    await boot_store.choose(db, machine.id, disk.id)
    return operation_id


class SetBootDisk(ChangeHandler[_Request]):
    """Changes the boot order on the host, for the next start of the guest."""

    kind = OperationKind.SET_BOOT_DISK
    Request = _Request
    undoes_on_host = False

    async def act(self, at: Attempt[_Request]) -> Outcome:
        request = at.request
        await at.step("set_boot_disk", volume=request.volume)
        reply = await at.call(HOST_SET_BOOT_DISK, pool_id=request.pool, volume=request.volume)
        when = "" if reply.power is PowerState.OFF else " at its next start"
        return at.ended(
            lambda db: boot_store.settle(db, at.target.machine_id),
            event="boot_disk_set",
            message=f"{at.operation.hostname} boots from {request.title} on {at.operation.host_name}{when}",
            result={"disk": request.disk, "power_state": reply.power.value},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Records the disk of before; if the host has the new one, the next refresh records that."""
        disk, before = at.request.disk, at.request.before

        async def record(db: Db) -> None:
            if before is not None:
                await boot_store.restore(db, at.target.machine_id, disk, before)

        return Outcome(undone=("boot disk as before",), record=record)
