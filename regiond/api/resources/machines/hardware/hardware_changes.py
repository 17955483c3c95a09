"""Endpoints that change the hardware of a machine by an operation, with their dry runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import Serializer, fields_of, serializer
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.machines.values.boot import ChangePlan
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

P = TypeVar("P")

PLAN_IN_SENTENCES = "For a dry run: what would change, in sentences."


def plan_result(plan: Serializer[P]) -> Result[P]:
    return Result(doc=PLAN_IN_SENTENCES, type=plan)


def in_sentences(name: str) -> Serializer[ChangePlan]:
    """Returns the serializer of a plan in sentences; `name` is that of its schema."""
    return serializer(name, *fields_of(ChangePlan, "name effects"))


async def begun(call: Call, system_id: str, asked: object) -> Operation:
    """Returns the operation of the change that is asked for. Raises as `HardwareChange.start`."""
    return await call.services.hardware.start(
        call.caller, system_id, asked, idempotency_key=call.idempotency_key, need_rack=not call.respond_async
    )


def changing_hardware(
    plan: Serializer[P],
    op: str,
    asked_in: Callable[[Call], object],
    *,
    title: str,
    doc: str,
    fields: tuple[Field, ...] = (),
    permission: Permission = Permission.OWNER,
    destructive: bool = False,
    plan_doc: str = PLAN_IN_SENTENCES,
    dry_run_doc: str = CHANGE_DOC,
) -> Endpoint:
    """POST with an op: opens the operation of the change that `asked_in` reads, and answers with the changed machine.

    A dry run answers with the plan of the change, as `plan` encodes it.
    """

    async def start(call: Call) -> Reply:
        return await when_done(call, await begun(call, call.target.system_id, asked_in(call)), machine_now(call))

    async def planned(call: Call) -> Reply:
        found = await call.services.hardware.plan(call.caller, call.target.system_id, asked_in(call))
        return json_reply(plan.encode(found))

    endpoint = Endpoint(
        method="POST",
        op=op,
        permission=permission,
        title=title,
        doc=doc,
        fields=fields,
        destructive=destructive,
        opens_operation=True,
        other_answers=(STARTED,),
        result=MACHINE_RESULT,
        find=find_machine,
        run=start,
    )
    return with_dry_run(endpoint, planned, result=Result(doc=plan_doc, type=plan), doc=dry_run_doc)
