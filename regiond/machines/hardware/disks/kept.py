"""Lists the disks that were kept when their machine gave them up, and deletes them."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.disks.volume_names import marker_of_ours
from common.errors import Busy, NotFound
from common.hosts.discovery import VolumeRef
from common.values import OwnershipMarker
from regiond.db.pool import Database, Db
from regiond.machines.core.operation_intents import open_volume_removal
from regiond.machines.hardware.disks.model import check_may_use, deletion_plan
from regiond.machines.remains import kept_disk_store
from regiond.machines.values.disks import DiskPlan, KeptDisk
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.operations.service import Operations
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.service import read_installation_id
from regiond.requests.caller import Caller


@frozen
class KeptDisks:
    """Lists the disks that were kept, and deletes them."""

    database: Database
    operations: Operations
    calls: HostCalls

    async def list(self, caller: Caller, *, host_id: int | None = None) -> tuple[KeptDisk, ...]:
        async with self.database.connection() as db:
            return await kept_disk_store.list_kept(db, host_id=host_id, caller=caller)

    async def read(self, disk_id: int, *, caller: Caller | None = None) -> KeptDisk:
        """Raises NotFound, also for a disk that the caller may not see."""
        async with self.database.connection() as db:
            return await _visible(db, caller, disk_id)

    async def start_delete(
        self, caller: Caller, disk_id: int, *, idempotency_key: IdempotencyKey | None = None, need_rack: bool = False
    ) -> Operation:
        """Returns the operation that deletes the volume with its data. Raises NotFound, NotAllowed and Busy."""

        async def work(db: Db) -> int:
            operation_id, _ = await _open_deletion(db, caller, disk_id)
            await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        async def open_() -> int:
            if need_rack:
                disk = await self.read(disk_id)
                await self.calls.require(disk.host_id)
            return await self.database.in_transaction(work)

        return await self.operations.idempotent(idempotency_key, open_)

    async def plan_delete(self, caller: Caller, disk_id: int) -> DiskPlan:
        """Returns what `start_delete` would delete, and changes nothing. Raises the errors of `start_delete`."""

        async def work(db: Db) -> DiskPlan:
            _, plan = await _open_deletion(db, caller, disk_id)
            return plan

        return await self.database.in_transaction(work, dry_run=True)


async def _open_deletion(db: Db, caller: Caller, disk_id: int) -> tuple[int, DiskPlan]:
    disk = await locked_kept_disk(db, caller, disk_id)
    installation_id = await read_installation_id(db)
    named_after = marker_of_ours(disk.volume, installation_id)
    of_none = OwnershipMarker(installation_id=installation_id, machine_id=UUID(int=disk.id))  # fences calls for it
    operation_id = await open_volume_removal(
        db, disk.host_id, disk.host_name, named_after or of_none,
        [VolumeRef(pool_id=disk.storage_pool_key, name=disk.volume)], kept_disk_id=disk.id,
        adopted=named_after is None,
    )  # fmt: skip
    return operation_id, deletion_plan(disk)


async def _visible(db: Db, caller: Caller | None, disk_id: int) -> KeptDisk:
    found = await kept_disk_store.list_kept(db, disk_id=disk_id, caller=caller)
    if not found:
        raise NotFound(f"There is no kept disk {disk_id}.")
    return found[0]


async def locked_kept_disk(db: Db, caller: Caller, disk_id: int) -> KeptDisk:
    """Returns the disk, locked, if the caller may use it: it has the data of the account that had its machine.

    Raises NotFound, NotAllowed, and Busy while an operation deletes it.
    """
    if not await kept_disk_store.lock(db, disk_id):
        raise NotFound(f"There is no kept disk {disk_id}.")
    disk = await _visible(db, caller, disk_id)
    if await kept_disk_store.is_being_deleted(db, disk_id):
        raise Busy(f"Another operation is deleting {disk.in_words}.")
    check_may_use(caller, disk)
    return disk
