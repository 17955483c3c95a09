"""Takes disks from machines. Their volumes are deleted, or kept."""

from __future__ import annotations

from attrs import frozen

from common.errors import InnkeeperError, NotFound
from common.guests.guest_spec import DiskSpec
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.ledger import growth
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.disks import store
from regiond.machines.hardware.disks.changing import (
    attach,
    check_unchanged,
    detach,
    disk_of,
    marker_of,
    remove_volume,
    spec_of,
    where_is,
)
from regiond.machines.hardware.disks.model import check_listed, check_ours, check_removable, not_listed, remove_plan
from regiond.machines.remains import kept_disk_store
from regiond.machines.values.disks import DiskOrigin, DiskPlan, DiskToRemove
from regiond.operations.handler import Outcome
from regiond.operations.service import error_of
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Request:
    """The disk as it was. With `keep`, its volume stays."""

    disk_id: int
    disk: DiskSpec
    index: int
    keep: bool
    held_bytes: int
    storage_pool_id: int
    storage_pool: str
    title: str

    @property
    def where(self) -> str:
        return where_is(self.disk, self.storage_pool)


_NOT_REMOVED = Outcome(undone=("disk not removed",))


class RemoveDisk(HardwareChange[DiskToRemove, _Request, DiskPlan]):
    """The disk has its row, and its claim, until the guest has given it back."""

    kind = OperationKind.REMOVE_DISK
    Request = _Request
    asked = (DiskToRemove,)

    async def decide(self, db: Db, caller: Caller, system_id: str, asked: DiskToRemove) -> Decision[_Request, DiskPlan]:
        """Raises WrongState for a disk that cannot be removed."""
        machine, disk = await disk_of(db, caller, system_id, asked.disk_id)
        check_listed(machine)
        check_ours(machine, disk, marker_of(machine, self.installation_id), "removed here")
        check_removable(machine, disk)
        if disk.origin is DiskOrigin.ADOPTED and disk.id in await kept_disk_store.lacked_disks(db, [machine.id]):
            raise not_listed(machine, disk)
        request = _Request(
            disk_id=disk.id, disk=spec_of(machine, disk), index=disk.index, keep=asked.keep,
            held_bytes=disk.held_bytes, storage_pool_id=await store.storage_pool_of(db, disk.id),
            storage_pool=disk.storage_pool_name, title=disk.title,
        )  # fmt: skip
        return Decision(
            machine=machine, request=request, plan=remove_plan(machine, disk, keep=asked.keep),
            claim=lambda db, _: check_unchanged(db, machine, disk),
        )  # fmt: skip

    async def act(self, at: Attempt[_Request]) -> Outcome:
        request, disk = at.request, at.request.disk
        await at.step("detach_disk", volume=disk.volume)
        await detach(at, disk)
        if not request.keep:
            await at.step("remove_volume", volume=disk.volume)
            await remove_volume(at, disk)

        async def record(db: Db) -> None:
            kept_id = await _record_removal(db, at, keep=request.keep)
            becomes = "was deleted" if kept_id is None else f"is kept as disk {kept_id}"
            await at.event(
                db, "machine_disk_removed", f"{request.title} of {at.where} {becomes}: {request.where}"
            )  # fmt: skip

        return Outcome(result={"disk": request.disk_id, "kept": request.keep}, record=record)

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Gives the guest its disk again. If that is no longer possible, the disk is kept: nothing says it is gone.

        A host that has no such guest, or answered that its disk is another file of that name, has detached nothing: a
        volume of the name may be somebody else's.
        """
        if not at.reached_host or error_of(at.operation).code == NotFound.code:
            return _NOT_REMOVED
        await at.step("attach_disk")
        try:
            await attach(at, at.request.disk, at.request.index, create=False)
        except InnkeeperError as error:
            if error.retryable:
                raise
            if await at.find_guest() is None:
                return _NOT_REMOVED
            return Outcome(record=lambda db: _kept(db, at))
        return Outcome(undone=_NOT_REMOVED.undone, record=lambda db: store.settle(db, at.target.machine_id))


async def _kept(db: Db, at: Attempt[_Request]) -> None:
    request = at.request
    kept_id = await _record_removal(db, at, keep=True)
    message = (
        f"{request.title} of {at.operation.hostname} could not be attached again, and is kept as disk {kept_id}: "
        f"{request.where}"
    )
    await at.event(db, "machine_disk_removed", message, level=Level.WARNING)


async def _record_removal(db: Db, at: Attempt[_Request], *, keep: bool) -> int | None:
    """Frees the claim and deletes the row. Returns the id of the kept disk."""
    request, machine_id = at.request, at.target.machine_id
    await growth.free_storage(db, machine_id, request.storage_pool_id, request.held_bytes)
    kept_id = await kept_disk_store.keep(db, machine_id, request.disk_id) if keep else None
    await store.remove(db, machine_id, request.disk.pool_id, request.disk.volume)
    return kept_id
