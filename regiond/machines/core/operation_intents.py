"""Opens the operations of machines in the caller's transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from attrs import AttrsInstance

from common.boot import BootOnce
from common.disks.volume_names import marker_of_volume
from common.errors import Busy, WrongState
from common.guests.sizes import DiskSize
from common.hosts.discovery import VolumeRef
from common.values import GuestRef, OwnershipMarker
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.hosts.store import host_on_machine
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.guest_spec import known_spec
from regiond.machines.core.stock import begin_use, generation_of_use
from regiond.machines.remains.remaining_disk_store import read_remaining
from regiond.machines.remains.removal_fact_store import check_permitted
from regiond.machines.values.guest_request import GuestRequest, MachineRequest
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.model import MachineView
from regiond.machines.values.removals import (
    DeletionRequest,
    GuestCleanUp,
    MarkedCopy,
    MarkerCleanUp,
    ReleaseRequest,
    VolumeCleanUp,
)
from regiond.machines.values.requests import StoredCompose
from regiond.machines.values.states import MachineState
from regiond.operations import intent_store
from regiond.operations import store as operation_store
from regiond.operations.model import OPEN_STATES, ActingOperation, Operation, Parent, busy, stored_request

T = TypeVar("T")

_WRITES_DISKS = (OperationKind.RELEASE, OperationKind.DELETE, OperationKind.DEPLOY)
_ENDS_SYSTEM = (OperationKind.RELEASE, OperationKind.DELETE)
MAX_FAILURES = 120  # about an hour: retries are at most 30 s apart


class StaleView(Busy):
    """The machine has changed since the request read it: the request may fit again when it is read anew."""


async def with_fresh_view(request: Callable[[], Awaitable[T]]) -> T:
    """Returns the result of `request`, which reads its machine; repeats it once if the machine changed meanwhile."""
    try:
        return await request()
    except StaleView:
        return await request()


async def open_operation(
    db: Db,
    kind: OperationKind,
    machine: MachineView,
    installation_id: UUID,
    *,
    account_id: int | None,
    begins: MachineEvent | None = None,
    request: AttrsInstance | None = None,
    parent: Parent | None = None,
    max_failures: int = MAX_FAILURES,
) -> int:
    """Returns the operation's id. Applies `begins` to the machine's state; the request keeps the earlier one (`was`).

    `request` is that of the kind, an attrs value; None if it needs no more than `GuestRequest`.

    The caller must not hold a lock on the machine's row: transactions that open or end an operation lock the operation
    first, so the opposite order can deadlock. Of stock and of kinds that write or delete disks, it locks that row
    afterwards. Stock of which a use begins is stock no longer. Raises Busy while another operation acts on the machine
    or it is still being composed or adopted, StaleView if its disks, its host or its owner are others than those of
    `machine`, WrongState, also for what its host refuses to do with its guest, NotFound.
    """
    check_settled(machine)
    use = request.begins_use if isinstance(request, MachineRequest) else ""
    release = request if isinstance(request, ReleaseRequest) else None
    await check_permitted(db, machine, kind, empties=release is not None and release.empties)
    if kind is OperationKind.DELETE or (release is not None and release.erase):
        check_no_disk_goes_along(machine, installation_id)
    stays = None if kind is not OperationKind.DELETE else await _staying(db, machine, installation_id)
    common = _common(machine, kind, installation_id, generation=generation_of_use(machine) if use else None)
    operation_id = await intent_store.insert(
        db, kind, host_id=machine.host_id, host_name=machine.host_name, machine_id=machine.id,
        system_id=machine.system_id, hostname=machine.hostname, parent=parent, account_id=account_id,
        request=stored_request(common, stays, request), max_failures=max_failures,
    )  # fmt: skip
    if kind in _WRITES_DISKS:
        await lifecycle_store.lock_one(db, machine.id)  # waits for a refresh that moves it
        if not await view_store.is_where_it_was(db, machine):
            # The request names the disks, and one of them may be kept for its data since the machine was read.
            raise StaleView(f"{machine.hostname} has just got, lost or moved a disk, or was moved itself. Try again.")
    if kind in _ENDS_SYSTEM or begins is MachineEvent.REBUILD:
        await check_no_host(db, machine)
    if begins is not None:
        await lifecycle_store.apply_event(db, machine.id, begins)
    if machine.is_stock_now:  # an allocation may take it at this moment, and only one of both is right
        await lifecycle_store.lock_one(db, machine.id)
        await check_owner_is(db, machine)
    if use and machine.is_stock:
        await begin_use(db, machine.id, use, account_id=account_id, operation_id=operation_id)
    return operation_id


async def _staying(db: Db, machine: MachineView, installation_id: UUID) -> DeletionRequest:
    remaining = (await read_remaining(db, [machine], installation_id))[machine.id]
    return DeletionRequest(
        kept_disks=tuple(disk.id for disk in remaining.kept),
        disks_that_stay=(*remaining.kept_texts, *remaining.shared_texts, *remaining.left_texts),
    )


def check_no_disk_goes_along(machine: MachineView, installation_id: UUID) -> None:
    """Raises WrongState for a foreign disk with a name of the machine's own, as one that was kept and attached again on
    the host has: hypervisors know the disks of a machine by name, and would delete or empty it with the others.
    """
    own = OwnershipMarker(installation_id=installation_id, machine_id=machine.uuid)
    found = [disk.volume for disk in machine.disks if disk.is_foreign and marker_of_volume(disk.volume) == own]
    if found:
        raise WrongState(
            f"{machine.hostname} has a foreign disk, {found[0]}, that was made for it once and would lose its data "
            f"with the others. Detach it on {machine.host_name}, or adopt it if its data may go: innkeeper machine "
            f"adopt-disk {machine.hostname}",
            volume=found[0],
        )


def _common(
    machine: MachineView, kind: OperationKind, installation_id: UUID, *, generation: int | None
) -> GuestRequest:
    """A deployment boots from the disk that it has written, so only requests for power boot in another order."""
    boot = machine.boot
    boots_once = kind is OperationKind.POWER and boot.once and boot.once_key
    disks = tuple(
        DiskSize(pool_id=disk.storage_pool_key, volume=disk.volume, size_bytes=disk.pending_size_bytes)
        for disk in machine.disks
        if disk.pending_size_bytes is not None
    )
    return GuestRequest(
        spec=known_spec(machine, installation_id), was=machine.state.value, pending=machine.pending_size,
        pending_disks=disks, boot_once=BootOnce(order=boot.once, key=boot.once_key or "") if boots_once else None,
        generation=generation,
    )  # fmt: skip


async def check_no_host(db: Db, machine: MachineView) -> None:
    """Raises WrongState if a VM host runs on the machine: it may have machines of its own."""
    name = await host_on_machine(db, machine.id)
    if name is not None:
        raise WrongState(
            f"{machine.hostname} is the VM host {name}. Remove that first: innkeeper vm-host delete {name}", host=name
        )


async def open_clean_up(
    db: Db,
    host_id: int,
    host_name: str,
    guest: GuestRef,
    volumes: Sequence[tuple[str, str]] = (),
    *,
    guest_id: str | None = None,
    after: Operation | None = None,
) -> int:
    """Returns the id of the operation that removes a guest whose machine has a tombstone.

    With `guest_id` it removes only the guest with that id: another one with the marker may be restored. It also removes
    our `volumes` (storage pool, name). Idempotent: returns an operation that is open already. A call of the
    operation `after` may still create the guest: the operation ends when no rack runs such a call any more.
    """
    request = GuestCleanUp(
        guest=guest, guest_id=guest_id, volumes=tuple(volumes), earlier=None if after is None else after.id,
        earlier_since=None if after is None else after.created_at,
    )  # fmt: skip
    for operation in await operation_store.list_operations(db, host_id=host_id, states=OPEN_STATES, limit=1000):
        known = operation.request_if(GuestCleanUp) if operation.kind is OperationKind.CLEAN_UP else None
        if known is not None and known.guest == guest and known.guest_id in (None, guest_id):
            return operation.id
    return await intent_store.insert(
        db, OperationKind.CLEAN_UP, host_id=host_id, host_name=host_name, hostname=guest.name,
        request=stored_request(request), max_failures=MAX_FAILURES,
    )  # fmt: skip


async def open_compose_undo(db: Db, machine: MachineView, installation_id: UUID) -> int:
    """Returns the id of an operation that composes the machine; the caller cancels it, so that it only undoes."""
    return await intent_store.insert(
        db, OperationKind.COMPOSE, host_id=machine.host_id, host_name=machine.host_name, machine_id=machine.id,
        system_id=machine.system_id, hostname=machine.hostname,
        request=stored_request(GuestRequest(spec=known_spec(machine, installation_id)), StoredCompose(power_on=False)),
        max_failures=MAX_FAILURES,
    )  # fmt: skip


async def open_volume_removal(
    db: Db,
    host_id: int,
    host_name: str,
    marker: OwnershipMarker,
    volumes: Sequence[VolumeRef],
    *,
    kept_disk_id: int | None = None,
    adopted: bool = False,
) -> int:
    """Returns the id of the operation that removes volumes which are named after `marker` and which no guest uses.

    The operation touches no guest, and fails if a guest uses one of the volumes by then. The kept disk, if one is
    named, is no longer kept then. `adopted`: a person has adopted them, so their names show no marker.
    """
    request = VolumeCleanUp(marker=marker, orphaned_volumes=tuple(volumes), kept_disk=kept_disk_id, adopted=adopted)
    return await intent_store.insert(
        db, OperationKind.CLEAN_UP, host_id=host_id, host_name=host_name, hostname=volumes[0].name,
        request=stored_request(request), max_failures=MAX_FAILURES,
    )  # fmt: skip


async def open_marker_removal(
    db: Db, host_id: int, host_name: str, guest_id: int, guest_key: str, guest_name: str, marker: OwnershipMarker
) -> int:
    """Returns the id of the operation that removes `marker` from this one guest, a copy of a machine's guest."""
    copy = MarkedCopy(id=guest_id, key=guest_key, name=guest_name, marker=marker)
    return await intent_store.insert(
        db, OperationKind.CLEAN_UP, host_id=host_id, host_name=host_name, hostname=guest_name,
        request=stored_request(MarkerCleanUp(copy=copy)), max_failures=MAX_FAILURES,
    )  # fmt: skip


def check_settled(machine: MachineView) -> None:
    """Raises Busy while the machine is being composed or adopted, WrongState if it is on no host."""
    if machine.state in (MachineState.COMPOSING, MachineState.ADOPTING):
        participle = "composed" if machine.state is MachineState.COMPOSING else "adopted"
        raise Busy(f"{machine.hostname} is still being {participle}.")
    if machine.state is MachineState.FAILED_COMPOSE:
        raise WrongState(
            f"{machine.hostname} has no virtual machine: {machine.error_description or 'its compose failed.'} "
            f"Delete it: innkeeper machine delete {machine.system_id}"
        )
    if machine.host_id is None:
        raise WrongState(f"{machine.hostname} is on no host.")


def check_idle(machine: MachineView, in_use: Mapping[int, ActingOperation]) -> None:
    """Raises what `open_operation` would raise for the machine as it is now, except for its state.

    `in_use` has the operations that are open, by the ids of machines: see `operations.service.machines_in_use`.
    """
    check_settled(machine)
    if machine.id in in_use:
        raise busy(f"machine {machine.hostname}", in_use[machine.id])


async def check_owner_is(db: Db, machine: MachineView) -> None:
    """Raises Busy if the owner of the machine has changed since the machine was read.

    An operation of the machine is open now; it would act for the former owner.
    """
    if await lifecycle_store.owner_of(db, machine.id) != machine.owner:
        raise StaleView(f"The owner of {machine.hostname} has just changed. Try again.")
