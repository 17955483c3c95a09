"""`operations/` and `operations/{id}/`: changes on hosts, their progress and outcome."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import crud
from regiond.api.endpoint import Call, Resource, Result
from regiond.api.field_types import Integer, Text, TextList
from regiond.api.fields import Field
from regiond.api.serializers.operations import OPERATION_JSON, OPERATION_WITH_LOG_JSON, OperationWithLog
from regiond.api.services import Services
from regiond.api.urls import operation_id_in
from regiond.operations.model import Operation, OperationState

_STATES = tuple(state.value for state in OperationState)


async def _find(services: Services, path: Mapping[str, str]) -> Operation:
    return await services.operations.read(operation_id_in(path["id"]))


async def _list(call: Call) -> tuple[Operation, ...]:
    return await call.services.operations.list(
        states=call.values["state"],
        host_id=call.values["host"],
        system_id=call.values["machine"],
        limit=call.values["limit"],
        before_id=call.values["before"],
    )


async def _read(call: Call) -> OperationWithLog:
    operation: Operation = call.target
    return OperationWithLog(operation=operation, log=await call.services.operations.log(operation.id))


async def _cancel(call: Call) -> Operation:
    return await call.services.operations.cancel(call.caller, call.target.id)


OPERATIONS = Resource(
    handler="OperationsHandler",
    path="operations/",
    doc="Operations: durable records of all changes on hosts.",
    endpoints=(
        crud.list_of(
            OPERATION_JSON,
            _list,
            title="List operations",
            doc="Newest first.",
            fields=(
                Field(
                    name="state",
                    type=TextList(choices=_STATES),
                    default=(),
                    doc=f"State of the operations; may be repeated. One of {', '.join(_STATES)}.",
                ),
                Field(name="host", type=Integer(), doc="Id of a VM host."),
                Field(name="machine", type=Text(max_length=64, blank=None), doc="System id of a machine."),
                Field(
                    name="limit",
                    type=Integer(minimum=1, maximum=1000),
                    default=100,
                    doc="Maximum number of operations (default 100).",
                ),
                Field(
                    name="before",
                    type=Integer(minimum=1, maximum=2**63 - 1),
                    doc="Only operations with a lower id, for the next page.",
                ),
            ),
            result="The operations.",
        ),
    ),
)
OPERATION = Resource(
    handler="OperationHandler",
    path="operations/{id}/",
    doc="One operation.",
    endpoints=(
        crud.read(
            Result(doc="The operation.", type=OPERATION_WITH_LOG_JSON),
            _read,
            title="Read an operation",
            doc="Includes its log, the explanation of the placement and the error.",
            find=_find,
        ),
        crud.action(
            "cancel",
            Result(doc="The operation.", type=OPERATION_JSON),
            _cancel,
            title="Cancel an operation",
            doc=(
                "Undoes what can be undone, and also cancels the operations that it opened and that have not started; "
                "its state is cancelled when that is complete. Machines that were deleted stay deleted: undone and "
                "error name them."
            ),
            destructive=True,
            find=_find,
        ),
    ),
)
RESOURCES = (OPERATIONS, OPERATION)
