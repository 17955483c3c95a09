"""Opens changes of what machines boot from, or tells what they would change."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from attrs import frozen

from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.machines.boot.model import boot_plan, check_has_devices, checked_order
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.model import BootPlan
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.operations.model import Operation, OperationKind, Parent


@frozen
class BootChanges:
    """Changes what machines boot from. Every operator of its pool may change a machine without owner."""

    requests: HardwareRequests
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        order: Sequence[str],
        *,
        once: bool,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation that sets the order: `disk` and `network`, of all starts, or of one with `once`.

        What `order` leaves out is tried afterwards, as before. Raises NotFound, NotAllowed, InvalidRequest, WrongState
        without such a device, Busy while another operation acts on the machine, and RackUnreachable with `need_rack`.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open(db, caller, system_id, order, once=once, parent=parent),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str, order: Sequence[str], *, once: bool) -> BootPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""
        return await self.requests.plan(lambda db: self._open(db, caller, system_id, order, once=once))

    async def _open(
        self,
        db: Db,
        caller: Caller,
        system_id: str,
        words: Sequence[str],
        *,
        once: bool,
        parent: Parent | None = None,
    ) -> tuple[int, BootPlan]:
        order = checked_order(words)
        machine = await changeable(db, caller, system_id)
        check_has_devices(machine, order)
        operation_id = await open_operation(
            db, OperationKind.SET_BOOT, machine, self.installation_id, account_id=caller.account_id, parent=parent,
            request={
                "order": [one.value for one in order], "once": once,
                "before": [one.value for one in machine.boot.lasting or ()],
            },
        )  # fmt: skip
        await check_owner_is(db, machine)
        return operation_id, boot_plan(machine, order, once=once)
