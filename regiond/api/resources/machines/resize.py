"""`machines/{system_id}/?op=resize`: changes the cores and memory of a machine."""

from __future__ import annotations

from regiond.api.declaration.dry_run import with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Result
from regiond.api.declaration.field_types import Integer
from regiond.api.declaration.fields import Field, Format
from regiond.api.declaration.operation_wait import STARTED, soon
from regiond.api.declaration.serializer import Serializer, enum, fields_of, key, serializer
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.machines.model import MAX_CORES, Amount, MachineView, ResizePlan, Takes

_AMOUNT: Serializer[Amount] = serializer(
    "ResizedAmount", *fields_of(Amount, "now wanted"), key("takes_effect", enum(Takes), lambda one: one.takes_effect)
)
RESIZE_PLAN_JSON: Serializer[ResizePlan] = serializer(
    "ResizePlan", *fields_of(ResizePlan, "name cores memory=memory_mib effects", cores=_AMOUNT, memory=_AMOUNT)
)
_PLAN = Result(doc="For a dry run: what would change, and when.", type=RESIZE_PLAN_JSON)
SIZE_FIELDS = (
    Field("cores", Integer(minimum=1, maximum=MAX_CORES), "Number of cores (default: as it is).", example=4),
    Field(
        "memory",
        Integer(minimum=1024, unit="MiB"),
        "Memory in MiB, at least 1024 (default: as it is).",
        format=Format.MIB,
        example=8192,
    ),
)


async def _resize(call: Call) -> Reply:
    machine: MachineView = call.target
    operation = await call.services.resizes.start(
        call.caller,
        machine.system_id,
        cores=call.values["cores"],
        memory_mib=call.values["memory"],
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )
    return await soon(call, operation, machine_now(call))


async def _plan(call: Call) -> Reply:
    plan = await call.services.resizes.plan(
        call.caller, call.target.system_id, cores=call.values["cores"], memory_mib=call.values["memory"]
    )
    return json_reply(RESIZE_PLAN_JSON.encode(plan))


RESIZE = with_dry_run(
    Endpoint(
        method="POST",
        op="resize",
        permission=Permission.OPERATOR,
        title="Change the cores and memory of a machine",
        doc="A machine that is off gets the new size at once. Of one that runs, what its hypervisor cannot change now "
        "is pending: the machine shows it, claims it, and gets it when Innkeeper next starts it. Memory is never taken "
        "from a VM that runs. With the present size, what was pending is cancelled.",
        fields=SIZE_FIELDS,
        opens_operation=True,
        other_answers=(STARTED,),
        result=MACHINE_RESULT,
        find=find_machine,
        run=_resize,
    ),
    _plan,
    result=_PLAN,
    doc="Change nothing; answer 200 with what would change now, and what at the next start (default false).",
)
