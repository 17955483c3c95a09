"""Opens changes of the order in which machines start with their host, or tells what they would change."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.boot import StartOrder
from common.errors import InvalidRequest
from common.phrases import number_of
from common.serialization import to_dict
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.model import MachineView, StartOrderPlan
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.operations.model import Operation, OperationKind


@frozen
class StartOrders:
    """Changes when machines start with their host. For administrators: it concerns the other machines of the host."""

    requests: HardwareRequests
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        *,
        priority: int | None,
        delay_s: int | None,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation that sets the order on the host; None leaves a value as it is.

        Raises NotFound, NotAllowed, InvalidRequest, Busy while another operation acts on the machine, and
        RackUnreachable with `need_rack`.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open(db, caller, system_id, priority, delay_s),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan(
        self, caller: Caller, system_id: str, *, priority: int | None, delay_s: int | None
    ) -> StartOrderPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""
        return await self.requests.plan(lambda db: self._open(db, caller, system_id, priority, delay_s))

    async def _open(
        self, db: Db, caller: Caller, system_id: str, priority: int | None, delay_s: int | None
    ) -> tuple[int, StartOrderPlan]:
        caller.require_admin()
        if priority is None and delay_s is None:
            raise InvalidRequest.of({"priority": ["Name the priority, the delay or both."]})
        machine = await changeable(db, caller, system_id)
        present = machine.boot.start_order or StartOrder()
        wanted = StartOrder(
            priority=present.priority if priority is None else priority,
            delay_s=present.delay_s if delay_s is None else delay_s,
        )
        operation_id = await open_operation(
            db, OperationKind.SET_START_ORDER, machine, self.installation_id, account_id=caller.account_id,
            request={
                "wanted": to_dict(wanted),
                "before": None if machine.boot.start_order is None else to_dict(machine.boot.start_order),
            },
        )  # fmt: skip
        await check_owner_is(db, machine)
        return operation_id, _plan(machine, wanted)


def _plan(machine: MachineView, wanted: StartOrder) -> StartOrderPlan:
    name = machine.hostname
    if wanted == machine.boot.start_order:
        return StartOrderPlan(name=name, effects=(f"{name} has this order already.",))
    effects = [
        f"When {machine.host_name} starts, {name} starts before VMs with a lower priority than {wanted.priority}, and "
        f"{number_of(wanted.delay_s, 'second')} pass before the next one."
    ]
    if machine.autostart_in_effect == "never":
        effects.append(f"It does not start with its host now: its autostart is {machine.autostart_in_effect}.")
    return StartOrderPlan(name=name, effects=tuple(effects))
