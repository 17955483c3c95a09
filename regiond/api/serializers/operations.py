"""Operations and their logs."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    OBJECT,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    extended,
    key,
    nullable,
    serializer,
)
from regiond.api.urls import operation_uri
from regiond.operations.model import LogLine, Operation


@frozen(kw_only=True)
class OperationWithLog:
    """`wait_reason`: why it has not ended, if that is known."""

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
    key("id", INT, lambda operation: operation.id),
    key("kind", STR, lambda operation: operation.kind.value),
    key("state", STR, lambda operation: operation.state.value),
    key("host_id", nullable(INT), lambda operation: operation.host_id),
    key("host_name", nullable(STR), lambda operation: operation.host_name),
    key("system_id", nullable(STR), lambda operation: operation.system_id),
    key("hostname", nullable(STR), lambda operation: operation.hostname),
    key("parent_id", nullable(INT), lambda operation: operation.parent_id),
    key("username", nullable(STR), lambda operation: operation.username),
    key("request", OBJECT, lambda operation: operation.request),
    key("result", OBJECT, lambda operation: operation.result),
    key("explanation", nullable(OBJECT), lambda operation: operation.explanation),
    key("step", nullable(STR), lambda operation: operation.step),
    key("attempt", INT, lambda operation: operation.attempt),
    key("failures", INT, lambda operation: operation.failures),
    key("max_failures", INT, lambda operation: operation.max_failures),
    key("cancel_requested", BOOL, lambda operation: operation.cancel_requested),
    key("error", nullable(_ERROR), lambda operation: None if operation.error_code is None else operation),
    key("undone", array(STR), lambda operation: operation.undone),
    key("created_at", TIMESTAMP, lambda operation: operation.created_at),
    key("started_at", nullable(TIMESTAMP), lambda operation: operation.started_at),
    key("finished_at", nullable(TIMESTAMP), lambda operation: operation.finished_at),
    key("not_before", nullable(TIMESTAMP), lambda operation: operation.not_before),
    key("rejections", INT, lambda operation: operation.rejections),
    key("last_rejected_at", nullable(TIMESTAMP), lambda operation: operation.last_rejected_at),
    key("resource_uri", STR, lambda operation: operation_uri(operation.id)),
)
_LOG_LINE: Serializer[LogLine] = serializer(
    "LogLine",
    key("at", TIMESTAMP, lambda line: line.at),
    key("attempt", INT, lambda line: line.attempt),
    key("step", nullable(STR), lambda line: line.step),
    key("message", STR, lambda line: line.message),
    key("details", OBJECT, lambda line: line.details),
)
OPERATION_WITH_LOG_JSON: Serializer[OperationWithLog] = extended(
    "OperationWithLog",
    OPERATION_JSON,
    lambda read: read.operation,
    key("wait_reason", nullable(STR), lambda read: read.wait_reason),
    key("log", array(_LOG_LINE), lambda read: read.log),
)
