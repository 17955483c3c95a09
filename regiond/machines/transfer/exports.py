"""Opens operations that export a machine, or tells what they would do."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from attrs import frozen

from common.errors import Busy
from common.guest_spec import DiskSpec
from common.serialization import to_dict
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.exports.service import ExportFiles
from regiond.idempotency.model import IdempotencyKey
from regiond.identifiers import serial
from regiond.machines import view_store
from regiond.machines.hardware.requests import HardwareRequests
from regiond.machines.model import DiskPlan, MachineView
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.machines.ownership_rules import check_owner
from regiond.machines.transfer.model import check_exportable, description_of, export_plan
from regiond.operations.model import Operation, OperationKind


@frozen
class MachineExports:
    """Only the owner of a machine and administrators export it: the file has all its data.

    A machine without owner belongs to who composed it.
    """

    requests: HardwareRequests
    files: ExportFiles
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation that exports the machine. Its request names the file, as `export`.

        Raises NotFound, NotAllowed, WrongState unless the machine is off, OutOfCapacity
        if the region has no room, Busy while another operation acts on the machine, RackUnreachable with `need_rack`.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open(db, caller, system_id), idempotency_key=idempotency_key,
            need_rack=need_rack,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str) -> DiskPlan:
        """Returns what `start` would do, and changes nothing. Raises the errors of `start`."""
        return await self.requests.plan(lambda db: self._open(db, caller, system_id))

    async def _open(self, db: Db, caller: Caller, system_id: str) -> tuple[int, DiskPlan]:
        machine = await view_store.read(db, system_id, caller=caller)
        check_owner(caller, machine)
        check_exportable(machine)
        description = description_of(machine, (), now=datetime.now(UTC))
        disks = [
            (DiskSpec(
                volume=disk.volume, pool_id=disk.storage_pool_key, size_bytes=disk.size_bytes,
                serial=disk.serial or serial(machine.uuid, disk.index), tags=disk.tags,
            ), disk)
            for disk in machine.disks
        ]  # fmt: skip
        export_id = await self.files.add(db, name=machine.hostname, machine=system_id, account_id=caller.account_id)
        operation_id = await open_operation(
            db, OperationKind.EXPORT, machine, self.installation_id, account_id=caller.account_id,
            request={
                "export": export_id, "description": to_dict(description),
                "disks": [
                    {"disk": to_dict(spec), "title": disk.title, "storage_pool": disk.storage_pool_name}
                    for spec, disk in disks
                ],
            },
        )  # fmt: skip
        await check_owner_is(db, machine)
        if _changed(await view_store.read(db, system_id), machine):
            raise Busy(f"{machine.hostname} has just been changed. Try again.")
        await self.files.tie(db, export_id, operation_id)
        return operation_id, export_plan(machine)


def _changed(now: MachineView, before: MachineView) -> bool:
    """Returns whether an operation that has just ended changed the machine after it was read."""
    return (now.disks, now.nics, now.cores, now.memory_mib) != (
        before.disks, before.nics, before.cores, before.memory_mib
    )  # fmt: skip
