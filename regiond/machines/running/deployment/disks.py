"""Removes the operating system of a guest, for abort, release and deletion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.disks.volume_names import marker_of_volume
from common.errors import DriverFailed, NotFound, WrongState
from common.rpc.commands.host_commands import HOST_FIND, HOST_UNDEPLOY, GuestCall, UndeployCall
from regiond.db.pool import Database, Db
from regiond.machines.core import boot_store
from regiond.machines.core.steps import Target, power_off
from regiond.machines.remains import kept_disk_store
from regiond.machines.running.deployment import store
from regiond.machines.running.deployment.model import DeploymentState
from regiond.networks.ipam import link_store
from regiond.operations.handler import Journal, fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

WRITE_DEADLINE_S = 600.0
FIND_DEADLINE_S = 20.0
OVERWRITE_DEADLINE_S = 1800.0  # 200 GB at 110 MB/s


async def check_no_kept_disk(
    calls: HostCalls, database: Database, operation: Operation, target: Target, lost: str
) -> None:
    """Raises WrongState if the guest has a kept disk that was made for it, before it is `lost` "with the machine".

    Somebody attached it on the host since the last refresh. The host would delete or empty it with the others, whose
    names are alike.
    """
    async with database.connection() as db:
        found = await kept_disk_store.list_kept(db, host_id=target.host_id)
    kept = {
        (one.storage_pool_key, one.volume): one for one in found if marker_of_volume(one.volume) == target.spec.marker
    }
    if not kept:
        return
    reply = await calls.call(
        target.host_id,
        HOST_FIND,
        lambda access: GuestCall(access=access, guest=target.spec.ref),
        deadline_s=FIND_DEADLINE_S,
    )
    for disk in () if reply.guest is None else reply.guest.disks:
        one = kept.get((disk.pool_id or "", disk.volume or ""))
        if one is not None:
            raise WrongState(
                f"Somebody attached {one.in_words} to {target.spec.name} on {operation.host_name}: it would lose "
                f"its data {lost}. Detach it there, or refresh the host and adopt the disk if its data may go: "
                f"innkeeper vm-host refresh {operation.host_name}",
                volume=one.volume,
            )


async def empty_guest(
    calls: HostCalls,
    operation: Operation,
    target: Target,
    journal: Journal,
    *,
    erase: bool = False,
    overwrite: bool = False,
) -> bool:
    """Powers the guest off, then runs `empty_disks`. Returns False if the host has no such guest."""
    try:
        await power_off(calls, operation, target, journal)
    except NotFound as error:
        await journal.note("guest not found", reason=error.message)
        return False
    with guest_was_found():
        await empty_disks(calls, operation, target, journal, erase=erase, overwrite=overwrite)
    return True


@contextmanager
def guest_was_found() -> Iterator[None]:
    """Raises DriverFailed for a NotFound in the block.

    The host has just powered the guest off. If it then does not find something, such as a storage pool, the host has
    failed: the guest exists, with its disks.
    """
    try:
        yield
    except NotFound as error:
        raise DriverFailed(f"The virtual machine is off, but the rest was not done: {error.message}") from error


async def empty_disks(
    calls: HostCalls,
    operation: Operation,
    target: Target,
    journal: Journal,
    *,
    erase: bool = False,
    overwrite: bool = False,
) -> None:
    """Removes the operating system of a guest that is off, and makes its host reserve the addresses of `target`.

    The driver contract defines `erase` and `overwrite`. Raises NotFound if the host has no such guest.
    """

    async def begin(db: Db) -> None:
        await store.set_state(db, target.machine_id, DeploymentState.ERASED)
        await boot_store.boot_from_first(db, target.machine_id, deployed=False)
        await link_store.begin_reservation(db, target.machine_id)

    await journal.write("erase", begin)
    await journal.step("empty_disks" if erase else "empty_root_disk", reaches_host=True)
    fence = fence_of(operation, str(target.spec.marker.machine_id))
    await calls.call(
        target.host_id, HOST_UNDEPLOY,
        lambda access: UndeployCall(access=access, spec=target.spec, fence=fence, erase=erase, overwrite=overwrite),
        deadline_s=OVERWRITE_DEADLINE_S if overwrite else WRITE_DEADLINE_S,
    )  # fmt: skip
