"""Sets whether a machine's guest starts when its host starts: the operation and its handler."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.rpc.commands.host_commands import HOST_SET_AUTOSTART
from common.values import Autostart
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.core.operation_intents import open_operation
from regiond.machines.hardware.change import Attempt, ChangeHandler
from regiond.machines.values.model import MachineView
from regiond.operations.handler import Outcome

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
        request=_Request(autostart=wanted),
    )  # fmt: skip


@frozen(kw_only=True)
class _Request:
    autostart: Autostart


class SetAutostart(ChangeHandler[_Request]):
    """Sets autostart on the host. With LAST_STATE, libvirt's flag gets the value for the present power state.

    Others open its operation, in the transactions that change the setting.
    """

    kind = OperationKind.SET_AUTOSTART
    Request = _Request
    undoes_on_host = False

    async def act(self, at: Attempt[_Request]) -> Outcome:
        autostart = at.request.autostart
        await at.step("set_autostart", autostart=autostart.value)
        reply = await at.call(HOST_SET_AUTOSTART, autostart=autostart)

        async def record(db: Db) -> None:
            await db.execute(_SETTLE, at.target.machine_id)

        return at.ended(
            record,
            event="autostart_set",
            message=f"{at.operation.hostname}: autostart on {at.operation.host_name} was set to {autostart}",
            result={"autostart": reply.reported.value},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Changes nothing: the reconciler compares the setting with the host's report."""
        return Outcome()
