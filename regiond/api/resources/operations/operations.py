"""`operations/` and `operations/{id}/`: changes on hosts, their progress and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from common.words.operation_kinds import OperationKind
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import CHANGE_DOC, PLAN, with_dry_run
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Integer, Text, TextList, Timestamp
from regiond.api.declaration.fields import Field
from regiond.api.declaration.list_page import Page
from regiond.api.declaration.log_page import LogPosition, log_fields, log_page
from regiond.api.declaration.request_cost import with_any_of
from regiond.api.declaration.served import serve, target
from regiond.api.resources.shared.lookups import HOST_FILTER, MACHINE_FILTER, past_host, past_machine
from regiond.api.serializers.operations import OPERATION_JSON, OPERATION_WITH_LOG_JSON, OperationWithLog
from regiond.api.services import Services
from regiond.api.urls import operation_id_in
from regiond.operations.model import Operation, OperationState
from regiond.requests.caller import Caller, Permission

_STATES = tuple(state.value for state in OperationState)
_KINDS = tuple(kind.value for kind in OperationKind)


class _Filters(TypedDict):
    states: tuple[str, ...]
    kinds: tuple[str, ...]
    host_id: int | None
    system_id: str | None
    parent_id: int | None
    username: str | None
    text: str
    since: datetime | None
    until: datetime | None
    caller: Caller


async def _find(services: Services, path: Mapping[str, str]) -> Operation:
    return await services.operations.read(operation_id_in(path["id"]), caller=services.caller)


async def _list(call: Call) -> Page[Operation]:
    operations, position = call.services.operations, LogPosition.of(call.values)
    filters = _Filters(
        states=call.values["state"],
        kinds=call.values["kind"],
        host_id=await past_host(call.services, call.values["host"]),
        system_id=await past_machine(call.services, call.values["machine"]),
        parent_id=call.values["parent"],
        username=call.values["user"] or None,
        text=call.values["q"],
        since=call.values["since"],
        until=call.values["until"],
        caller=call.caller,
    )
    found = await operations.list(
        **filters,
        limit=position.limit,
        before_id=position.before_id,
        after_id=position.after_id,
        oldest_first=position.oldest_first,
    )
    return await log_page(
        found, position, id_of=lambda one: one.id, count=lambda limit: operations.count(**filters, limit=limit)
    )


async def _read(call: Call) -> OperationWithLog:
    operation: Operation = call.target
    operations = call.services.operations
    return OperationWithLog(
        operation=operation,
        log=await operations.log(operation.id),
        wait_reason=await operations.wait_reason(operation, caller=call.caller),
    )


_cancel = serve(lambda s: s.operations.cancel, operation_id=target("id"))
_abandon_plan = serve(lambda s: s.operations.abandon_plan, operation_id=target("id"))
_abandon = serve(lambda s: s.operations.abandon, "comment", operation_id=target("id"))
_cancel_plan = serve(lambda s: s.operations.cancel_plan, operation_id=target("id"))

OPERATIONS = Resource(
    handler="OperationsHandler",
    path="operations/",
    doc="Operations: durable records of all changes on hosts.",
    endpoints=(
        crud.list_of(
            OPERATION_JSON,
            _list,
            title="List operations",
            fields=(
                Field(
                    "state",
                    TextList(choices=_STATES),
                    f"State of the operations; may be repeated. One of {', '.join(_STATES)}.",
                    default=(),
                ),
                Field(
                    "kind",
                    TextList(choices=_KINDS),
                    f"Kind of the operations; may be repeated. One of {', '.join(_KINDS)}.",
                    default=(),
                ),
                HOST_FILTER,
                MACHINE_FILTER,
                Field("user", Text(), "Only operations of this user.", default=""),
                Field("since", Timestamp(), "Only operations that were created at this time or later."),
                Field("until", Timestamp(), "Only operations that were created before this time."),
                Field(
                    "parent",
                    Integer(minimum=1, maximum=2**63 - 1),
                    "Only operations that this one opened, such as those of a bulk operation.",
                ),
                *log_fields("operations"),
                Field("q", Text(), "Only with this text in the name of the machine or host.", default=""),
            ),
            expensive=with_any_of("state", "kind", "host", "user", "since", "until", "q"),
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
            doc="Includes its log, the explanation of the placement, the error, and why it waits.",
            find=_find,
        ),
        with_dry_run(
            crud.action(
                "cancel",
                Result(doc="The operation.", type=OPERATION_JSON),
                _cancel,
                title="Cancel an operation",
                doc=(
                    "Undoes what can be undone, and also cancels the operations that it opened and that have not "
                    "started; its state is cancelled when that is complete. Machines that were deleted stay deleted: "
                    "undone and error name them. For administrators; of a bulk operation also for who began it."
                ),
                permission=Permission.USER,
                destructive=True,
                find=_find,
            ),
            crud.encoded_run(PLAN, _cancel_plan),
            result=PLAN,
        ),
        with_dry_run(
            crud.action(
                "abandon",
                Result(doc="The operation.", type=OPERATION_JSON),
                _abandon,
                title="Abandon an operation",
                doc=(
                    "Ends an operation whose undoing fails again and again, as it is: nothing more is undone, its "
                    "machine can be used again, and the next refresh of its host records what is there. Its error says "
                    "who abandoned it and why, and what is known of the host. Answers 409 for any other operation."
                ),
                permission=Permission.ADMIN,
                destructive=True,
                fields=(
                    Field(
                        "comment",
                        Text(max_length=255),
                        "Why; recorded with the operation. A dry run needs none.",
                        recorded=True,
                        default="",
                        example="the host was reinstalled",
                    ),
                ),
                find=_find,
            ),
            crud.encoded_run(PLAN, _abandon_plan),
            result=PLAN,
            doc=CHANGE_DOC,
        ),
    ),
)
RESOURCES = (OPERATIONS, OPERATION)
