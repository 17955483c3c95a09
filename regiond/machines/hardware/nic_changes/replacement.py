"""Gives NICs of machines another network or MAC address."""

from __future__ import annotations

from attrs import evolve, frozen

from common.errors import InnkeeperError, NotFound
from common.guests.guest_spec import NicSpec
from common.rpc.commands.hardware_commands import HOST_CHANGE_NIC
from common.values import Guest
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.ledger import growth
from regiond.machines.core.nics.model import find_nic
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.nic_changes import store
from regiond.machines.hardware.nic_changes.attachment import changed_nic
from regiond.machines.hardware.nic_changes.changing import check_unchanged, described, record_new_nics
from regiond.machines.hardware.nic_changes.model import change_plan, check_change, check_listed
from regiond.machines.hardware.requests import changeable
from regiond.machines.values.nics import NicPlan, NicToChange
from regiond.networks.ipam import link_store
from regiond.networks.ipam import service as ipam_service
from regiond.operations.handler import Outcome
from regiond.requests.caller import Caller


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

    @property
    def was(self) -> str:
        return f"{self.before.mac_address}{f' on {self.before.source}' if self.before.source else ''}"


_At = Attempt[_Request]


class ChangeNic(HardwareChange[NicToChange, _Request, NicPlan]):
    """The row of the NIC is as before until the guest has the new one; what that needs more is claimed already."""

    kind = OperationKind.CHANGE_NIC
    Request = _Request
    asked = (NicToChange,)

    async def decide(self, db: Db, caller: Caller, system_id: str, asked: NicToChange) -> Decision[_Request, NicPlan]:
        """Raises InvalidRequest, WrongState, and OutOfCapacity with the reason."""
        check_change(asked)
        machine = await changeable(db, caller, system_id)
        nic = find_nic(machine, asked.nic_id)
        check_listed(machine)
        found = await changed_nic(db, caller, machine, nic, asked)
        request = _Request(
            nic=found.spec, before=found.before, nic_id=nic.id, row=found.row, address=found.new_address,
            function_port=found.new_port, freed_port=found.freed_port,
        )  # fmt: skip

        async def claim(db: Db, _: int) -> None:
            await check_unchanged(db, machine, nic)
            if found.new_port is not None and machine.host_id is not None:
                await growth.claim_function(db, machine.id, machine.host_id, found.new_port)
            if found.new_address is not None and found.row is not None and found.row.subnet_id is not None:
                await ipam_service.claim_static_address(
                    db, subnet_id=found.row.subnet_id, address=found.new_address, machine_id=machine.id, nic_id=None
                )

        plan = change_plan(machine, nic, found.spec, found.new_address)
        return Decision(machine=machine, request=request, plan=plan, claim=claim)

    async def act(self, at: _At) -> Outcome:
        request = at.request
        await at.step("change_nic", mac_address=request.before.mac_address)
        await _replace(at, request.before.mac_address, request.nic)
        guest = await at.find_guest()
        return at.ended(
            lambda db: _record(db, at, guest),
            event="machine_nic_changed",
            message=f"{at.where} has the NIC {described(request.nic)} in the place of {request.was}",
            result={"mac_address": request.nic.mac_address, "name": request.nic.name},
        )

    async def restore(self, at: _At) -> Outcome:
        """Gives the guest the NIC of before. If that is not possible, the changed one is recorded."""
        request, machine_id = at.request, at.target.machine_id
        if at.reached_host:
            await at.step("restore_nic")
            try:
                await _replace(at, request.nic.mac_address, request.before)
            except NotFound:
                pass
            except InnkeeperError as error:
                if error.retryable:
                    raise
                guest = await at.find_guest()
                if guest is not None and not _has(guest, request.before):
                    return Outcome(record=lambda db: _stays(db, at, guest))

        async def record(db: Db) -> None:
            await store.settle(db, machine_id)
            if request.address is not None:
                await link_store.keep_no_longer(db, machine_id, request.address)
            if request.function_port is not None:
                await growth.free_function(db, machine_id, request.function_port)

        return Outcome(undone=(f"NIC {request.nic.name} not changed",), record=record)


async def _replace(at: _At, mac_address: str, nic: NicSpec) -> None:
    """Puts `nic` in the place of the NIC with this MAC address."""
    await at.call(HOST_CHANGE_NIC, mac_address=mac_address, nic=nic)


async def _stays(db: Db, at: _At, guest: Guest) -> None:
    await _record(db, at, guest)
    message = (
        f"{at.where} keeps the NIC {described(at.request.nic)}: its host does not give it {at.request.was} back"
    )  # fmt: skip
    await at.event(db, "machine_nic_changed", message, level=Level.WARNING)


async def _record(db: Db, at: _At, guest: Guest | None) -> None:
    request, machine_id = at.request, at.target.machine_id
    await record_new_nics(db, at, guest)
    mac_address = request.nic.mac_address
    if mac_address != request.before.mac_address and await store.is_used(db, mac_address):
        mac_address = request.before.mac_address  # another NIC was given it meanwhile: the next refresh shows it
    if request.row is None:
        await store.set_mac_address(db, request.nic_id, mac_address)
        return
    if request.freed_port is not None:
        await growth.free_function(db, machine_id, request.freed_port)
    await link_store.replace_address(db, machine_id, request.nic_id, request.address_after)
    await store.replace(db, request.nic_id, evolve(request.row, mac_address=mac_address))


def _has(guest: Guest, nic: NicSpec) -> bool:
    return any(one.mac_address.lower() == nic.mac_address and one.source == nic.source for one in guest.nics)
