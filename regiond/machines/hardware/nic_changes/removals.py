"""Takes NICs from machines; their addresses and virtual functions are free then."""

from __future__ import annotations

from attrs import frozen

from common.errors import InnkeeperError
from common.guests.guest_spec import NicSpec
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.machines.core.guest_spec import nic_spec
from regiond.machines.core.nics.model import find_nic
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.nic_changes import store
from regiond.machines.hardware.nic_changes.attachment import port_of
from regiond.machines.hardware.nic_changes.changing import attach, check_unchanged, described, detach, record_new_nics
from regiond.machines.hardware.nic_changes.model import check_listed, check_removable, remove_plan
from regiond.machines.hardware.requests import changeable
from regiond.machines.values.nics import NicPlan, NicToRemove
from regiond.operations.handler import Outcome
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Request:
    """`function_port` is the port whose virtual function the NIC has; None: none."""

    nic: NicSpec
    function_port: str | None


_NOT_REMOVED = Outcome(undone=("NIC not removed",))


class RemoveNic(HardwareChange[NicToRemove, _Request, NicPlan]):
    """The NIC has its row until the guest has given it back."""

    kind = OperationKind.REMOVE_NIC
    Request = _Request
    asked = (NicToRemove,)

    async def decide(self, db: Db, caller: Caller, system_id: str, asked: NicToRemove) -> Decision[_Request, NicPlan]:
        """Raises WrongState for a NIC that cannot be removed."""
        machine = await changeable(db, caller, system_id)
        nic = find_nic(machine, asked.nic_id)
        check_listed(machine)
        check_removable(machine, nic)
        return Decision(
            machine=machine, request=_Request(nic=nic_spec(nic), function_port=port_of(nic)),
            plan=remove_plan(machine, nic), claim=lambda db, _: check_unchanged(db, machine, nic),
        )  # fmt: skip

    async def act(self, at: Attempt[_Request]) -> Outcome:
        nic = at.request.nic
        await at.step("detach_nic", mac_address=nic.mac_address)
        await detach(at, nic)
        guest = await at.find_guest()

        async def record(db: Db) -> None:
            await record_new_nics(db, at, guest)
            await _remove(db, at)

        return at.ended(
            record,
            event="machine_nic_removed",
            message=f"{at.where} lost the NIC {described(nic)}",
            result={"mac_address": nic.mac_address, "name": nic.name},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Gives the guest its NIC again. If that is not possible, the NIC is removed."""
        nic = at.request.nic
        if not at.reached_host:
            return _NOT_REMOVED
        await at.step("attach_nic")
        try:
            await attach(at, nic)
        except InnkeeperError as error:
            if error.retryable:
                raise
            guest = await at.find_guest()
            if guest is None or any(one.mac_address.lower() == nic.mac_address for one in guest.nics):
                return _NOT_REMOVED
            return Outcome(record=lambda db: _lost(db, at))
        return Outcome(undone=_NOT_REMOVED.undone, record=lambda db: store.settle(db, at.target.machine_id))


async def _remove(db: Db, at: Attempt[_Request]) -> None:
    await store.remove_claimed(db, at.target.machine_id, at.request.nic.mac_address, at.request.function_port)


async def _lost(db: Db, at: Attempt[_Request]) -> None:
    await _remove(db, at)
    message = f"{at.where} could not get the NIC {described(at.request.nic)} back"
    await at.event(db, "machine_nic_removed", message, level=Level.WARNING)
