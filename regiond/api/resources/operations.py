"""`operations/` and `operations/{id}/`: what was asked of hosts, how it goes, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import schemas, shapes
from regiond.api.encoding.operations import encode_log, encode_operation
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field, Integer, Text, TextList
from regiond.api.paths import operation_id_in
from regiond.api.replies import Reply, json_reply
from regiond.api.services import Services
from regiond.operations.model import Operation, OperationState

_STATES = tuple(state.value for state in OperationState)


async def _find(services: Services, path: Mapping[str, str]) -> Operation:
    return await services.operations.read(operation_id_in(path["id"]))


async def _list(call: Call) -> Reply:
    found = await call.services.operations.list(
        states=call.values["state"],
        host_id=call.values["host"],
        system_id=call.values["machine"],
        limit=call.values["limit"],
        before_id=call.values["before"],
    )
    return json_reply([encode_operation(operation) for operation in found])


async def _read(call: Call) -> Reply:
    operation: Operation = call.target
    log = encode_log(await call.services.operations.log(operation.id))
    return json_reply({**encode_operation(operation), "log": log})


async def _cancel(call: Call) -> Reply:
    operation: Operation = call.target
    return json_reply(encode_operation(await call.services.operations.cancel(call.caller, operation.id)))


OPERATIONS = Resource(
    handler="OperationsHandler",
    path="operations/",
    doc="Operations: everything that touches a host, as a durable record.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            fields=(
                Field(
                    name="state",
                    kind=TextList(choices=_STATES),
                    default=(),
                    doc=f"Only those in this state; may be repeated. One of {', '.join(_STATES)}.",
                ),
                Field(name="host", kind=Integer(), doc="Only those of the VM host with this id."),
                Field(name="machine", kind=Text(longest=64, blank=None), doc="Only those of the machine's system id."),
                Field(name="limit", kind=Integer(least=1, most=1000), default=100, doc="How many at most; 100."),
                Field(name="before", kind=Integer(least=1, most=2**63 - 1), doc="Only those with a lower id: a page."),
            ),
            title="List operations",
            doc="The newest first.",
            result=Result(doc="The operations.", schema=schemas.array(shapes.OPERATION)),
            run=_list,
        ),
    ),
)
OPERATION = Resource(
    handler="OperationHandler",
    path="operations/{id}/",
    doc="One operation.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read an operation",
            doc="With its log, the explanation of the placement, and what went wrong.",
            result=Result(doc="The operation.", schema=shapes.OPERATION_WITH_LOG),
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="POST",
            op="cancel",
            permission=Permission.ADMIN,
            title="Cancel an operation",
            doc="What it has done is undone first; its state says when that is over.",
            result=Result(doc="The operation.", schema=shapes.OPERATION),
            find=_find,
            run=_cancel,
        ),
    ),
)
RESOURCES = (OPERATIONS, OPERATION)
