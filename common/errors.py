"""Every error that may cross a boundary: a link, the API, the command line.

A message is written for an operator: what was tried, what was found, what would help. `details` holds the same facts
for programs. `retryable` says that the same request may succeed later without anybody changing it. Codes never change
once released.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class InnkeeperError(Exception):
    """Anything raised on purpose."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        return self.message


class InvalidRequest(InnkeeperError):
    """`fields` maps each field to its messages; `__all__` holds what belongs to no field."""

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


class NotAuthenticated(InnkeeperError):
    code = "not_authenticated"


class NotAllowed(InnkeeperError):
    code = "not_allowed"


class NotFound(InnkeeperError):
    code = "not_found"


class Unsupported(InnkeeperError):
    """The thing exists, but this host, driver or command cannot do that."""

    code = "unsupported"


class NotKnownHere(Unsupported):
    """The other end of the line knows no such command or type of host; another rack may."""

    code = "not_known_here"


class NameTaken(InnkeeperError):
    code = "name_taken"


class WrongState(InnkeeperError):
    code = "wrong_state"


class Busy(InnkeeperError):
    """Another operation acts on it right now."""

    code = "busy"
    retryable = True


class IdempotencyMismatch(InnkeeperError):
    code = "idempotency_mismatch"


class OutOfCapacity(InnkeeperError):
    code = "out_of_capacity"


class NoneAvailable(OutOfCapacity):
    """No machine is there that could be allocated, and none can be composed: a client asks for something else."""

    code = "none_available"


class Cancelled(InnkeeperError):
    code = "cancelled"


class RackUnreachable(InnkeeperError):
    """No connected rack reaches the host."""

    code = "rack_unreachable"
    retryable = True


class HostUnreachable(InnkeeperError):
    code = "host_unreachable"
    retryable = True


class HostHung(InnkeeperError):
    """The host took a call and does not answer; no more threads are spent on it until it does."""

    code = "host_hung"
    retryable = True


class LinkLost(InnkeeperError):
    """The link ended while a call was under way: the outcome is unknown, look at the host."""

    code = "link_lost"
    retryable = True


class ProtocolBroken(LinkLost):
    """The other end sent what no correct peer sends: an answer to a call that has ended, say. The link was ended."""

    code = "protocol_broken"


class AnswerRefused(InnkeeperError):
    """What the other end answered cannot be the answer to what it was asked. Nothing was done with it."""

    code = "answer_refused"
    retryable = True


class DeadlineExceeded(InnkeeperError):
    """The time given was over first. What was asked may have happened, or may happen still."""

    code = "deadline_exceeded"
    retryable = True


class DriverFailed(InnkeeperError):
    """The hypervisor refused or failed; its own words are in the message."""

    code = "driver_failed"


class NotTrusted(InnkeeperError):
    """The host does not know our credentials, or we have not pinned its identity yet."""

    code = "not_trusted"


class PeerChanged(InnkeeperError):
    """The host's key or certificate is not the one pinned at first trust."""

    code = "peer_changed"


class StaleAttempt(InnkeeperError):
    """A newer attempt of the same work was seen: this one must not act any more."""

    code = "stale_attempt"


class VersionMismatch(InnkeeperError):
    code = "version_mismatch"


class TokenRefused(InnkeeperError):
    code = "token_refused"


class DatabaseUnavailable(InnkeeperError):
    code = "database_unavailable"
    retryable = True


class OperationPending(InnkeeperError):
    """The wait ended before the operation did; it goes on. `details` name it."""

    code = "operation_pending"


class BadSettings(InnkeeperError):
    code = "bad_settings"


class InternalError(InnkeeperError):
    """A bug of ours, told without its traceback; the log has it under the reference given."""

    code = "internal"


def _all_errors(of: type[InnkeeperError] = InnkeeperError) -> dict[str, type[InnkeeperError]]:
    found = {of.code: of}
    for kind in of.__subclasses__():
        found |= _all_errors(kind)
    return found


BY_CODE: Mapping[str, type[InnkeeperError]] = _all_errors()


def rebuild(code: str, message: str, details: Mapping[str, Any]) -> InnkeeperError:
    """The error raised on the other side, or before the restart. An unknown code (a newer peer) keeps its text."""
    kind = BY_CODE.get(code)
    if kind is None:
        return InnkeeperError(message, **{**details, "code": code})
    return kind(message, **dict(details))
