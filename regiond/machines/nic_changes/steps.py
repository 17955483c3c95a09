"""Adds and removes NICs of the guest of a machine: the operations' handlers."""

from __future__ import annotations

from common.errors import InnkeeperError, NotFound
from common.guest_spec import NicSpec
from common.rpc.hardware_commands import (
    HOST_ATTACH_NIC,
    HOST_CHANGE_NIC,
    HOST_DETACH_NIC,
    AttachNicCall,
    ChangeNicCall,
    DetachNicCall,
)
from common.serialization import from_dict
from common.values import Guest
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.hosts.service import record_guest
from regiond.ledger import service as ledger
from regiond.machines.nic_changes import store
from regiond.machines.steps import Target, find_guest, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0


class NicCalls:
    """The calls to a host that change NICs of a guest."""

    def __init__(self, calls: HostCalls) -> None:
        self.calls = calls

    async def attach(self, operation: Operation, target: Target) -> None:
        nic = from_dict(operation.request["nic"], NicSpec)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self.calls.call(
            target.host_id,
            HOST_ATTACH_NIC,
            lambda access: AttachNicCall(access=access, guest=target.spec.ref, nic=nic, fence=fence),
            deadline_s=DEADLINE_S,
        )

    async def change(self, operation: Operation, target: Target, mac_address: str, nic: NicSpec) -> None:
        """Puts `nic` in the place of the NIC with this MAC address."""
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self.calls.call(
            target.host_id,
            HOST_CHANGE_NIC,
            lambda access: ChangeNicCall(
                access=access, guest=target.spec.ref, mac_address=mac_address, nic=nic, fence=fence
            ),
            deadline_s=DEADLINE_S,
        )

    async def detach(self, operation: Operation, target: Target) -> None:
        mac_address: str = operation.request["nic"]["mac_address"]
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self.calls.call(
            target.host_id,
            HOST_DETACH_NIC,
            lambda access: DetachNicCall(access=access, guest=target.spec.ref, mac_address=mac_address, fence=fence),
            deadline_s=DEADLINE_S,
        )


class AddNic:
    """Gives the guest a NIC. Its row and its claims exist already."""

    kind = OperationKind.ADD_NIC

    def __init__(self, calls: HostCalls) -> None:
        self._calls = NicCalls(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, nic = Target.of(operation), from_dict(operation.request["nic"], NicSpec)
        await journal.step("attach_nic", reaches_host=True, mac_address=nic.mac_address)
        await self._calls.attach(operation, target)
        guest = await find_guest(self._calls.calls, target)

        async def record(db: Db) -> None:
            await record_new_nics(db, target, guest)
            message = f"{operation.hostname} on {operation.host_name} has the NIC {described(nic)}"
            await record_event(db, operation, "machine_nic_added", message)

        return Outcome(result={"mac_address": nic.mac_address, "name": nic.name}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Takes the NIC from the guest again. If the guest does not give it back, it stays."""
        target, nic = Target.of(operation), from_dict(operation.request["nic"], NicSpec)
        if operation.reached_host:
            await wait_for_command(self._calls.calls, operation, target, journal)
            await journal.step("detach_nic", reaches_host=True)
            try:
                await self._calls.detach(operation, target)
            except NotFound:
                pass
            except InnkeeperError as error:
                if error.retryable:
                    raise
                return Outcome(record=lambda db: self._stays(db, operation, target))

        async def record(db: Db) -> None:
            await _remove(db, operation, target)

        return Outcome(undone=(f"NIC {nic.name} not added",), record=record)

    async def _stays(self, db: Db, operation: Operation, target: Target) -> None:
        await store.settle(db, target.machine_id)
        nic = from_dict(operation.request["nic"], NicSpec)
        message = (
            f"{operation.hostname} on {operation.host_name} keeps the NIC {described(nic)}: its guest does not give "
            "it back"
        )
        await record_event(db, operation, "machine_nic_added", message, level=Level.WARNING)


class RemoveNic:
    """Takes a NIC from the guest; its addresses and its virtual function are free then."""

    kind = OperationKind.REMOVE_NIC

    def __init__(self, calls: HostCalls) -> None:
        self._calls = NicCalls(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, nic = Target.of(operation), from_dict(operation.request["nic"], NicSpec)
        await journal.step("detach_nic", reaches_host=True, mac_address=nic.mac_address)
        await self._calls.detach(operation, target)
        guest = await find_guest(self._calls.calls, target)

        async def record(db: Db) -> None:
            await record_new_nics(db, target, guest)
            await _remove(db, operation, target)
            message = f"{operation.hostname} on {operation.host_name} lost the NIC {described(nic)}"
            await record_event(db, operation, "machine_nic_removed", message)

        return Outcome(result={"mac_address": nic.mac_address, "name": nic.name}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Gives the guest its NIC again. If that is not possible, the NIC is removed."""
        if not operation.reached_host:
            return Outcome(undone=("NIC not removed",))
        target, nic = Target.of(operation), from_dict(operation.request["nic"], NicSpec)
        await wait_for_command(self._calls.calls, operation, target, journal)
        await journal.step("attach_nic", reaches_host=True)
        try:
            await self._calls.attach(operation, target)
        except InnkeeperError as error:
            if error.retryable:
                raise
            guest = await find_guest(self._calls.calls, target)
            if guest is None or any(one.mac_address.lower() == nic.mac_address for one in guest.nics):
                return Outcome(undone=("NIC not removed",))
            return Outcome(record=lambda db: self._lost(db, operation, target))
        return Outcome(undone=("NIC not removed",), record=lambda db: store.settle(db, target.machine_id))

    async def _lost(self, db: Db, operation: Operation, target: Target) -> None:
        await _remove(db, operation, target)
        nic = from_dict(operation.request["nic"], NicSpec)
        message = f"{operation.hostname} on {operation.host_name} could not get the NIC {described(nic)} back"
        await record_event(db, operation, "machine_nic_removed", message, level=Level.WARNING)


async def record_new_nics(db: Db, target: Target, guest: Guest | None) -> None:
    """Records the guest as its host has it now; reports of discovery runs that began earlier no longer count."""
    if guest is not None:
        await record_guest(db, target.host_id, guest, target.machine_id, guest.power)
    await store.settle(db, target.machine_id)


async def _remove(db: Db, operation: Operation, target: Target) -> None:
    port = operation.request["function_port"]
    if port is not None:
        await ledger.free_function(db, target.machine_id, port)
    await store.remove(db, target.machine_id, operation.request["nic"]["mac_address"])


def described(nic: NicSpec) -> str:
    return f"{nic.name} ({nic.mac_address}{f' on {nic.source}' if nic.source else ''})"
