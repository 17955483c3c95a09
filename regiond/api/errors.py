"""Maps errors to HTTP statuses and replies; no other module knows which status an error has."""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import frozen

from common import errors
from common.errors import InnkeeperError
from regiond.api.replies import JSON_UTF8, Reply, text_reply, with_operation
from regiond.api.urls import operation_uri


@frozen
class HttpStatus:
    """A status. `retry_after_s` only where a repeat is safe: some clients repeat a 409 or 503 with `Retry-After`."""

    status: int
    retry_after_s: int | None = None


HTTP_STATUS: Mapping[type[InnkeeperError], HttpStatus] = {
    InnkeeperError: HttpStatus(500),
    errors.InvalidRequest: HttpStatus(400),
    errors.Unsupported: HttpStatus(400),
    errors.UnsupportedByPeer: HttpStatus(400),
    errors.NotAuthenticated: HttpStatus(401),
    errors.TooManyAttempts: HttpStatus(429),
    errors.NotAllowed: HttpStatus(403),
    errors.TokenRejected: HttpStatus(403),
    errors.QuotaExceeded: HttpStatus(403),
    errors.NotFound: HttpStatus(404),
    errors.ImageMissing: HttpStatus(503),
    errors.NameTaken: HttpStatus(409),
    errors.WrongState: HttpStatus(409),
    errors.Busy: HttpStatus(409),
    errors.Cancelled: HttpStatus(409),
    errors.IdempotencyMismatch: HttpStatus(422),
    errors.RequestInProgress: HttpStatus(409, retry_after_s=2),
    errors.AnswerNotKept: HttpStatus(409),
    errors.OutOfCapacity: HttpStatus(503),
    errors.NoneAvailable: HttpStatus(409),
    errors.RackUnreachable: HttpStatus(503, retry_after_s=10),
    errors.HostUnreachable: HttpStatus(503),
    errors.HostHung: HttpStatus(503),
    errors.LinkLost: HttpStatus(503),
    errors.ProtocolViolation: HttpStatus(503),
    errors.ResponseRejected: HttpStatus(503),
    errors.DeploymentFailed: HttpStatus(503),
    errors.DriverFailed: HttpStatus(503),
    errors.NotTrusted: HttpStatus(503),
    errors.ServerUnconfirmed: HttpStatus(503),
    errors.PeerChanged: HttpStatus(503),
    errors.MaasRefused: HttpStatus(503),
    errors.MaasUnavailable: HttpStatus(503),
    errors.StaleAttempt: HttpStatus(503),
    errors.VersionMismatch: HttpStatus(503),
    errors.DatabaseUnavailable: HttpStatus(503, retry_after_s=5),
    errors.DeadlineExceeded: HttpStatus(504),
    errors.OperationPending: HttpStatus(504),
    errors.BadSettings: HttpStatus(500),
    errors.InternalError: HttpStatus(500),
}

# The operation of these errors may be another one that prevents the request, or that another request began.
_OF_ANOTHER_OPERATION = (errors.Busy, errors.IdempotencyMismatch)
_AUTHENTICATE = {"WWW-Authenticate": 'OAuth realm="OAuth"'}


def reply_for(error: InnkeeperError) -> Reply:
    """Returns the response for `error`: its message, and the headers with which the client can continue."""
    http = next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)  # a room may refine one
    if isinstance(error, errors.InvalidRequest) and error.fields:
        # In one line, as MAAS sends it: programs look for a part of the text.
        return Reply(status=http.status, body=json.dumps(error.fields).encode(), content_type=JSON_UTF8)
    headers: dict[str, str] = {}
    operation = error.details.get("operation")
    retry_after_s = error.details.get("retry_after_s") if http.status == 429 else http.retry_after_s
    # The error of an ended operation is final: a repeat with its idempotency key would only get the error again.
    if retry_after_s is not None and operation is None:
        headers["Retry-After"] = str(retry_after_s)
    if http.status == 401:
        headers |= _AUTHENTICATE
    message = error.message
    if http.status == 504 and isinstance(operation, int):
        uri = operation_uri(operation)
        headers["Location"] = uri
        message = f"{message} Operation {operation} continues: {uri}"
    reply = text_reply(message, status=http.status, headers=headers)
    if not isinstance(operation, int) or isinstance(error, _OF_ANOTHER_OPERATION):
        return reply
    return with_operation(reply, operation)


def unexpected(request_id: str) -> Reply:
    """Returns the response for a bug: no internal details, but the id under which the log has them."""
    return text_reply(f"Internal error. The region's log has the details under request id {request_id}.", status=500)
