"""`machines/{system_id}/?op=insert_iso` and `op=eject_iso`: the ISO image in the drive of a machine."""

from __future__ import annotations

from regiond.api.declaration.dry_run import with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import Serializer, fields_of, serializer
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.images.model import MAX_IMAGE_NAME
from regiond.machines.model import IsoPlan

ISO_PLAN_JSON: Serializer[IsoPlan] = serializer("IsoPlan", *fields_of(IsoPlan, "name effects"))
_PLAN = Result(doc="For a dry run: what would change, in sentences.", type=ISO_PLAN_JSON)
_PLAN_DOC = "Change nothing; answer 200 with what would change (default false)."


async def _insert(call: Call) -> Reply:
    operation = await call.services.iso_changes.start_insert(
        call.caller, call.target.system_id, call.values["image"], idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )  # fmt: skip
    return await when_done(call, operation, machine_now(call))


async def _plan_insert(call: Call) -> Reply:
    plan = await call.services.iso_changes.plan_insert(call.caller, call.target.system_id, call.values["image"])
    return json_reply(ISO_PLAN_JSON.encode(plan))


async def _eject(call: Call) -> Reply:
    operation = await call.services.iso_changes.start_eject(
        call.caller, call.target.system_id, idempotency_key=call.idempotency_key, need_rack=not call.respond_async
    )
    return await when_done(call, operation, machine_now(call))


async def _plan_eject(call: Call) -> Reply:
    return json_reply(
        ISO_PLAN_JSON.encode(await call.services.iso_changes.plan_eject(call.caller, call.target.system_id))
    )


OF_ONE = (
    with_dry_run(
        Endpoint(
            method="POST",
            op="insert_iso",
            permission=Permission.OWNER,
            title="Insert an ISO image into a machine",
            doc="The machine's host gets a copy of the image, unless it has one. A machine that runs has the image at "
            "once if its hypervisor can do that, else at its next start: next_iso shows that. It boots from the image "
            "only if its boot order says so (op=set_boot). 409 for hypervisors without ISO images, such as LXD 5.0.",
            fields=(
                Field(
                    "image",
                    Text(max_length=MAX_IMAGE_NAME),
                    "Name of an image of the type iso.",
                    recorded=True,
                    required=True,
                    example="custom/installer",
                ),
            ),
            opens_operation=True,
            other_answers=(STARTED,),
            result=MACHINE_RESULT,
            find=find_machine,
            run=_insert,
        ),
        _plan_insert,
        result=_PLAN,
        doc=_PLAN_DOC,
    ),
    with_dry_run(
        Endpoint(
            method="POST",
            op="eject_iso",
            permission=Permission.OWNER,
            title="Eject the ISO image of a machine",
            doc="Also while its system uses it. The host keeps its copy of the image for other machines.",
            opens_operation=True,
            other_answers=(STARTED,),
            result=MACHINE_RESULT,
            find=find_machine,
            run=_eject,
        ),
        _plan_eject,
        result=_PLAN,
        doc=_PLAN_DOC,
    ),
)
