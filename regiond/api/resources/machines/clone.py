"""`machines/{system_id}/?op=clone`: composes a machine like another one, with copies of its disks."""

from __future__ import annotations

from regiond.api.declaration.dry_run import with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Integer, Text
from regiond.api.declaration.fields import Field, Format
from regiond.api.declaration.operation_wait import begun, started, when_done
from regiond.api.declaration.served import filled, given
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.hosts.placement import MOST_AT_ONCE, PLACED, placement_reply
from regiond.api.resources.shared.host_fields import GROUP, HOSTNAME
from regiond.api.resources.shared.lookups import find_machine
from regiond.api.serializers.machines import COMPOSED_JSON
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.machines.values.bulk import DEFAULT_AT_ONCE, MAX_AT_ONCE
from regiond.machines.values.clones import CloneRequest
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

_STARTED = Result(
    doc="With Prefer: respond-async, and for several clones: the operation, which has begun.", type=OPERATION_JSON
)
_request = filled(CloneRequest, memory_mib=given("memory"))


async def _clone(call: Call) -> Reply:
    if call.values["count"] > 1:
        several = await begun(call) or await call.services.bulk.start_clones(
            call.caller, call.target.system_id, _request(call), count=call.values["count"],
            at_once=call.values["at_once"], idempotency_key=call.idempotency_key,
        )  # fmt: skip
        return started(several)
    operation = await call.services.clones.start(
        call.caller, call.target.system_id, _request(call), idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )  # fmt: skip
    return await when_done(call, operation, _cloned, announce=call.services.machines.announce)


async def _cloned(operation: Operation) -> Reply:
    return json_reply(COMPOSED_JSON.encode(operation.system_id or ""))


async def _plan(call: Call) -> Reply:
    found = await call.services.clones.dry_run(
        call.caller, call.target.system_id, _request(call), count=call.values["count"]
    )
    return await placement_reply(call, found)


CLONE = with_dry_run(
    Endpoint(
        method="POST",
        op="clone",
        permission=Permission.OWNER,
        expensive=True,
        title="Clone a machine",
        doc=(
            "Composes a machine on the same host with copies of all disks of this one, which has to be off: nothing "
            "starts, changes or deletes it meanwhile. The clone has the same size unless another is given, the same "
            "firmware settings, tags and networks, and its own host name, MAC addresses and static addresses. It "
            "belongs to you, and is Allocated. A clone of a machine that Innkeeper has deployed is Deployed, and off: "
            "cloud-init gives it its host name, SSH host keys, your SSH keys and a new machine id at its first start. "
            "Answers after 8 s as compose does, unless the client prefers to wait. Several clones are one operation, "
            "which is answered at once, with an operation for each of them as its children, a few at a time; the "
            "failure of one does not stop the others."
        ),
        fields=(
            Field(
                "hostname",
                HOSTNAME,
                "Unique hostname (default: generated). Several of web are web-1, web-2 …; of web-7: web-7, web-8 …",
                recorded=True,
                example="web-2",
            ),
            Field(
                "count",
                Integer(minimum=1, maximum=MOST_AT_ONCE),
                f"Number of clones, at most {MOST_AT_ONCE} (default 1).",
                default=1,
                example=1,
            ),
            Field(
                "at_once",
                Integer(minimum=1, maximum=MAX_AT_ONCE),
                f"How many clones at the same time, 1 to {MAX_AT_ONCE} (default {DEFAULT_AT_ONCE}).",
                default=DEFAULT_AT_ONCE,
            ),
            Field("pool", GROUP, "Id or name of a resource pool (default: that of this machine).", recorded=True),
            Field("cores", Integer(minimum=1), "Number of cores (default: as this machine).", example=2),
            Field(
                "memory",
                Integer(minimum=1024, unit="MiB"),
                "Memory in MiB, at least 1024 (default: as this machine).",
                format=Format.MIB,
                example=4096,
            ),
            Field(
                "storage_pool",
                Text(max_length=256),
                "Storage pool of the host for all disks (default: each is in the pool of the disk that it copies).",
                recorded=True,
                default="",
                example="fast",
            ),
            Field("power_on", Boolean(), "Power the clone on (default false).", default=False),
        ),
        result=Result(doc="The id of the clone.", type=COMPOSED_JSON),
        opens_operation=True,
        other_answers=((202, _STARTED),),
        find=find_machine,
        run=_clone,
    ),
    _plan,
    result=PLACED,
    doc="Change nothing; answer 200 with the placement of the clone, or with why the host is rejected (default false).",
)
