"""Waits for the operation that a request started: a short time, as long as preferred, or not."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from common.errors import OperationPending
from regiond.api.declaration.endpoint import Call, Result
from regiond.api.replies import Reply, empty_reply, json_reply, with_operation
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.urls import operation_uri
from regiond.operations.model import Operation
from regiond.operations.service import outcome

# What `when_done` answers besides the result: for `Endpoint.other_answers`.
# Some clients, Ansible's among them, give up after 10 s: what acts on a host answers before that.
QUICK_ANSWER_S = 8.0
ACTION_ANSWER_S = 5.0  # of power actions and releases, whose intent is committed: clients poll the machine's state

_LEAST_S = 0.1  # of a request that has taken long before it began an operation

STARTED = (202, Result(doc="With Prefer: respond-async: the operation, which has begun.", type=OPERATION_JSON))


def is_repeat(call: Call) -> bool:
    """Returns whether an equal request has opened its operation already; what it names may be gone by now."""
    return call.idempotency_key is not None and call.idempotency_key.operation_id is not None


async def begun(call: Call) -> Operation | None:
    """Returns the operation that an equal request opened, after which what it acts on may be gone; None without one."""
    key = call.idempotency_key
    if key is None or key.operation_id is None:
        return None
    return await call.services.operations.read(key.operation_id, caller=None)


async def when_done(call: Call, operation: Operation, encode: Callable[[Operation], Awaitable[Reply]]) -> Reply:
    """Returns `encode(operation)` after it has succeeded; with `Prefer: respond-async`, 202 and the operation itself.

    Raises the operation's error if it fails, OperationPending if it takes longer than a request waits.
    """
    if call.respond_async:
        return _started(operation)
    ended = operation
    if not operation.state.ended:
        ended = await call.services.operations.wait(operation.id, timeout_s=call.info.wait_s)
    return await answer_of(outcome(ended), encode)


async def soon(
    call: Call,
    operation: Operation,
    encode: Callable[[Operation], Awaitable[Reply]],
    *,
    within_s: float | None = None,
    announce: Callable[[Operation], Awaitable[bool]] | None = None,
) -> Reply:
    """Returns `encode(operation)` after it has succeeded, or while it continues after `within_s` (default: 8 s).

    With `Prefer: respond-async`, 202 and the operation itself. With `Prefer: wait=N` the request waits N seconds, if
    that is longer; then it raises OperationPending. `announce` runs before the answer to an operation that continues;
    if it returns False, the operation has just ended. Raises the operation's error if it fails before the answer.
    """
    if call.respond_async:
        return _started(operation)
    usual_s = QUICK_ANSWER_S if within_s is None else within_s
    ended = operation
    while not ended.state.ended:
        try:
            ended = await call.services.operations.wait(operation.id, timeout_s=answer_within_s(call, usual_s))
        except OperationPending:
            if _waits_longer(call, usual_s):
                raise
            if announce is None or await announce(operation):
                return await answer_of(operation, encode)
    return await answer_of(outcome(ended), encode)


async def answer_of(operation: Operation, encode: Callable[[Operation], Awaitable[Reply]]) -> Reply:
    """Returns `encode(operation)`, which the audit trail records with the operation."""
    return with_operation(await encode(operation), operation.id)


def answer_within_s(call: Call, usual_s: float) -> float:
    """Returns how long this request still waits: `usual_s` since it began, or longer if the client prefers that."""
    longest_s = call.prefer_wait_s if _waits_longer(call, usual_s) and call.prefer_wait_s is not None else usual_s
    return max(_LEAST_S, min(longest_s, call.info.wait_s) - (time.monotonic() - call.began_s))


def _waits_longer(call: Call, usual_s: float) -> bool:
    return call.prefer_wait_s is not None and call.prefer_wait_s > usual_s


def started(operation: Operation, headers: Mapping[str, str] | None = None) -> Reply:
    """202 and the operation, which `Location` names."""
    named = {"Location": operation_uri(operation.id), **(headers or {})}
    return with_operation(json_reply(OPERATION_JSON.encode(operation), status=202, headers=named), operation.id)


def _started(operation: Operation) -> Reply:
    return started(operation, {"Preference-Applied": "respond-async"})


async def without_content(_: Operation) -> Reply:
    """Returns the 204 of a finished operation, for `when_done`."""
    return empty_reply()
