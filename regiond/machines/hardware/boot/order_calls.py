"""Sets the order in which a guest tries its devices, as a step of other operations."""

from __future__ import annotations

from common.boot import BootOrder, BootOrders
from common.errors import InnkeeperError
from common.rpc.commands.hardware_commands import HOST_SET_BOOT_ORDER, SetBootOrderCall
from regiond.machines.core.steps import Target, wait_for_command
from regiond.operations.handler import Journal, fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

DEADLINE_S = 60.0


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
