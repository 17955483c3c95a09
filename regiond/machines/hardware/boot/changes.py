"""Sets the order in which a machine tries its devices when it boots."""

from __future__ import annotations

from attrs import frozen

from common.boot import BootDevice, BootOrder, BootOrders, order_text
from common.rpc.commands.hardware_commands import HOST_SET_BOOT_ORDER
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.core import boot_store
from regiond.machines.hardware.boot.model import boot_plan, check_has_devices, checked_order, is_as_always
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.requests import changeable
from regiond.machines.values.boot import BootPlan, BootToSet
from regiond.operations.handler import Outcome
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Request:
    order: tuple[BootDevice, ...]
    once: bool
    before: tuple[BootDevice, ...]


class SetBoot(HardwareChange[BootToSet, _Request, BootPlan]):
    """Changes the order on the host. One for the next start is only checked there: the start itself applies it.

    What the order leaves out is tried afterwards, as before.
    """

    kind = OperationKind.SET_BOOT
    Request = _Request
    asked = (BootToSet,)

    async def decide(self, db: Db, caller: Caller, system_id: str, asked: BootToSet) -> Decision[_Request, BootPlan]:
        """Raises InvalidRequest, and WrongState without such a device."""
        order = checked_order(asked.order)
        machine = await changeable(db, caller, system_id)
        check_has_devices(machine, order)
        return Decision(
            machine=machine,
            request=_Request(order=order, once=asked.once, before=machine.boot.lasting or ()),
            plan=boot_plan(machine, order, once=asked.once),
        )

    async def act(self, at: Attempt[_Request]) -> Outcome:
        order, once = at.request.order, at.request.once
        words = [one.value for one in order]
        await at.step("check_boot_order" if once else "set_boot_order", reaches_host=not once, order=words)
        orders = await at.call(HOST_SET_BOOT_ORDER, order=order, check_only=once)
        return _for_one_start(at, order, orders) if once else _for_all_starts(at, orders)

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Gives the guest the order of before, if that was known; else the next refresh records what it has."""
        before = at.request.before
        if not before or not at.reached_host:
            return Outcome()
        await at.step("restore_boot_order", order=[one.value for one in before])
        orders = await at.if_possible(at.call(HOST_SET_BOOT_ORDER, order=before, check_only=False))
        if orders is None:
            return Outcome()
        return Outcome(
            undone=("boot order as before",),
            record=lambda db: boot_store.record_order(db, at.target.machine_id, orders),
        )


def _for_all_starts(at: Attempt[_Request], orders: BootOrders) -> Outcome:
    lasting = orders.pending or orders.order
    when = " at its next start" if orders.runs else ""
    if orders.pending:
        when = " when Innkeeper next stops or starts it"
    return at.ended(
        lambda db: boot_store.record_order(db, at.target.machine_id, orders),
        event="boot_order_set",
        message=f"{at.where} boots from {order_text(lasting)}{when}",
        result={"order": [one.value for one in lasting], "is_pending": bool(orders.pending)},
    )


def _for_one_start(at: Attempt[_Request], order: BootOrder, orders: BootOrders) -> Outcome:
    """If all starts are so, what was pending for one start is cancelled."""
    usual = is_as_always(orders.pending or orders.order, order)
    when = "at all its starts" if usual else "first when Innkeeper next starts it, and only then"
    return at.ended(
        lambda db: boot_store.set_once(db, at.target.machine_id, () if usual else order, str(at.operation.id)),
        event="boot_order_set",
        message=f"{at.where} boots from {order_text(order)} {when}",
        result={"order": [one.value for one in order], "is_pending": not usual},
    )
