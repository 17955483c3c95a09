"""Sets the order in which a guest tries its devices: the operation's handler."""

from __future__ import annotations

from common.boot import BootDevice, BootOrder, BootOrders, order_text
from common.errors import InnkeeperError
from common.rpc.hardware_commands import HOST_SET_BOOT_ORDER, SetBootOrderCall
from regiond.db.pool import Db
from regiond.machines import boot_store
from regiond.machines.boot.model import is_as_always
from regiond.machines.steps import Target, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0


class SetBoot:
    """Changes the order on the host. One for the next start is only checked there: the start itself applies it."""

    kind = OperationKind.SET_BOOT

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, order = Target.of(operation), _order(operation.request["order"])
        once = bool(operation.request["once"])
        if once:
            await journal.step("check_boot_order", order=[one.value for one in order])
        else:
            await journal.step("set_boot_order", reaches_host=True, order=[one.value for one in order])
        orders = await set_order(self._calls, operation, target, order, check_only=once)
        return _for_one_start(operation, target, order, orders) if once else _recorded(operation, target, orders)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Gives the guest the order of before, if that was known; else the next refresh records what it has."""
        target, before = Target.of(operation), _order(operation.request["before"])
        orders = await restore_order(self._calls, operation, target, before, journal)
        if orders is None:
            return Outcome()

        async def record(db: Db) -> None:
            await boot_store.record_order(db, target.machine_id, orders)

        return Outcome(undone=("boot order as before",), record=record)


async def set_order(
    calls: HostCalls, operation: Operation, target: Target, order: BootOrder, *, check_only: bool = False
) -> BootOrders:
    """Returns what the guest boots from after the change, at once or from its next start on. Idempotent."""
    fence = fence_of(operation, str(target.spec.marker.machine_id))
    return await calls.call(
        target.host_id,
        HOST_SET_BOOT_ORDER,
        lambda access: SetBootOrderCall(
            access=access, guest=target.spec.ref, order=order, check_only=check_only, fence=fence
        ),
        deadline_s=DEADLINE_S,
    )


async def restore_order(
    calls: HostCalls, operation: Operation, target: Target, before: BootOrder, journal: Journal
) -> BootOrders | None:
    """Returns what the guest boots from again; None if its order was not known, not changed, or cannot be restored."""
    if not operation.reached_host or not before:
        return None
    await wait_for_command(calls, operation, target, journal)
    await journal.step("restore_boot_order", reaches_host=True, order=[one.value for one in before])
    try:
        return await set_order(calls, operation, target, before)
    except InnkeeperError as error:
        if error.retryable:
            raise
        return None


def _recorded(operation: Operation, target: Target, orders: BootOrders) -> Outcome:
    """The outcome of a change of all starts."""

    async def record(db: Db) -> None:
        await boot_store.record_order(db, target.machine_id, orders)
        when = " at its next start" if orders.runs else ""
        if orders.pending:
            when = " when Innkeeper next stops or starts it"
        lasting = order_text(orders.pending or orders.order)
        message = f"{operation.hostname} on {operation.host_name} boots from {lasting}{when}"
        await record_event(db, operation, "boot_order_set", message)

    lasting = [one.value for one in orders.pending or orders.order]
    return Outcome(result={"order": lasting, "is_pending": bool(orders.pending)}, record=record)


def _for_one_start(operation: Operation, target: Target, order: BootOrder, orders: BootOrders) -> Outcome:
    """The outcome of a request for one start. If all starts are so, what was pending for one start is cancelled."""
    usual = is_as_always(orders.pending or orders.order, order)

    async def record(db: Db) -> None:
        await boot_store.set_once(db, target.machine_id, () if usual else order, str(operation.id))
        when = "at all its starts" if usual else "first when Innkeeper next starts it, and only then"
        message = f"{operation.hostname} on {operation.host_name} boots from {order_text(order)} {when}"
        await record_event(db, operation, "boot_order_set", message)

    return Outcome(result={"order": [one.value for one in order], "is_pending": not usual}, record=record)


def _order(words: list[str]) -> BootOrder:
    return tuple(map(BootDevice, words))
