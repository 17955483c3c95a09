"""`machines/{system_id}/?op=rebuild`: deploys a machine that has a system again, and keeps its data disks."""

from __future__ import annotations

from attrs import evolve

from regiond.api.declaration.dry_run import with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint
from regiond.api.declaration.field_types import Boolean
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, answer_of, when_done
from regiond.api.declaration.served import filled, given
from regiond.api.replies import Reply, with_warnings
from regiond.api.resources.machines.deployment import DISTRO_SERIES, OSYSTEM, USER_DATA_FIELD, login_warnings
from regiond.api.resources.machines.hardware.disk_changes import PLAN, plan_reply
from regiond.api.resources.machines.machine_actions import COMMENT, MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.machines.values.requests import DeployRequest
from regiond.requests.caller import Permission

_request = filled(DeployRequest, encoded_user_data=given("user_data"), rebuild=lambda _: True)


async def _rebuild(call: Call) -> Reply:
    operation = await call.services.deployments.start(
        call.caller, call.target.system_id, _request(call), idempotency_key=call.idempotency_key
    )
    encode = machine_now(call)
    reply = await (when_done(call, operation, encode) if call.respond_async else answer_of(operation, encode))
    return with_warnings(reply, await login_warnings(call, call.target))


async def _plan(call: Call) -> Reply:
    return plan_reply(await call.services.deployments.rebuild_plan(call.caller, call.target.system_id, _request(call)))


REBUILD = with_dry_run(
    Endpoint(
        method="POST",
        op="rebuild",
        permission=Permission.OWNER,
        title="Deploy a deployed machine again",
        doc=(
            "Writes an image to the root disk of a machine that is Deployed or Failed deployment, and starts it as "
            "deploy does: all data on the root disk are lost. The other disks keep their content, and NICs, addresses, "
            "name and owner stay. The machine runs until its host has the image, and shuts down then. If the rebuild "
            "fails or is aborted before that, the machine is Deployed with what it had. Answers at once: the machine "
            "is Deploying."
        ),
        fields=(
            evolve(
                DISTRO_SERIES,
                doc="The image: noble, ubuntu/noble or custom/NAME. Default: the one that the machine was deployed "
                "with.",
            ),
            OSYSTEM,
            USER_DATA_FIELD,
            Field(
                "force",
                Boolean(),
                "Powers the machine off at once. Otherwise it has 30 s to shut down (a setting of the region).",
                default=False,
            ),
            COMMENT,
        ),
        destructive=True,
        result=MACHINE_RESULT,
        opens_operation=True,
        other_answers=(STARTED,),
        find=find_machine,
        run=_rebuild,
    ),
    _plan,
    result=PLAN,
    doc="Change nothing; answer 200 with what would be lost and kept (default false).",
)
