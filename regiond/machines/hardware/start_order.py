"""The order in which the machines of a host start with it."""

from __future__ import annotations

from attrs import frozen

from common.boot import StartOrder
from common.errors import InvalidRequest
from common.rpc.commands.hardware_commands import HOST_SET_START_ORDER
from common.words.operation_kinds import OperationKind
from common.words.phrases import number_of
from regiond.db.pool import Db
from regiond.machines.core.settings_store import record_settings
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.requests import changeable
from regiond.machines.values.boot import ChangePlan
from regiond.machines.values.model import MachineView
from regiond.operations.handler import Outcome
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class StartOrderToSet:
    """A machine's place among those that start with its host. None leaves a value as it is; `delay` is in seconds."""

    priority: int | None = None
    delay: int | None = None


@frozen(kw_only=True)
class _Request:
    wanted: StartOrder
    before: StartOrder | None


class SetStartOrder(HardwareChange[StartOrderToSet, _Request, ChangePlan]):
    """A running guest does not notice. Administrators ask for it: it concerns the other machines of the host."""

    kind = OperationKind.SET_START_ORDER
    Request = _Request
    asked = (StartOrderToSet,)

    async def decide(
        self, db: Db, caller: Caller, system_id: str, asked: StartOrderToSet
    ) -> Decision[_Request, ChangePlan]:
        caller.require_admin()
        if asked == StartOrderToSet():
            raise InvalidRequest.of({"priority": ["Name the priority, the delay or both."]})
        machine = await changeable(db, caller, system_id)
        before = machine.settings.start_order
        present = before or StartOrder()
        wanted = StartOrder(
            priority=present.priority if asked.priority is None else asked.priority,
            delay_s=present.delay_s if asked.delay is None else asked.delay,
        )
        return Decision(machine=machine, request=_Request(wanted=wanted, before=before), plan=_plan(machine, wanted))

    async def act(self, at: Attempt[_Request]) -> Outcome:
        wanted = at.request.wanted
        await at.step("set_start_order", priority=wanted.priority, delay_s=wanted.delay_s)
        found = await at.call(HOST_SET_START_ORDER, order=wanted)
        return at.ended(
            lambda db: record_settings(db, at.target.machine_id, start_order=found),
            event="start_order_set",
            message=f"{at.operation.hostname} starts with {at.operation.host_name} by priority {found.priority}, "
            f"{number_of(found.delay_s, 'second')} before the next one",
            result={"priority": found.priority, "delay": found.delay_s},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Sets the order of before, if that was known."""
        before = at.request.before
        if before is None or not at.reached_host:
            return Outcome()
        await at.step("restore_start_order")
        found = await at.if_possible(at.call(HOST_SET_START_ORDER, order=before))
        if found is None:
            return Outcome()
        return Outcome(
            undone=("start order as before",),
            record=lambda db: record_settings(db, at.target.machine_id, start_order=found),
        )


def _plan(machine: MachineView, wanted: StartOrder) -> ChangePlan:
    name = machine.hostname
    if wanted == machine.settings.start_order:
        return ChangePlan(name=name, effects=(f"{name} has this order already.",))
    effects = [
        f"When {machine.host_name} starts, {name} starts before VMs with a lower priority than {wanted.priority}, and "
        f"{number_of(wanted.delay_s, 'second')} pass before the next one."
    ]
    if machine.autostart_in_effect == "never":
        effects.append(f"It does not start with its host now: its autostart is {machine.autostart_in_effect}.")
    return ChangePlan(name=name, effects=tuple(effects))
