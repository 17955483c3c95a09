"""Operation handler that releases a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from common.errors import NotFound
from common.guest_spec import NicSpec
from common.values import PowerAction, PowerState
from regiond.events.model import Level
from regiond.hosts import service as host_service
from regiond.hosts.model import MACHINE_MISSING, MACHINE_MISSING_TEXT
from regiond.machines import affinity_store, lifecycle_store, nic_store, store
from regiond.machines.deployment import store as deployment_store
from regiond.machines.deployment.steps import empty_disks
from regiond.machines.devices import store as device_store
from regiond.machines.guest_spec import nic_spec
from regiond.machines.lifecycle import MachineEvent
from regiond.machines.model import MachineState
from regiond.machines.nics.restoration import restore_links
from regiond.machines.steps import POWER_OFF_GRACE_S, Target, record_event, set_power
from regiond.networks import service as network_service
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome
from regiond.racks.service import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db


class ReleaseMachine:
    """Powers off the machine's guest, removes its operating system and its devices, then clears owner and owner data.

    The guest remains. An operating system that a user installed by hand remains too, unless the request erases the
    disks. A deployed guest has `grace_s` to shut down by itself.
    """

    kind = OperationKind.RELEASE

    def __init__(self, calls: HostCalls, *, grace_s: float = POWER_OFF_GRACE_S) -> None:
        self._calls = calls
        self._grace_s = grace_s

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request
        if request.get("shuts_down"):
            await self._shut_down(operation, target, journal)
        if request.get("deployed") or request.get("erase"):
            target = await self._with_restored_links(operation, target, journal)
            power = await empty_disks(
                self._calls, operation, target, journal,
                erase=bool(request.get("erase")), overwrite=bool(request.get("overwrite")),
            )  # fmt: skip
        else:
            power = await self._power_off(operation, target, journal)

        async def record(db: Db) -> None:
            if power is None:  # before the machine's row is locked: the server's lock comes first
                await host_service.delete_guest(db, target.machine_id)
            await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.RELEASED)
            await _restore_links(db, operation, target)
            await device_store.delete_of(db, target.machine_id)
            await lifecycle_store.clear_owner(db, target.machine_id)
            await affinity_store.end_allocation(db, target.machine_id)
            await network_service.forget_addresses(db, target.machine_id)
            if operation.request.get("deployed"):
                await deployment_store.delete(db, target.machine_id)
                await lifecycle_store.set_error_description(db, target.machine_id, "")
            if power is not None:
                await store.set_power(db, target.machine_id, power.value)
            await _restore_state(db, operation, target, missing=power is None)

        return Outcome(result={"system_id": target.system_id}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Leaves the machine with its owner, whether on or off."""
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)

        async def record(db: Db) -> None:
            await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.RELEASE_FAILED)
            if operation.request.get("was") == MachineState.BROKEN:
                await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.MARK_BROKEN)
            message = f"{target.spec.name} was not released: {operation.error_message}"
            await record_event(db, operation, "release_failed", message, level=Level.ERROR)

        return Outcome(undone=("machine not released",), record=record)

    async def _with_restored_links(self, operation: Operation, target: Target, journal: Journal) -> Target:
        """Returns the target with the NICs as they were before its owner changed them: the host reserves their
        addresses when it removes the operating system.
        """
        nics: list[NicSpec] = []

        async def restore(db: Db) -> None:
            await _restore_links(db, operation, target)
            found = await nic_store.of_machines(db, [target.machine_id])
            nics[:] = [nic_spec(nic) for nic in found.get(target.machine_id, ())]

        await journal.write("restore_links", restore)
        known = {nic.mac_address for nic in target.spec.nics}  # none of an adopted machine
        return evolve(target, spec=evolve(target.spec, nics=tuple(nic for nic in nics if nic.mac_address in known)))

    async def _shut_down(self, operation: Operation, target: Target, journal: Journal) -> None:
        await journal.step("shut_down", reaches_host=True)
        try:
            await set_power(self._calls, operation, target, PowerAction.OFF, grace_s=self._grace_s)
        except NotFound as error:
            await journal.note("guest not found", reason=error.message)

    async def _power_off(self, operation: Operation, target: Target, journal: Journal) -> PowerState | None:
        """Returns the guest's power state afterwards; None if the host has no such guest."""
        await journal.step("power_off", reaches_host=True)
        try:
            return await set_power(self._calls, operation, target, PowerAction.FORCE_OFF)
        except NotFound as error:
            await journal.note("guest not found", reason=error.message)
            return None


async def _restore_links(db: Db, operation: Operation, target: Target) -> None:
    lost = await restore_links(db, target.machine_id)
    if lost:
        message = f"{target.spec.name} did not get all of its addresses back: {'; '.join(lost)}"
        await record_event(db, operation, "addresses_not_restored", message, level=Level.WARNING)


async def _restore_state(db: Db, operation: Operation, target: Target, *, missing: bool) -> None:
    """Makes a released machine broken if it was before, otherwise missing if its guest is."""
    was = operation.request.get("was")
    if was == MachineState.BROKEN:
        await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.MARK_BROKEN)
    elif missing:
        await lifecycle_store.apply_event(db, target.machine_id, MachineEvent.LOST)
        if was != MachineState.MISSING:
            text = MACHINE_MISSING_TEXT.format(host=operation.host_name)
            await record_event(db, operation, MACHINE_MISSING, f"{operation.hostname}: {text}", level=Level.WARNING)
