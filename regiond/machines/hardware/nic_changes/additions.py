"""Gives machines NICs. Addresses and virtual functions are claimed at once."""

from __future__ import annotations

from attrs import evolve, frozen

from common.errors import Busy, InnkeeperError, NotFound
from common.guests.guest_spec import NicSpec
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.ledger import growth
from regiond.machines.core.nics.model import checked_tags
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.nic_changes import store
from regiond.machines.hardware.nic_changes.attachment import attachment_of, new_row, new_spec
from regiond.machines.hardware.nic_changes.changing import attach, described, detach, record_new_nics
from regiond.machines.hardware.nic_changes.model import add_plan, check_addable, check_address_deliverable, requirement
from regiond.machines.hardware.requests import changeable
from regiond.machines.values.nics import NicPlan, NicToAdd
from regiond.networks.ipam import service as ipam_service
from regiond.operations.handler import Outcome
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Request:
    """`function_port` is the port whose virtual function was claimed; None: none."""

    nic: NicSpec
    function_port: str | None


class AddNic(HardwareChange[NicToAdd, _Request, NicPlan]):
    """The NIC has its row, and its claims, at once."""

    kind = OperationKind.ADD_NIC
    Request = _Request
    asked = (NicToAdd,)

    async def decide(self, db: Db, caller: Caller, system_id: str, asked: NicToAdd) -> Decision[_Request, NicPlan]:
        """Raises InvalidRequest, WrongState, and OutOfCapacity with the reason."""
        tags = checked_tags(asked.tags)
        machine = await changeable(db, caller, system_id)
        check_addable(machine)
        attachment = await attachment_of(db, caller, machine, requirement(machine, asked))
        check_address_deliverable(machine, attachment)
        spec = await new_spec(db, machine, asked, attachment)
        index = await store.next_index(db, machine.id)

        async def claim(db: Db, _: int) -> None:
            if await store.next_index(db, machine.id) != index:
                raise Busy(f"The NICs of {machine.hostname} have just changed. Try again.")
            if attachment.function_port is not None and machine.host_id is not None:
                await growth.claim_function(db, machine.id, machine.host_id, attachment.function_port)
            nic_id = await store.insert(db, new_row(machine, index, spec, attachment, tags))
            if attachment.ip is not None and attachment.subnet_id is not None:
                await ipam_service.claim_static_address(
                    db, subnet_id=attachment.subnet_id, address=attachment.ip, machine_id=machine.id, nic_id=nic_id
                )

        return Decision(
            machine=machine, request=_Request(nic=spec, function_port=attachment.function_port), claim=claim,
            plan=evolve(add_plan(machine, spec.name, attachment), function_port=attachment.function_port),
        )  # fmt: skip

    async def act(self, at: Attempt[_Request]) -> Outcome:
        nic = at.request.nic
        await at.step("attach_nic", mac_address=nic.mac_address)
        await attach(at, nic)
        guest = await at.find_guest()
        return at.ended(
            lambda db: record_new_nics(db, at, guest),
            event="machine_nic_added",
            message=f"{at.where} has the NIC {described(nic)}",
            result={"mac_address": nic.mac_address, "name": nic.name},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Takes the NIC from the guest again. If the guest does not give it back, it stays."""
        nic = at.request.nic
        if at.reached_host:
            await at.step("detach_nic")
            try:
                await detach(at, nic)
            except NotFound:
                pass
            except InnkeeperError as error:
                if error.retryable:
                    raise
                return Outcome(record=lambda db: _stays(db, at))
        return Outcome(
            undone=(f"NIC {nic.name} not added",),
            record=lambda db: store.remove_claimed(db, at.target.machine_id, nic.mac_address, at.request.function_port),
        )


async def _stays(db: Db, at: Attempt[_Request]) -> None:
    await store.settle(db, at.target.machine_id)
    message = f"{at.where} keeps the NIC {described(at.request.nic)}: its guest does not give it back"
    await at.event(db, "machine_nic_added", message, level=Level.WARNING)
