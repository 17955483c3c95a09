"""`machines/{system_id}/?op=set_start_order`: the order in which machines start with their host."""

from __future__ import annotations

from common.boot import MAX_START_DELAY_S, MAX_START_PRIORITY
from regiond.api.declaration.dry_run import with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Result
from regiond.api.declaration.field_types import Integer
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import Serializer, fields_of, serializer
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.machines.model import StartOrderPlan

START_ORDER_PLAN_JSON: Serializer[StartOrderPlan] = serializer(
    "StartOrderPlan", *fields_of(StartOrderPlan, "name effects")
)
_PLAN = Result(doc="For a dry run: what would change, in sentences.", type=START_ORDER_PLAN_JSON)


async def _set(call: Call) -> Reply:
    operation = await call.services.start_orders.start(
        call.caller, call.target.system_id, priority=call.values["priority"], delay_s=call.values["delay"],
        idempotency_key=call.idempotency_key, need_rack=not call.respond_async,
    )  # fmt: skip
    return await when_done(call, operation, machine_now(call))


async def _plan(call: Call) -> Reply:
    plan = await call.services.start_orders.plan(
        call.caller, call.target.system_id, priority=call.values["priority"], delay_s=call.values["delay"]
    )
    return json_reply(START_ORDER_PLAN_JSON.encode(plan))


SET_START_ORDER = with_dry_run(
    Endpoint(
        method="POST",
        op="set_start_order",
        permission=Permission.ADMIN,
        title="Set when a machine starts with its host",
        doc="Of the machines that start with a host (autostart), those with a higher priority start first. 409 for "
        "hypervisors that start their VMs in no order, such as libvirt.",
        fields=(
            Field(
                "priority",
                Integer(maximum=MAX_START_PRIORITY),
                "Higher ones start first (default: as it is; a new machine has 0).",
                example=10,
            ),
            Field(
                "delay",
                Integer(maximum=MAX_START_DELAY_S, unit="s"),
                "Seconds until the next machine starts (default: as it is; a new machine has 0).",
                example=30,
            ),
        ),
        opens_operation=True,
        other_answers=(STARTED,),
        result=MACHINE_RESULT,
        find=find_machine,
        run=_set,
    ),
    _plan,
    result=_PLAN,
    doc="Change nothing; answer 200 with what would change (default false).",
)
