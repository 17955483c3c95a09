"""Waits for the operation that a request started: to its end, or less if its object shows the rest."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from common.errors import OperationPending
from common.words.operation_kinds import OperationKind
from regiond.api.declaration.endpoint import Call, Result
from regiond.api.replies import Reply, empty_reply, json_reply, with_operation
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.urls import operation_uri
from regiond.operations.model import Operation
from regiond.operations.service import outcome

# Some clients, Ansible's among them, give up after 10 s: what acts on a host answers before that, if clients can see
# from the object itself that it continues, and how it ends.
QUICK_ANSWER_S = 8.0
ACTION_ANSWER_S = 5.0  # of power actions and releases, whose intent is committed: clients poll the machine's state

_LEAST_S = 0.1  # of a request that has taken long before it began an operation

# What `when_done` answers besides the result: for `Endpoint.other_answers`.
STARTED = (202, Result(doc="With Prefer: respond-async: the operation, which has begun.", type=OPERATION_JSON))


def _usual_s(kind: OperationKind) -> float | None:
    """Returns after how many seconds a request is answered although its operation continues; None: never.

    Only if the state of its object shows that, and a failure: a machine is Commissioning, then Failed commissioning;
    it or its host is being removed; its power is what it was. Of any other change, such as the removal of a disk, an
    answer before the end is read as success.
    """
    match kind:
        case OperationKind.COMPOSE | OperationKind.DELETE | OperationKind.REMOVE_HOST:
            return QUICK_ANSWER_S
        case OperationKind.POWER | OperationKind.RELEASE:
            return ACTION_ANSWER_S
        case _:
            return None


def is_repeat(call: Call) -> bool:
    """Returns whether an equal request has opened its operation already; what it names may be gone by now."""
    return call.idempotency_key is not None and call.idempotency_key.operation_id is not None


async def begun(call: Call) -> Operation | None:
    """Returns the operation that an equal request opened, after which what it acts on may be gone; None without one."""
    key = call.idempotency_key
    if key is None or key.operation_id is None:
        return None
    return await call.services.operations.read(key.operation_id, caller=None)


async def when_done(
    call: Call,
    operation: Operation,
    encode: Callable[[Operation], Awaitable[Reply]],
    *,
    to_end: bool = False,
    announce: Callable[[Operation], Awaitable[bool]] | None = None,
) -> Reply:
    """Returns `encode(operation)` after it has succeeded; with `Prefer: respond-async`, 202 and the operation itself.

    Raises the operation's error if it fails, OperationPending if it takes longer than a request waits. Some kinds are
    answered before (`_usual_s`), unless `to_end` or the client prefers to wait longer: with `encode(operation)` while
    it continues. `announce` runs before such an answer; if it returns False, the operation has just ended.
    """
    if call.respond_async:
        return _started(operation)
    usual_s = None if to_end else _usual_s(operation.kind)
    ended = operation
    while not ended.state.ended:
        try:
            left_s = _left_s(call, usual_s)
            ended = await call.services.operations.wait(
                operation.id, timeout_s=left_s, caller=call.caller, is_new=not is_repeat(call)
            )
        except OperationPending:
            if usual_s is None or _waits_longer(call, usual_s):
                raise
            if announce is None or await announce(operation):
                return await answer_of(operation, encode)
    return await answer_of(outcome(ended), encode)


async def answer_of(operation: Operation, encode: Callable[[Operation], Awaitable[Reply]]) -> Reply:
    """Returns `encode(operation)`, which the audit trail records with the operation."""
    return with_operation(await encode(operation), operation.id)


def answer_within_s(call: Call, usual_s: float) -> float:
    """Returns how long this request still waits: `usual_s` since it began, or longer if the client prefers that."""
    return _left_s(call, usual_s)


def _left_s(call: Call, usual_s: float | None) -> float:
    """Returns how long this request still waits; None: as long as a request does."""
    longest_s = call.info.wait_s
    if usual_s is not None:
        preferred_s = call.prefer_wait_s if _waits_longer(call, usual_s) else usual_s
        longest_s = min(longest_s, usual_s if preferred_s is None else preferred_s)
    return max(_LEAST_S, longest_s - (time.monotonic() - call.began_s))


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
