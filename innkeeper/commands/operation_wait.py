"""Waits for an operation by polling it, and reports its progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from common.errors import InnkeeperError, rebuild
from common.words.operation_words import purpose
from innkeeper.http import Api, relative_path
from innkeeper.output.progress import Progress, Report

ENDED = ("succeeded", "failed", "cancelled")
FIRST_INTERVAL_S = 0.2
MAX_INTERVAL_S = 2.0
REGION_RESTART_S = 120.0  # a region that restarts is back within this time
READ_TIMEOUT_S = 30.0


async def wait_for_operation(
    api: Api, path: str, progress: Progress, *, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Returns the operation at `path` after it has ended, whatever its outcome.

    Retries for REGION_RESTART_S while the region does not answer, because the operation survives a restart of the
    region; then raises the last error. Raises a 4xx (unknown operation, revoked key) at once.
    """
    started = answered = clock()
    interval_s = FIRST_INTERVAL_S
    while True:
        try:
            operation = await read_operation(api, path)
        except InnkeeperError as error:
            if not _is_transient(error) or clock() - answered > REGION_RESTART_S:
                raise
            reason = f"The region does not answer; it is asked again. {error.message}"
            progress.report(Report(state="unknown", reason=reason, elapsed_s=clock() - started))
        else:
            answered = clock()
            progress.report(_report(operation, clock() - started))
            if operation["state"] in ENDED:
                return operation
        await asyncio.sleep(interval_s)
        interval_s = min(MAX_INTERVAL_S, interval_s * 1.3)


def _report(operation: Mapping[str, Any], elapsed_s: float) -> Report:
    return Report(
        state=operation["state"],
        step=str(operation.get("step") or ""),
        reason=str(operation.get("wait_reason") or ""),
        elapsed_s=elapsed_s,
    )


def purpose_of(operation: Mapping[str, Any]) -> str:
    """`Operation 7 composes quick-fox on hv-01`."""
    request = operation.get("request")
    words = purpose(
        str(operation.get("kind") or "operation"),
        machine=operation.get("hostname") or operation.get("system_id"),
        host=operation.get("host_name"),
        request=request if isinstance(request, dict) else {},
    )
    return f"Operation {operation.get('id')} {words}"


async def read_operation(api: Api, path: str) -> dict[str, Any]:
    plain = (await api.get(path, deadline_s=READ_TIMEOUT_S)).json()
    if not isinstance(plain, dict) or not isinstance(plain.get("state"), str):
        raise InnkeeperError(f"The response of {api.url}{path} is not an operation.", status=200)
    return plain


async def outcome_of(api: Api, operation: Mapping[str, Any]) -> tuple[Any, str]:
    """Returns the machine or host that the operation changed, else the operation, and its resource's command.

    Raises the operation's error if it failed or was cancelled.
    """
    if operation["state"] != "succeeded":
        raise error_of(operation)
    path, resource = subject_of(operation)
    if path is None:
        return dict(operation), "operation"
    return (await api.get(path)).json(), resource


def subject_of(operation: Mapping[str, Any]) -> tuple[str | None, str]:
    """The path of the changed object, None if it was deleted, and the command of its resource."""
    deleted = operation.get("kind") in ("delete", "forget", "remove_host")
    result = operation.get("result")
    if not deleted and isinstance(result, dict) and isinstance(result.get("resource_uri"), str):
        path = relative_path(result["resource_uri"])
        return path, path.partition("/")[0]
    if not deleted and operation.get("system_id"):
        return f"machines/{operation['system_id']}/", "machine"
    if not deleted and operation.get("host_id") is not None:
        return f"vm-hosts/{operation['host_id']}/", "vm-host"
    return None, "operation"


def notes_of(operation: Mapping[str, Any]) -> list[str]:
    """Returns what a person should know about a success: the certificate that stays on a server unasked.

    A request that waits in the region gets the same texts in the header `Warning`.
    """
    result, request = operation.get("result"), operation.get("request")
    fate = result.get("certificate") if isinstance(result, dict) else None
    if not isinstance(fate, dict) or fate.get("removed") or (isinstance(request, dict) and request.get("keep_trust")):
        return []
    return [str(fate.get("message") or "")]


def error_of(operation: Mapping[str, Any]) -> InnkeeperError:
    """The error of a failed operation; the message includes what was undone."""
    error = operation.get("error") or {}
    message = error.get("message") or f"Operation {operation.get('id')} was {operation['state']}."
    text = "\n".join([str(message), *(f"  undone: {each}" for each in operation.get("undone") or [])])
    return rebuild(str(error.get("code") or "error"), text, error.get("details") or {})


def _is_transient(error: InnkeeperError) -> bool:
    # No status: no answer. 5xx: the region starts or stops, or its database is unavailable.
    status = error.details.get("status")
    return status is None or status >= 500
