"""Operations and their logs."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.api.declaration.serializer import (
    AS_TEXT,
    OBJECT,
    STR,
    Serializer,
    extended,
    fields_of,
    key,
    nullable,
    serializer,
)
from regiond.api.urls import operation_uri
from regiond.operations.model import LogLine, Operation


@frozen(kw_only=True)
class OperationWithLog:
    """An operation with its log. `wait_reason` is the known reason why it has not ended."""

    operation: Operation
    log: Sequence[LogLine]
    wait_reason: str | None = None


_ERROR: Serializer[Operation] = serializer(
    "OperationError",
    key("code", STR, lambda operation: operation.error_code or ""),
    key("message", STR, lambda operation: operation.error_message or ""),
    key("details", OBJECT, lambda operation: operation.error_details or {}),
)
OPERATION_JSON: Serializer[Operation] = serializer(
    "Operation",
    *fields_of(
        Operation,
        "id kind state host_id host_name system_id hostname parent_id username request result explanation step attempt",
        "failures max_failures cancel_requested",
        kind=AS_TEXT,
        state=AS_TEXT,
    ),
    key("error", nullable(_ERROR), lambda operation: None if operation.error_code is None else operation),
    *fields_of(Operation, "undone created_at started_at finished_at not_before rejections last_rejected_at"),
    key("resource_uri", STR, lambda operation: operation_uri(operation.id)),
)
_LOG_LINE: Serializer[LogLine] = serializer("LogLine", *fields_of(LogLine, "at attempt step message details"))
OPERATION_WITH_LOG_JSON: Serializer[OperationWithLog] = extended(
    "OperationWithLog",
    OPERATION_JSON,
    lambda read: read.operation,
    *fields_of(OperationWithLog, "wait_reason log", log=_LOG_LINE),
)
