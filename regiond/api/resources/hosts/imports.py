"""`vm-hosts/{id}/?op=import`: a file of a VM becomes a new machine of the host."""

from __future__ import annotations

from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Integer, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.served import filled, given
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.shared.compose_fields import INTERFACES
from regiond.api.resources.shared.host_fields import GROUP, HOSTNAME
from regiond.api.resources.shared.lookups import find_compose_target
from regiond.api.serializers.deletion import DISK_PLAN_JSON
from regiond.api.serializers.machines import COMPOSED_JSON
from regiond.machines.values.requests import ImportRequest
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

_request = filled(ImportRequest, export_id=given("export"), host_id=lambda call: call.target.id)


async def _import(call: Call) -> Reply:
    operation = await call.services.machine_imports.start(
        call.caller, _request(call), idempotency_key=call.idempotency_key, need_rack=not call.respond_async
    )
    return await when_done(call, operation, _imported, announce=call.services.machines.announce)


async def _imported(operation: Operation) -> Reply:
    return json_reply(COMPOSED_JSON.encode(operation.system_id or ""))


async def _plan(call: Call) -> Reply:
    return json_reply(DISK_PLAN_JSON.encode(await call.services.machine_imports.plan(call.caller, _request(call))))


IMPORT = with_dry_run(
    Endpoint(
        method="POST",
        op="import",
        permission=Permission.OPERATOR,
        title="Import a file of a VM",
        doc="Makes a new machine, which belongs to the caller, of a file in exports/: an export, or an uploaded file. "
        "It has the hardware that the file describes, and its disks have the content of the file, whose hash is "
        "compared before anything is made. Quotas and capacity are checked as for compose.",
        fields=(
            Field("export", Integer(minimum=1), "Id of the file.", recorded=True, required=True, example=3),
            Field("hostname", HOSTNAME, "Unique hostname (default: that of the file).", recorded=True),
            Field(
                "storage_pool",
                Text(max_length=256),
                "Storage pool of the host for all disks (default: the host's default pool).",
                recorded=True,
                default="",
            ),
            Field(
                "interfaces",
                INTERFACES,
                "What the NICs are connected to, as for compose (default: the subnets and VLANs that the file names).",
                recorded=True,
                default="",
            ),
            Field("pool", GROUP, "Id or name of a resource pool (default: that of the host).", recorded=True),
            Field(
                "keep_mac_addresses",
                Boolean(),
                "Give the NICs the MAC addresses of the file, if nothing uses them (default false: new ones).",
                default=False,
            ),
            Field("power_on", Boolean(), "Power the machine on (default false).", default=False),
        ),
        result=Result(doc="The new machine.", type=COMPOSED_JSON),
        opens_operation=True,
        other_answers=(STARTED,),
        find=find_compose_target,
        run=_import,
    ),
    _plan,
    result=Result(doc="For a dry run: what would be made, in sentences.", type=DISK_PLAN_JSON),
    doc=CHANGE_DOC,
)
