"""`machines/?op=bulk`: one operation that acts on many machines."""

from __future__ import annotations

from attrs import evolve

from regiond.api.declaration.dry_run import machine_plan_reply, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Result
from regiond.api.declaration.field_types import Choice, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.operation_wait import begun, started
from regiond.api.replies import Reply
from regiond.api.resources.machines.deployment import IMAGE_FIELDS
from regiond.api.resources.machines.machine_actions import RELEASE_OPTIONS, named_machines, release_options
from regiond.api.resources.machines.resize import SIZE_FIELDS
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.machines.model import (
    DEFAULT_AT_ONCE,
    DEFAULT_RELEASE,
    MAX_AT_ONCE,
    MAX_BULK_MACHINES,
    BulkAction,
    DeployRequest,
    ReleaseOptions,
    SizeRequest,
)

_DEPLOY_OPTIONS = IMAGE_FIELDS
_ACTIONS = tuple(action.value for action in BulkAction)


async def _start(call: Call) -> Reply:
    operation = await begun(call) or await call.services.bulk.start(
        call.caller,
        BulkAction(call.values["action"]),
        await named_machines(call),
        at_once=call.values["at_once"],
        comment=call.values["comment"],
        release=_release_options(call),
        deploy=_deploy_request(call),
        size=_size(call),
        idempotency_key=call.idempotency_key,
    )
    return started(operation)


async def _plan(call: Call) -> Reply:
    action = BulkAction(call.values["action"])
    plan = await call.services.bulk.plan(
        call.caller,
        action,
        await named_machines(call),
        release=_release_options(call),
        deploy=_deploy_request(call),
        size=_size(call),
    )
    return machine_plan_reply(plan)


def _release_options(call: Call) -> ReleaseOptions:
    return release_options(call) if call.values["action"] == BulkAction.RELEASE else DEFAULT_RELEASE


def _deploy_request(call: Call) -> DeployRequest:
    values = call.values
    if values["action"] != BulkAction.DEPLOY:
        return DeployRequest()
    return DeployRequest(
        osystem=values["osystem"], distro_series=values["distro_series"], encoded_user_data=values["user_data"]
    )


def _size(call: Call) -> SizeRequest:
    return SizeRequest(cores=call.values["cores"], memory_mib=call.values["memory"])


def _problems(call: Call) -> Problems:
    """Options of another action than the given one."""
    if "action" in call.invalid:
        return {}
    options = {BulkAction.RELEASE: RELEASE_OPTIONS, BulkAction.DEPLOY: _DEPLOY_OPTIONS, BulkAction.RESIZE: SIZE_FIELDS}
    return {
        one.name: [f"This is for the action {action}."]
        for action, fields in options.items()
        for one in fields
        if call.values["action"] != action and call.values[one.name]
    }


BULK = with_dry_run(
    Endpoint(
        method="POST",
        op="bulk",
        permission=Permission.OPERATOR,
        title="Act on many machines",
        doc=(
            "Opens one operation, and for each machine an operation with it as `parent_id`, a few at a time. The "
            "failure of one machine does not stop the others; the operation fails in the end if one of them has, and "
            "names it. Answers at once. A resize needs `cores`, `memory` or both; its dry run tells for each machine "
            "what changes now and what at the next start, or why it stays as it is. Who began an operation may cancel "
            "it: machines with which it has not begun are left."
        ),
        result=Result(doc="The operation, which has begun.", type=OPERATION_JSON),
        success=202,
        fields=(
            Field(
                "action",
                Choice(choices=_ACTIONS),
                f"One of {', '.join(_ACTIONS)}: as on one machine; power_off shuts down, by force after a timeout.",
                required=True,
                example="power_on",
            ),
            Field(
                "machines",
                TextList(max_length=64),
                f"System id or hostname; repeated, for at most {MAX_BULK_MACHINES}.",
                recorded=True,
                required=True,
                example=("wdpx3n",),
            ),
            Field(
                "at_once",
                Integer(minimum=1, maximum=MAX_AT_ONCE),
                f"With how many machines at the same time, 1 to {MAX_AT_ONCE} (default {DEFAULT_AT_ONCE}).",
                default=DEFAULT_AT_ONCE,
            ),
            Field(
                "comment",
                Text(max_length=4096),
                "The reason of a release or deployment; stored with the event of each machine.",
                recorded=True,
                default="",
            ),
            *(evolve(one, doc=f"Of a release. {one.doc}") for one in RELEASE_OPTIONS),
            *(evolve(one, doc=f"Of a deployment. {one.doc}", example=None) for one in _DEPLOY_OPTIONS),
            *(
                evolve(one, doc=f"Of a resize, the same on each machine. {one.doc}", example=None)
                for one in SIZE_FIELDS
            ),
        ),
        opens_operation=True,
        destructive=True,
        check=_problems,
        run=_start,
    ),
    _plan,
)
