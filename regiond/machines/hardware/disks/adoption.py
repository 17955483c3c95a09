"""Makes a foreign disk the machine's own, in the ledger only."""

from __future__ import annotations

from uuid import UUID

from attrs import evolve

from common.disks.volume_names import marker_of_ours
from common.errors import Busy, NotFound, WrongState
from common.units import gb
from regiond.db.pool import Db
from regiond.ledger import claims
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.ownership_rules import check_may_change
from regiond.machines.core.stock import begin_use
from regiond.machines.hardware.disks import store
from regiond.machines.hardware.disks.kept import locked_kept_disk
from regiond.machines.hardware.disks.model import check_listed, check_volumes, is_owned
from regiond.machines.remains import kept_disk_store
from regiond.machines.values.disks import DiskOrigin, DiskPlan, DiskView
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Caller


async def adopt(
    db: Db, caller: Caller, system_id: str, disk_id: int, installation_id: UUID
) -> tuple[MachineView, DiskPlan, bool]:
    """Returns the machine, what its disk is since, and whether that has changed: not for a disk that was its own.

    Locks the server, so that no other machine adopts the same volume and no refresh changes the disk. Raises NotFound,
    NotAllowed, WrongState and Busy.
    """
    machine = await view_store.read(db, system_id, caller=caller)
    check_may_change(caller, machine)
    if machine.host_id is not None:
        await claims.lock_hosts(db, [machine.host_id], wait=True)
    await lifecycle_store.lock(db, [system_id])
    machine = await view_store.read(db, system_id, caller=caller)
    check_may_change(caller, machine)
    disk = next((one for one in machine.disks if one.id == disk_id), None)
    if disk is None:
        raise NotFound(f"{machine.hostname} has no disk {disk_id} any more.")
    if is_owned(disk, installation_id):
        return (
            machine,
            DiskPlan(name=machine.hostname, effects=(f"{_title(machine, disk)} is its own already.",)),
            False,
        )
    check_listed(machine)
    _check_adoptable(machine, disk)
    pool_id = await store.storage_pool_of(db, disk.id)
    check_volumes(machine, [disk], "adopted")
    users = await store.other_users(db, machine.id, pool_id, disk.volume)
    if users:
        raise WrongState(
            f"{disk.volume} in {disk.storage_pool_name} is also a disk of {', '.join(users)}: {_title(machine, disk)} "
            f"cannot be adopted while both could write to it. Detach it from one of them on {machine.host_name}, and "
            f"refresh the host: innkeeper vm-host refresh {machine.host_name}"
        )
    await _take_kept(db, caller, pool_id, disk)
    found = marker_of_ours(disk.volume, installation_id)
    origin = DiskOrigin.ADOPTED if found is None else DiskOrigin.CREATED
    if not await store.adopt(db, disk.id, origin):
        raise Busy(f"{_title(machine, disk)} has just been changed. Try again.")
    await begin_use(db, machine.id, "it gets a foreign disk", account_id=caller.account_id)
    goes = found is not None and found.machine_id == machine.uuid
    own = evolve(
        machine, disks=tuple(evolve(one, origin=origin) if one.id == disk.id else one for one in machine.disks)
    )
    return own, _plan(machine, disk, goes_with_machine=goes), True


def _check_adoptable(machine: MachineView, disk: DiskView) -> None:
    if not disk.is_foreign:
        raise WrongState(
            f"{_title(machine, disk)} is the first disk of an adopted VM, with which it was adopted: it goes with it."
        )
    if disk.missing:
        raise WrongState(
            f"{_title(machine, disk)} cannot be adopted: its volume {disk.volume} is not in {disk.storage_pool_name}. "
            f"Restore it on {machine.host_name}, or detach the disk there."
        )


async def _take_kept(db: Db, caller: Caller, storage_pool_id: int, disk: DiskView) -> None:
    """A kept disk that somebody attached on the hypervisor is kept no longer. Raises NotAllowed as for attaching it."""
    kept_id = await kept_disk_store.find(db, storage_pool_id, disk.volume)
    if kept_id is not None:
        await locked_kept_disk(db, caller, kept_id)
        await kept_disk_store.delete(db, kept_id)


def _plan(machine: MachineView, disk: DiskView, *, goes_with_machine: bool) -> DiskPlan:
    where = f"{disk.volume}, {gb(disk.size_bytes)} in {disk.storage_pool_name}"
    fate = "is deleted with it" if goes_with_machine else "is kept, as one that was attached to it"
    return DiskPlan(
        name=machine.hostname,
        effects=(
            f"{_title(machine, disk)} ({where}) becomes the machine's own, with its content. Nothing changes on "
            f"{machine.host_name}, and nothing more is claimed.",
            "From then on it can be grown, moved, removed and kept here; a removal without keeping deletes its data.",
            f"When {machine.hostname} is deleted, the disk {fate}.",
        ),
    )


def _title(machine: MachineView, disk: DiskView) -> str:
    return f"{disk.title} of {machine.hostname}"
