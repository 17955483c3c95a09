"""Opens operations that add, change and remove NICs of machines, or tells what they would change."""

from __future__ import annotations

from uuid import UUID

from attrs import evolve, frozen

from common.errors import Busy
from common.serialization import to_dict
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.ledger import service as ledger
from regiond.machines import view_store
from regiond.machines.guest_spec import nic_spec
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.model import MachineView, NicChange, NicPlan, NicToAdd, NicToChange, NicToRemove, NicView
from regiond.machines.nic_changes import store
from regiond.machines.nic_changes.attachment import attachment_of, changed_nic, new_row, new_spec, port_of
from regiond.machines.nic_changes.model import (
    add_plan,
    change_plan,
    check_addable,
    check_address_deliverable,
    check_change,
    check_listed,
    check_removable,
    remove_plan,
    requirement,
)
from regiond.machines.nics.model import checked_tags, find_nic
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.networks import service as network_service
from regiond.operations.model import Operation, OperationKind, Parent


@frozen
class NicChanges:
    """Adds, changes and removes NICs of machines. Every operator of its pool may change a machine without owner.

    Addresses and virtual functions are claimed at once.
    """

    requests: HardwareRequests
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        change: NicChange,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation. Raises NotFound, NotAllowed, InvalidRequest, WrongState, OutOfCapacity, Busy while
        another operation acts on the machine, and RackUnreachable with `need_rack`.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open_change(db, caller, system_id, change),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def start_part(self, caller: Caller, system_id: str, change: NicChange, parent: Parent) -> Operation:
        """Returns the child of a bulk operation that makes the change. Raises the errors of `start`."""
        return await self.requests.start(
            caller, system_id, lambda db: self._open_change(db, caller, system_id, change, parent),
            idempotency_key=None, need_rack=False,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str, change: NicChange) -> NicPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""
        return await self.requests.plan(lambda db: self._open_change(db, caller, system_id, change))

    async def _open_change(
        self, db: Db, caller: Caller, system_id: str, change: NicChange, parent: Parent | None = None
    ) -> tuple[int, NicPlan]:
        match change:
            case NicToAdd():
                return await self._add(db, caller, system_id, change, parent)
            case NicToChange():
                return await self._change(db, caller, system_id, change, parent)
            case NicToRemove():
                return await self._remove(db, caller, system_id, change.nic_id, parent)

    async def _add(
        self, db: Db, caller: Caller, system_id: str, nic: NicToAdd, parent: Parent | None
    ) -> tuple[int, NicPlan]:
        """Locks in the order of all writers: the operation, the server, the machine."""
        tags = checked_tags(nic.tags)
        machine = await changeable(db, caller, system_id)
        check_addable(machine)
        attachment = await attachment_of(db, caller, machine, requirement(machine, nic))
        check_address_deliverable(machine, attachment)
        spec = await new_spec(db, machine, nic, attachment)
        index = await store.next_index(db, machine.id)
        request = {"nic": to_dict(spec), "function_port": attachment.function_port}
        operation_id = await self._open(db, caller, machine, OperationKind.ADD_NIC, request, parent)
        if await store.next_index(db, machine.id) != index:
            raise Busy(f"The NICs of {machine.hostname} have just changed. Try again.")
        if attachment.function_port is not None and machine.host_id is not None:
            await ledger.claim_function(db, machine.id, machine.host_id, attachment.function_port)
        nic_id = await store.insert(db, new_row(machine, index, spec, attachment, tags))
        if attachment.ip is not None and attachment.subnet_id is not None:
            await network_service.claim_static_address(
                db, subnet_id=attachment.subnet_id, address=attachment.ip, machine_id=machine.id, nic_id=nic_id
            )
        return operation_id, evolve(add_plan(machine, spec.name, attachment), function_port=attachment.function_port)

    async def _remove(
        self, db: Db, caller: Caller, system_id: str, nic_id: int, parent: Parent | None
    ) -> tuple[int, NicPlan]:
        machine = await changeable(db, caller, system_id)
        nic = find_nic(machine, nic_id)
        check_listed(machine)
        check_removable(machine, nic)
        request = {"nic": to_dict(nic_spec(nic)), "function_port": port_of(nic)}
        operation_id = await self._open(db, caller, machine, OperationKind.REMOVE_NIC, request, parent)
        await _check_unchanged(db, machine, nic)
        return operation_id, remove_plan(machine, nic)

    async def _change(
        self, db: Db, caller: Caller, system_id: str, change: NicToChange, parent: Parent | None
    ) -> tuple[int, NicPlan]:
        """The NIC has its row as it is until the guest has the new one; what that needs more is claimed now."""
        check_change(change)
        machine = await changeable(db, caller, system_id)
        nic = find_nic(machine, change.nic_id)
        check_listed(machine)
        found = await changed_nic(db, caller, machine, nic, change)
        request = {
            "nic": to_dict(found.spec), "before": to_dict(found.before), "nic_id": nic.id,
            "row": None if found.row is None else to_dict(found.row), "address": found.new_address,
            "function_port": found.new_port, "freed_port": found.freed_port,
        }  # fmt: skip
        operation_id = await self._open(db, caller, machine, OperationKind.CHANGE_NIC, request, parent)
        await _check_unchanged(db, machine, nic)
        if found.new_port is not None and machine.host_id is not None:
            await ledger.claim_function(db, machine.id, machine.host_id, found.new_port)
        if found.new_address is not None and found.row is not None and found.row.subnet_id is not None:
            await network_service.claim_static_address(
                db, subnet_id=found.row.subnet_id, address=found.new_address, machine_id=machine.id, nic_id=None
            )
        return operation_id, change_plan(machine, nic, found.spec, found.new_address)

    async def _open(
        self,
        db: Db,
        caller: Caller,
        machine: MachineView,
        kind: OperationKind,
        request: dict[str, object],
        parent: Parent | None,
    ) -> int:
        operation_id = await open_operation(
            db, kind, machine, self.installation_id, account_id=caller.account_id, request=request, parent=parent
        )
        await check_owner_is(db, machine)
        return operation_id


async def _check_unchanged(db: Db, machine: MachineView, nic: NicView) -> None:
    """The NIC was read before the operation was open: another one may have changed it."""
    if nic not in (await view_store.read(db, machine.system_id)).nics:
        raise Busy(f"The NICs of {machine.hostname} have just changed. Try again.")
