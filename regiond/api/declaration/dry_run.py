"""Dry runs of calls that delete: the field, and the answer with what goes and what stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve

from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean
from regiond.api.declaration.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.serializers.deletion import DELETION_PLAN_JSON, MACHINE_REMOVAL_PLAN_JSON
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan
from regiond.requests.deletion_plan import DeletionPlan

DRY_RUN = Field(
    "dry_run",
    Boolean(),
    "Change nothing; answer 200 with what would be deleted and kept (default false).",
    default=False,
)
_PLAN_DOC = "For a dry run: what would be deleted and kept."
CHANGE_DOC = "Change nothing; answer 200 with what would change (default false)."
PLAN: Result[DeletionPlan] = Result(doc=_PLAN_DOC, type=DELETION_PLAN_JSON)
MACHINE_PLAN: Result[MachineRemovalPlan] = Result(doc=_PLAN_DOC, type=MACHINE_REMOVAL_PLAN_JSON)


def is_dry_run(call: Call) -> bool:
    wanted: bool = call.values["dry_run"]
    return wanted


def machine_plan_reply(plan: MachineRemovalPlan) -> Reply:
    return json_reply(MACHINE_REMOVAL_PLAN_JSON.encode(plan))


def plan_reply(plan: DeletionPlan) -> Reply:
    return json_reply(DELETION_PLAN_JSON.encode(plan))


def with_dry_run(
    endpoint: Endpoint,
    plan: Callable[[Call], Awaitable[Reply]],
    *,
    result: Result[Any] = MACHINE_PLAN,
    doc: str = DRY_RUN.doc,
) -> Endpoint:
    """Returns the endpoint with the field `dry_run` of that `doc`, with which it answers what `plan` answers.

    `result` describes that answer.
    """

    async def run(call: Call) -> Reply:
        return await (plan if is_dry_run(call) else endpoint.run)(call)

    return evolve(
        endpoint,
        fields=(*endpoint.fields, evolve(DRY_RUN, doc=doc)),
        other_answers=(*endpoint.other_answers, (200, result)),
        run=run,
    )


def deleting(run: Callable[[Call], Awaitable[DeletionPlan]]) -> Callable[[Call], Awaitable[Reply]]:
    """Answers 204 after `run`, which changes nothing in a dry run; then `PLAN`."""

    async def reply(call: Call) -> Reply:
        plan = await run(call)
        return plan_reply(plan) if is_dry_run(call) else empty_reply()

    return reply
