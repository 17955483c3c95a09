"""Gives a NIC of the guest of a machine another network or MAC address: the operation's handler."""

from __future__ import annotations

from attrs import evolve, frozen

from common.errors import InnkeeperError, NotFound
from common.guest_spec import NicSpec
from common.serialization import from_dict
from common.values import Guest
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.ledger import service as ledger
from regiond.machines.nic_changes import store
from regiond.machines.nic_changes.steps import NicCalls, described, record_new_nics
from regiond.machines.steps import Target, find_guest, record_event, wait_for_command
from regiond.networks import service as network_service
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome
from regiond.racks.service import HostCalls


@frozen(kw_only=True)
class _Request:
    """The NIC before and after, and what was claimed for the change; see `ChangedNic`."""

    nic_id: int
    nic: NicSpec
    before: NicSpec
    row: store.NewNic | None
    address: str | None
    function_port: str | None
    freed_port: str | None

    @property
    def address_after(self) -> str | None:
        return None if self.nic.address is None else self.nic.address.address


class ChangeNic:
    """The row of the NIC is as before until the guest has the new one; what that needs more is claimed already."""

    kind = OperationKind.CHANGE_NIC

    def __init__(self, calls: HostCalls) -> None:
        self._calls = NicCalls(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), _request(operation)
        await journal.step("change_nic", reaches_host=True, mac_address=request.before.mac_address)
        await self._calls.change(operation, target, request.before.mac_address, request.nic)
        guest = await find_guest(self._calls.calls, target)

        async def record(db: Db) -> None:
            await _record(db, target, request, guest)
            message = f"{operation.hostname} on {operation.host_name} has the NIC {described(request.nic)}"
            await record_event(db, operation, "machine_nic_changed", f"{message} in the place of {_was(request)}")

        return Outcome(result={"mac_address": request.nic.mac_address, "name": request.nic.name}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Gives the guest the NIC of before. If that is not possible, the changed one is recorded."""
        target, request = Target.of(operation), _request(operation)
        if operation.reached_host:
            await wait_for_command(self._calls.calls, operation, target, journal)
            await journal.step("restore_nic", reaches_host=True)
            try:
                await self._calls.change(operation, target, request.nic.mac_address, request.before)
            except NotFound:
                pass
            except InnkeeperError as error:
                if error.retryable:
                    raise
                guest = await find_guest(self._calls.calls, target)
                if guest is not None and not _has(guest, request.before):
                    return Outcome(record=lambda db: self._stays(db, operation, target, request, guest))

        async def record(db: Db) -> None:
            await store.settle(db, target.machine_id)
            if request.address is not None:
                await network_service.keep_no_longer(db, target.machine_id, request.address)
            if request.function_port is not None:
                await ledger.free_function(db, target.machine_id, request.function_port)

        return Outcome(undone=(f"NIC {request.nic.name} not changed",), record=record)

    async def _stays(self, db: Db, operation: Operation, target: Target, request: _Request, guest: Guest) -> None:
        await _record(db, target, request, guest)
        message = (
            f"{operation.hostname} on {operation.host_name} keeps the NIC {described(request.nic)}: its host does not "
            f"give it {_was(request)} back"
        )
        await record_event(db, operation, "machine_nic_changed", message, level=Level.WARNING)


def _request(operation: Operation) -> _Request:
    keys = ("nic_id", "nic", "before", "row", "address", "function_port", "freed_port")
    return from_dict({key: operation.request[key] for key in keys}, _Request)


async def _record(db: Db, target: Target, request: _Request, guest: Guest | None) -> None:
    await record_new_nics(db, target, guest)
    mac_address = request.nic.mac_address
    if mac_address != request.before.mac_address and await store.is_used(db, mac_address):
        mac_address = request.before.mac_address  # another NIC was given it meanwhile: the next refresh shows it
    if request.row is None:
        await store.set_mac_address(db, request.nic_id, mac_address)
        return
    if request.freed_port is not None:
        await ledger.free_function(db, target.machine_id, request.freed_port)
    await network_service.replace_address(db, target.machine_id, request.nic_id, request.address_after)
    await store.replace(db, request.nic_id, evolve(request.row, mac_address=mac_address))


def _has(guest: Guest, nic: NicSpec) -> bool:
    return any(one.mac_address.lower() == nic.mac_address and one.source == nic.source for one in guest.nics)


def _was(request: _Request) -> str:
    before = request.before
    return f"{before.mac_address}{f' on {before.source}' if before.source else ''}"
