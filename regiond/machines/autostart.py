"""Sets whether a machine's guest starts when its host starts: the operation and its handler."""

from __future__ import annotations

from uuid import UUID

from common.rpc.host_commands import HOST_SET_AUTOSTART, SetAutostartCall
from common.values import Autostart
from regiond.db.pool import Db
from regiond.machines.model import MachineView
from regiond.machines.operation_intents import open_operation
from regiond.machines.steps import Target, record_event
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0
_SET_DEFAULT = "update installation set autostart = $1 where autostart <> $1"
# The report of a discovery run that began earlier no longer counts.
_SETTLE = "update machine set settled_at = clock_timestamp() where id = $1"


async def set_default(db: Db, autostart: Autostart) -> None:
    """Stores the setting of the installation. Idempotent."""
    await db.execute(_SET_DEFAULT, autostart.value)


async def open_set_autostart(
    db: Db, machine: MachineView, installation_id: UUID, *, account_id: int | None = None
) -> int | None:
    """Returns the id of the operation that sets the machine's present autostart on the guest.

    None for an adopted machine without a setting of its own, whose guest is not changed. Raises as `open_operation`.
    """
    wanted = machine.autostart_in_effect
    if wanted is None:
        return None
    return await open_operation(
        db, OperationKind.SET_AUTOSTART, machine, installation_id, account_id=account_id,
        request={"autostart": wanted.value},
    )  # fmt: skip


class SetAutostart:
    """Sets autostart on the host. With LAST_STATE, libvirt's flag gets the value for the present power state."""

    kind = OperationKind.SET_AUTOSTART

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, autostart = Target.of(operation), Autostart(operation.request["autostart"])
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await journal.step("set_autostart", reaches_host=True, autostart=autostart.value)
        reply = await self._calls.call(
            target.host_id,
            HOST_SET_AUTOSTART,
            lambda access: SetAutostartCall(access=access, guest=target.spec.ref, autostart=autostart, fence=fence),
            deadline_s=DEADLINE_S,
        )

        async def record(db: Db) -> None:
            await db.execute(_SETTLE, target.machine_id)
            message = f"{operation.hostname}: autostart on {operation.host_name} was set to {autostart}"
            await record_event(db, operation, "autostart_set", message)

        return Outcome(result={"autostart": reply.reported.value}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Changes nothing: the reconciler compares the setting with the host's report."""
        return Outcome()
