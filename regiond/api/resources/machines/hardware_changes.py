"""Endpoints that change a disk or a NIC of a machine by an operation, with their dry runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Result
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import Serializer
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.api.services import Services
from regiond.caller import Caller
from regiond.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation

Change_contra = TypeVar("Change_contra", contravariant=True)
Plan_co = TypeVar("Plan_co", covariant=True)
C = TypeVar("C")
P = TypeVar("P")


class HardwareChanges(Protocol[Change_contra, Plan_co]):
    """Changes of one kind of hardware. A change is a value."""

    async def start(
        self,
        caller: Caller,
        system_id: str,
        change: Change_contra,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation: ...

    async def plan(self, caller: Caller, system_id: str, change: Change_contra) -> Plan_co: ...


def plan_result(plan: Serializer[P]) -> Result[P]:
    return Result(doc="For a dry run: what would change, in sentences.", type=plan)


def changing_hardware(
    changes: Callable[[Services], HardwareChanges[C, P]],
    plan: Serializer[P],
    op: str,
    change_of: Callable[[Call], C],
    *,
    title: str,
    doc: str,
    fields: tuple[Field, ...],
    destructive: bool = False,
) -> Endpoint:
    """POST with an op: opens the operation of the change that `change_of` reads, and answers with the changed machine.

    A dry run answers with the plan of the change, as `plan` encodes it.
    """

    async def start(call: Call) -> Reply:
        operation = await changes(call.services).start(
            call.caller, call.target.system_id, change_of(call), idempotency_key=call.idempotency_key,
            need_rack=not call.respond_async,
        )  # fmt: skip
        return await when_done(call, operation, machine_now(call))

    async def planned(call: Call) -> Reply:
        found = await changes(call.services).plan(call.caller, call.target.system_id, change_of(call))
        return json_reply(plan.encode(found))

    endpoint = Endpoint(
        method="POST",
        op=op,
        permission=Permission.OWNER,
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
    return with_dry_run(endpoint, planned, result=plan_result(plan), doc=CHANGE_DOC)
