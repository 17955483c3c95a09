"""Where errors become HTTP. The only place that knows which status an error has."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from common import errors
from common.errors import InnkeeperError
from regiond.api.paths import operation_uri
from regiond.api.replies import Reply, json_reply, text_reply


@frozen
class Told:
    """`retry_after_s` is sent only where a repeat is safe: some clients repeat a 409 or 503 that carries it."""

    status: int
    retry_after_s: int | None = None


HTTP_STATUS: Mapping[type[InnkeeperError], Told] = {
    InnkeeperError: Told(500),
    errors.InvalidRequest: Told(400),
    errors.Unsupported: Told(400),
    errors.NotKnownHere: Told(400),
    errors.NotAuthenticated: Told(401),
    errors.NotAllowed: Told(403),
    errors.TokenRefused: Told(403),
    errors.NotFound: Told(404),
    errors.NameTaken: Told(409),
    errors.WrongState: Told(409),
    errors.Busy: Told(409),
    errors.Cancelled: Told(409),
    errors.IdempotencyMismatch: Told(422),
    errors.OutOfCapacity: Told(503),
    errors.NoneAvailable: Told(409),
    errors.RackUnreachable: Told(503, retry_after_s=10),
    errors.HostUnreachable: Told(503),
    errors.HostHung: Told(503),
    errors.LinkLost: Told(503),
    errors.ProtocolBroken: Told(503),
    errors.AnswerRefused: Told(503),
    errors.DriverFailed: Told(503),
    errors.NotTrusted: Told(503),
    errors.PeerChanged: Told(503),
    errors.StaleAttempt: Told(503),
    errors.VersionMismatch: Told(503),
    errors.DatabaseUnavailable: Told(503, retry_after_s=5),
    errors.DeadlineExceeded: Told(504),
    errors.OperationPending: Told(504),
    errors.BadSettings: Told(500),
    errors.InternalError: Told(500),
}

_AUTHENTICATE = {"WWW-Authenticate": 'OAuth realm="OAuth"'}


def reply_for(error: InnkeeperError) -> Reply:
    """The answer to a request that failed with `error`: its own words, and what a client needs to go on."""
    told = HTTP_STATUS.get(type(error), HTTP_STATUS[InnkeeperError])
    if isinstance(error, errors.InvalidRequest) and error.fields:
        return json_reply(error.fields, status=told.status)
    headers: dict[str, str] = {}
    if told.retry_after_s is not None:
        headers["Retry-After"] = str(told.retry_after_s)
    if told.status == 401:
        headers |= _AUTHENTICATE
    message = error.message
    operation = error.details.get("operation")
    if told.status == 504 and isinstance(operation, int):
        uri = operation_uri(operation)
        headers["Location"] = uri
        message = f"{message} Operation {operation} tells how it goes: {uri}"
    return text_reply(message, status=told.status, headers=headers)


def unexpected(reference: str) -> Reply:
    """The answer to a bug of ours: no details of the program, but a way to find them."""
    return text_reply(
        f"Innkeeper met an error of its own; its log tells more under the reference {reference}.", status=500
    )
