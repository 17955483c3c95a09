"""Waits for the operation that a request started, or answers 202 if the client prefers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from common.errors import OperationPending
from regiond.api.endpoint import Call, Result
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.urls import operation_uri
from regiond.operations.model import Operation
from regiond.operations.service import outcome

# What `when_done` answers besides the result: for `Endpoint.other_answers`.
STARTED = (202, Result(doc="With Prefer: respond-async: the operation, which has begun.", type=OPERATION_JSON))


async def when_done(call: Call, operation: Operation, encode: Callable[[Operation], Awaitable[Reply]]) -> Reply:
    """Returns `encode(operation)` after it has succeeded; with `Prefer: respond-async`, 202 and the operation itself.

    Raises the operation's error if it fails, OperationPending if it takes longer than a request waits.
    """
    if call.respond_async:
        headers = {"Location": operation_uri(operation.id), "Preference-Applied": "respond-async"}
        return json_reply(OPERATION_JSON.encode(operation), status=202, headers=headers)
    ended = operation
    if not operation.state.ended:
        ended = await call.services.operations.wait(operation.id, timeout_s=call.info.wait_s)
    return await encode(outcome(ended))


async def soon(
    call: Call, operation: Operation, encode: Callable[[Operation], Awaitable[Reply]], *, within_s: float
) -> Reply:
    """Returns `encode(operation)` after it has succeeded, or while it continues after `within_s`.

    Raises the operation's error if it fails before.
    """
    ended = operation
    if not operation.state.ended:
        try:
            ended = await call.services.operations.wait(operation.id, timeout_s=min(within_s, call.info.wait_s))
        except OperationPending:
            return await encode(operation)
    return await encode(outcome(ended))


async def without_content(_: Operation) -> Reply:
    """For `when_done`: answers 204."""
    return empty_reply()
