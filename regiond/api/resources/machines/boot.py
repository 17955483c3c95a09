"""`machines/{system_id}/?op=set_boot`: sets the order in which a machine tries its disks and the network."""

from __future__ import annotations

from common.boot import BootDevice
from regiond.api.declaration.dry_run import with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Result
from regiond.api.declaration.field_types import Boolean, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import BOOL, Serializer, enum, fields_of, key, serializer
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.machines.model import BootPlan, MachineView, Takes

BOOT_PLAN_JSON: Serializer[BootPlan] = serializer(
    "BootPlan",
    *fields_of(BootPlan, "name order", order=enum(BootDevice)),
    key("once", BOOL, lambda plan: plan.once),
    key("takes_effect", enum(Takes), lambda plan: plan.takes_effect),
    *fields_of(BootPlan, "effects"),
)
_PLAN = Result(doc="For a dry run: what would change, and when.", type=BOOT_PLAN_JSON)
BOOT_FIELDS = (
    Field(
        "order",
        TextList(choices=tuple(one.value for one in BootDevice), commas=True, max_items=len(BootDevice)),
        "What the machine tries first, in order, separated by commas; what is left out follows as before.",
        required=True,
        example="network,disk",
    ),
    Field(
        "once",
        Boolean(),
        "Only when Innkeeper next starts the machine (default false).",
        default=False,
        example=True,
    ),
)


async def _set_boot(call: Call) -> Reply:
    machine: MachineView = call.target
    operation = await call.services.boot_changes.start(
        call.caller,
        machine.system_id,
        call.values["order"],
        once=call.values["once"],
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )
    return await when_done(call, operation, machine_now(call))


async def _plan(call: Call) -> Reply:
    plan = await call.services.boot_changes.plan(
        call.caller, call.target.system_id, call.values["order"], once=call.values["once"]
    )
    return json_reply(BOOT_PLAN_JSON.encode(plan))


SET_BOOT = with_dry_run(
    Endpoint(
        method="POST",
        op="set_boot",
        permission=Permission.OWNER,
        title="Set what a machine boots from",
        doc="A machine that runs is not disturbed, and boots so from its next start on. If its hypervisor cannot "
        "change a running VM, the order is pending: the machine shows it, and Innkeeper makes the change when it next "
        "stops or starts the VM. With `once`, only the next start by Innkeeper is in this order, and the machine "
        "shows that until then; an order that the machine has anyway cancels it.",
        fields=BOOT_FIELDS,
        opens_operation=True,
        other_answers=(STARTED,),
        result=MACHINE_RESULT,
        find=find_machine,
        run=_set_boot,
    ),
    _plan,
    result=_PLAN,
    doc="Change nothing; answer 200 with what would change, and when (default false).",
)
