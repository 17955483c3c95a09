"""The errors that cross a boundary: a link, the API, the command line.

A message is written for an operator: what was tried, what was found, what helps. `details` has the same facts for
programs. `retryable` means that the same request may succeed later without a change. A released code never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

OF_IDENTITY = "of_identity"


class InnkeeperError(Exception):
    """Raised on purpose; any other exception is a bug."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        return self.message


class InvalidRequest(InnkeeperError):
    """`fields` maps each field to its messages; `__all__` has those that belong to no field."""

    code = "invalid_request"

    def __init__(self, message: str = "The request is not valid.", **details: Any) -> None:
        super().__init__(message, **details)

    @classmethod
    def of(cls, fields: Mapping[str, list[str]]) -> InvalidRequest:
        text = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in fields.items())
        return cls(text, fields={name: list(messages) for name, messages in fields.items()})

    @property
    def fields(self) -> dict[str, list[str]]:
        found = self.details.get("fields", {})
        return found if isinstance(found, dict) else {}

    @property
    def texts(self) -> list[str]:
        """The messages of all fields, without the names of the fields; without fields the message itself."""
        return [text for texts in self.fields.values() for text in texts] or [self.message]


class NotAuthenticated(InnkeeperError):
    """The request has no valid signature, session or certificate."""

    code = "not_authenticated"


class TooManyAttempts(InnkeeperError):
    """Logins failed, or requests came, too often. `retry_after_s` in the details is the time until one is accepted."""

    code = "too_many_attempts"
    retryable = True


class NotAllowed(InnkeeperError):
    """The account, rack or client has no permission for this."""

    code = "not_allowed"


class QuotaExceeded(InnkeeperError):
    """The user or the resource pool holds as much as its quota permits; the message has the numbers."""

    code = "quota_exceeded"


class NotFound(InnkeeperError):
    """The named object does not exist."""

    code = "not_found"


class ImageMissing(NotFound):
    """The host has no copy of the image any more: an attempt that begins again copies it."""

    code = "image_missing"
    retryable = True


class Unsupported(InnkeeperError):
    """The object exists, but its host, driver or command does not support the request."""

    code = "unsupported"


class UnsupportedByPeer(Unsupported):
    """The peer lacks the command or driver; another rack may have it."""

    code = "unsupported_by_peer"


class NameTaken(InnkeeperError):
    """Another object has the requested name."""

    code = "name_taken"


class WrongState(InnkeeperError):
    """The object is in a state in which this is not possible."""

    code = "wrong_state"


class Busy(InnkeeperError):
    """Another operation acts on the object."""

    code = "busy"
    retryable = True


class IdempotencyMismatch(InnkeeperError):
    """The idempotency key was used for another request."""

    code = "idempotency_mismatch"


class RequestInProgress(InnkeeperError):
    """An equal request with the same idempotency key still runs."""

    code = "request_in_progress"
    retryable = True


class AnswerNotKept(InnkeeperError):
    """An equal request with the same idempotency key ran, and its answer is not known: it is not run again."""

    code = "answer_not_kept"


class OutOfCapacity(InnkeeperError):
    """Servers, pools or ranges lack the requested amount; the message has the numbers."""

    code = "out_of_capacity"


class NoneAvailable(OutOfCapacity):
    """No machine matches an allocation, and none can be composed."""

    code = "none_available"


class Cancelled(InnkeeperError):
    """The call was cancelled, by its caller or because the process stops."""

    code = "cancelled"


class RackUnreachable(InnkeeperError):
    """No connected rack reaches the host, so it was not called."""

    code = "rack_unreachable"
    retryable = True


class HostUnreachable(InnkeeperError):
    """The rack cannot connect to the host."""

    code = "host_unreachable"
    retryable = True


class HostHung(InnkeeperError):
    """The host does not respond to earlier calls; the rack makes no more until it does."""

    code = "host_hung"
    retryable = True


class LinkLost(InnkeeperError):
    """The link ended during a call: the outcome is unknown until the host is checked."""

    code = "link_lost"
    retryable = True


class PeerSilent(LinkLost):
    """Nothing arrived from the peer for so long that its machine or the network must be down."""


class ProtocolViolation(LinkLost):
    """The peer violated the protocol, for example responded to a call that had ended. The link is closed."""

    code = "protocol_violation"


class ResponseRejected(InnkeeperError):
    """The response does not fit the request. It was not used."""

    code = "response_rejected"
    retryable = True


class DeadlineExceeded(InnkeeperError):
    """The deadline passed. The outcome is unknown: the call may have taken effect or may still."""

    code = "deadline_exceeded"
    retryable = True


class DeploymentFailed(InnkeeperError):
    """The machine was started, and its operating system did not report in time."""

    code = "deployment_failed"


class DriverFailed(InnkeeperError):
    """The hypervisor rejected the call or failed; the message has its error."""

    code = "driver_failed"


class NotTrusted(InnkeeperError):
    """The host rejects Innkeeper's credentials, or its identity is not pinned yet.

    A driver adds `details["reason"]`, the message without its advice, if the region can give better advice, and
    `details[OF_IDENTITY]` if the certificate belongs to an identity of LXD, and is in no trust list.
    """

    code = "not_trusted"


class ServerUnconfirmed(NotTrusted):
    """The host reports the identity of a known server without proving that it is that server."""

    code = "server_unconfirmed"


class PeerChanged(InnkeeperError):
    """The host's key or certificate is not the one pinned at first trust, or its server reports another identity."""

    code = "peer_changed"


class MaasRefused(InnkeeperError):
    """A MAAS, or what answers at its address, refused the call: a repeat without a change ends the same way.

    `details["status"]` is that of HTTP, `details["reason"]` a word: `key`, `rights`, `gone`, `not_maas`, `redirect`,
    `missing` (404 of an object), `form` (then `fields` has the messages) or `other`.
    """

    code = "maas_refused"


class MaasUnavailable(InnkeeperError):
    """A MAAS cannot be reached, or it answered that it cannot do this now. Nothing was changed there, or it says so."""

    code = "maas_unavailable"
    retryable = True


class StaleAttempt(InnkeeperError):
    """The rack has seen a newer attempt of the same operation; this one must not act."""

    code = "stale_attempt"


class VersionMismatch(InnkeeperError):
    """The two ends of a link have no protocol version in common."""

    code = "version_mismatch"


class TokenRejected(InnkeeperError):
    """The one-time token is unknown, used or expired."""

    code = "token_rejected"


class DatabaseUnavailable(InnkeeperError):
    """PostgreSQL cannot be reached or does not answer in time."""

    code = "database_unavailable"
    retryable = True


class OperationPending(InnkeeperError):
    """The wait ended before the operation, which continues. `details` names it."""

    code = "operation_pending"


class BadSettings(InnkeeperError):
    """Settings are invalid; the message lists every problem."""

    code = "bad_settings"


class InternalError(InnkeeperError):
    """A bug. The log has the traceback under the reference in the message."""

    code = "internal"


def _all_errors(of: type[InnkeeperError] = InnkeeperError) -> dict[str, type[InnkeeperError]]:
    found = {of.code: of} if "code" in vars(of) else {}  # a kind without a code of its own is rebuilt as its parent
    for kind in of.__subclasses__():
        found |= _all_errors(kind)
    return found


BY_CODE: Mapping[str, type[InnkeeperError]] = _all_errors()


def rebuild(code: str, message: str, details: Mapping[str, Any]) -> InnkeeperError:
    """Returns the error with that code, received over a link or read from the database.

    A code that only a newer peer knows becomes an InnkeeperError with that text.
    """
    kind = BY_CODE.get(code)
    if kind is None:
        return InnkeeperError(message, **{**details, "code": code})
    return kind(message, **dict(details))
