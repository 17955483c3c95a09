"""Requests that touch a host: they start an operation and wait for it, or answer 202 at once when asked to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from regiond.api.encoding.operations import encode_operation
from regiond.api.endpoint import Call
from regiond.api.paths import operation_uri
from regiond.api.replies import Reply, json_reply
from regiond.operations.model import Operation
from regiond.operations.service import outcome


async def when_done(call: Call, operation: Operation, encode: Callable[[Operation], Awaitable[Reply]]) -> Reply:
    """`encode` of the operation once it has succeeded; 202 and the operation itself with `Prefer: respond-async`.

    Raises the operation's own error when it failed, OperationPending when it goes on beyond the time a request waits.
    """
    if call.respond_async:
        headers = {"Location": operation_uri(operation.id), "Preference-Applied": "respond-async"}
        return json_reply(encode_operation(operation), status=202, headers=headers)
    ended = operation
    if not operation.state.ended:
        ended = await call.services.operations.wait(operation.id, timeout_s=call.info.wait_s)
    return await encode(outcome(ended))
