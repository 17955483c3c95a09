"""Operations and their logs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from common.wire import to_plain
from regiond.api.paths import operation_uri
from regiond.operations.model import LogLine, Operation


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def encode_operation(operation: Operation) -> dict[str, Any]:
    error = None
    if operation.error_code is not None:
        error = {
            "code": operation.error_code,
            "message": operation.error_message or "",
            "details": to_plain(dict(operation.error_details or {})),
        }
    return {
        "id": operation.id,
        "kind": operation.kind.value,
        "state": operation.state.value,
        "host_id": operation.host_id,
        "host_name": operation.host_name,
        "system_id": operation.system_id,
        "hostname": operation.hostname,
        "parent_id": operation.parent_id,
        "username": operation.username,
        "request": to_plain(dict(operation.request)),
        "result": to_plain(dict(operation.result)),
        "explanation": None if operation.explanation is None else to_plain(dict(operation.explanation)),
        "step": operation.step,
        "attempt": operation.attempt,
        "failures": operation.failures,
        "max_failures": operation.max_failures,
        "cancel_requested": operation.cancel_requested,
        "error": error,
        "undone": list(operation.undone),
        "created_at": moment(operation.created_at),
        "started_at": moment(operation.started_at),
        "finished_at": moment(operation.finished_at),
        "not_before": moment(operation.not_before),
        "resource_uri": operation_uri(operation.id),
    }


def encode_log(lines: Iterable[LogLine]) -> list[dict[str, Any]]:
    return [
        {
            "at": moment(line.at),
            "attempt": line.attempt,
            "step": line.step,
            "message": line.message,
            "details": to_plain(dict(line.details)),
        }
        for line in lines
    ]
