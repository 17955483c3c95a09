"""Changes disks of machines: their tags, which one boots, and whose they are."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.errors import InvalidRequest, NotFound
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.nics.model import MAX_TAGS, checked_tags
from regiond.machines.core.operation_intents import check_owner_is
from regiond.machines.core.ownership_rules import check_may_change
from regiond.machines.hardware.disks.adoption import adopt
from regiond.machines.hardware.disks.boot_disk import open_set_boot_disk
from regiond.machines.values.disks import DiskPlan, DiskView
from regiond.machines.values.model import MachineView
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.operations.service import Operations
from regiond.requests.caller import Caller

_SET_TAGS = "update machine_disk set tags = $2 where id = $1"


@frozen
class MachineDisks:
    """Changes disks of machines. Every operator of its pool may change a machine without owner."""

    database: Database
    operations: Operations
    installation_id: UUID

    async def set_tag(self, caller: Caller, system_id: str, disk_id: int, tag: str, *, present: bool) -> MachineView:
        """Adds or removes one tag, in every state of the machine: only the ledger has them. Idempotent.

        Raises NotFound, NotAllowed and InvalidRequest.
        """

        async def work(db: Db) -> MachineView:
            await lifecycle_store.lock(db, [system_id])
            machine, disk = await _changeable(db, caller, system_id, disk_id)
            others = tuple(one for one in disk.tags if one != tag)
            found = (*others, *_added(tag, len(others))) if present else others
            if set(found) == set(disk.tags):
                return machine
            await db.execute(_SET_TAGS, disk.id, found)
            done = f"Disk {disk.index} of {machine.hostname} {'has' if present else 'has no longer'} the tag {tag}"
            await Events.record(
                db, "machine_disk_changed", done, caller=caller, host_id=machine.host_id, system_id=machine.system_id
            )
            return await view_store.read(db, system_id)

        return await self.database.in_transaction(work)

    async def adopt(self, caller: Caller, system_id: str, disk_id: int) -> MachineView:
        """Returns the machine, whose foreign disk is its own since. Idempotent; nothing changes on the host.

        Raises NotFound, NotAllowed, WrongState for a disk that another VM uses too, and Busy.
        """

        async def work(db: Db) -> MachineView:
            machine, _, is_new = await adopt(db, caller, system_id, disk_id, self.installation_id)
            if is_new:
                disk = next(one for one in machine.disks if one.id == disk_id)
                message = f"{disk.title} of {machine.hostname} was adopted: {disk.volume} in {disk.storage_pool_name}"
                await Events.record(
                    db, "machine_disk_adopted", message, caller=caller, host_id=machine.host_id, system_id=system_id
                )
            return machine

        return await self.database.in_transaction(work)

    async def plan_adoption(self, caller: Caller, system_id: str, disk_id: int) -> DiskPlan:
        """Returns what `adopt` would change, and changes nothing. Raises the errors of `adopt`."""

        async def work(db: Db) -> DiskPlan:
            _, plan, _ = await adopt(db, caller, system_id, disk_id, self.installation_id)
            return plan

        return await self.database.in_transaction(work, dry_run=True)

    async def start_set_boot_disk(
        self,
        caller: Caller,
        system_id: str,
        disk_id: int,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation | None:
        """Returns the operation that sets the boot disk on the host; None for the disk that boots already.

        The machine shows the new one at once; a guest that runs boots from it at its next start. Raises NotFound,
        NotAllowed, WrongState, and Busy while another operation acts on the machine.
        """
        async with self.database.connection() as db:
            machine, disk = await _changeable(db, caller, system_id, disk_id)
        is_repeated = idempotency_key is not None and idempotency_key.operation_id is not None
        if disk == machine.boot_disk and not is_repeated:
            return None

        async def work(db: Db) -> int:
            operation_id = await open_set_boot_disk(
                db, machine, disk, self.installation_id, account_id=caller.account_id
            )
            await check_owner_is(db, machine)
            await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        return await self.operations.idempotent(idempotency_key, lambda: self.database.in_transaction(work))


async def _changeable(db: Db, caller: Caller, system_id: str, disk_id: int) -> tuple[MachineView, DiskView]:
    """Returns the machine and its disk. Raises NotFound and NotAllowed, also for a locked machine."""
    machine = await view_store.read(db, system_id, caller=caller)
    check_may_change(caller, machine)
    disk = next((one for one in machine.disks if one.id == disk_id), None)
    if disk is None:
        raise NotFound(f"{machine.hostname} has no disk {disk_id} any more.")
    return machine, disk


def _added(tag: str, others: int) -> tuple[str, ...]:
    """Returns the checked tag to add. Raises InvalidRequest.

    Tags with which a disk was composed are not checked: they may have other characters, as names of storage pools do.
    """
    if others >= MAX_TAGS:
        raise InvalidRequest.of({"tag": [f"A disk has at most {MAX_TAGS} tags."]})
    return checked_tags((tag,), field="tag", of="A disk")
