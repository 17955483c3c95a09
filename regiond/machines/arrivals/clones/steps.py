"""Copies the guest of a machine to a new one on its host: the part of the handler of compose that differs."""

from __future__ import annotations

from common.boot import BootOrders
from common.errors import Busy
from common.guests.guest_content import GuestContent
from common.rpc.commands.hardware_commands import HOST_CLONE, HOST_SET_BOOT_ORDER, CloneCall, SetBootOrderCall
from common.rpc.commands.host_commands import HOST_SET_BOOT_DISK, MAX_CALL_S, SetBootDiskCall
from common.values import Guest
from regiond.accounts import ssh_key_store
from regiond.db.pool import Database, Db
from regiond.machines.arrivals.clones import store
from regiond.machines.core import boot_store, lifecycle_store, view_store
from regiond.machines.core.steps import Target, racks_text
from regiond.machines.running.deployment import store as deployment_store
from regiond.machines.running.deployment.model import DeploymentState
from regiond.machines.running.deployment.seed import make_copied_seed
from regiond.machines.values.clones import Copied
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.requests import StoredCompose
from regiond.machines.values.states import MachineState
from regiond.operations.handler import Journal, fence_of
from regiond.operations.model import WAIT_FOR_COMMAND, Operation
from regiond.racks.calls.host_calls import HostCalls

CLONE_DEADLINE_S = MAX_CALL_S
BOOT_DEADLINE_S = 60.0


class GuestCopies:
    """Makes guests with the content of others. Only the call that copies knows that its copies are complete."""

    def __init__(self, database: Database, calls: HostCalls) -> None:
        self._database = database
        self._calls = calls

    async def clone(self, operation: Operation, target: Target, journal: Journal) -> tuple[Guest, BootOrders | None]:
        """Returns the new guest, and what it boots from if that was set. Idempotent."""
        copied = _copied(operation)
        await self._exclude_older(operation, target, journal)
        content = GuestContent(source=copied.guest, disks=copied.disks, seed=None)
        if copied.becomes is MachineState.DEPLOYED:
            async with self._database.connection() as db:
                machine = await view_store.read(db, target.system_id)
                keys = await ssh_key_store.ssh_keys_of_user(db, machine.owner or "")
            content = GuestContent(
                source=copied.guest, disks=copied.disks, seed=make_copied_seed(machine, ssh_keys=keys)
            )  # fmt: skip
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await journal.step("copy_guest", reaches_host=True, hostname=target.spec.name, source=copied.hostname)
        guest = await self._calls.call(
            target.host_id,
            HOST_CLONE,
            lambda access: CloneCall(access=access, spec=target.spec, content=content, fence=fence),
            deadline_s=CLONE_DEADLINE_S,
        )
        return guest, await self._set_boot(operation, target, copied, journal)

    async def record(self, db: Db, operation: Operation, target: Target, orders: BootOrders | None) -> str:
        """Records what the new machine has of its source, in the transaction that ends the operation.

        Its compose is recorded already. Returns the host name of the source.
        """
        copied = _copied(operation)
        if copied.same_nics:
            await store.copy_nic_tags(db, copied.machine_id, target.machine_id)
        if copied.becomes is MachineState.DEPLOYED and copied.image is not None:
            await deployment_store.insert(
                db, target.machine_id, operation.id, copied.image,
                osystem=copied.osystem, distro_series=copied.distro_series,
            )  # fmt: skip
            await deployment_store.set_state(db, target.machine_id, DeploymentState.DEPLOYED)
            await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.STILL_DEPLOYED)
        if copied.boot_disk:
            disk = target.spec.disks[copied.boot_disk]
            await boot_store.choose_listed(db, target.machine_id, disk.pool_id, disk.volume)
        if orders is not None:
            await boot_store.record_order(db, target.machine_id, orders)
        return copied.hostname

    async def _exclude_older(self, operation: Operation, target: Target, journal: Journal) -> None:
        """Returns when no rack copies for an earlier attempt: it could write to the copies that this one makes."""
        if not operation.reached_host:
            return
        await journal.step(WAIT_FOR_COMMAND)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        running = await self._calls.exclude_older(target.host_id, fence, since=await journal.step_began_at())
        if running:
            raise Busy(f"{racks_text(running)} may still copy disks for an earlier attempt.")

    async def _set_boot(
        self, operation: Operation, target: Target, copied: Copied, journal: Journal
    ) -> BootOrders | None:  # fmt: skip
        fence, ref = fence_of(operation, str(target.spec.marker.machine_id)), target.spec.ref
        if copied.boot_disk:
            disk = target.spec.disks[copied.boot_disk]
            await journal.step("set_boot_disk", reaches_host=True)
            await self._calls.call(
                target.host_id,
                HOST_SET_BOOT_DISK,
                lambda access: SetBootDiskCall(
                    access=access, guest=ref, pool_id=disk.pool_id, volume=disk.volume, fence=fence
                ),
                deadline_s=BOOT_DEADLINE_S,
            )
        if not copied.boot_order:
            return None
        await journal.step("set_boot_order", reaches_host=True, order=[one.value for one in copied.boot_order])
        return await self._calls.call(
            target.host_id,
            HOST_SET_BOOT_ORDER,
            lambda access: SetBootOrderCall(access=access, guest=ref, order=copied.boot_order, fence=fence),
            deadline_s=BOOT_DEADLINE_S,
        )


def _copied(operation: Operation) -> Copied:
    copied = operation.request_as(StoredCompose).copied
    if copied is None:
        raise ValueError(f"operation {operation.id} copies no machine")
    return copied
