"""Checks what a peer responds before the caller receives it. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

from common.certificates import Role
from common.errors import (
    AnswerNotKept,
    BadSettings,
    DatabaseUnavailable,
    IdempotencyMismatch,
    InnkeeperError,
    InvalidRequest,
    NotAuthenticated,
    OperationPending,
    RequestInProgress,
    ResponseRejected,
    TokenRejected,
)
from common.rpc.command import Command
from common.rpc.frames import clipped
from common.rpc.peers import Peer
from common.serialization import from_dict

Q = TypeVar("Q")
R = TypeVar("R")

# A rack has no database, accounts or operations, so it cannot raise these errors. The region acts on them (it leaves an
# operation to its lease, for example) and must not do so because a rack sent one.
_NEVER_FROM_A_RACK = (
    AnswerNotKept, BadSettings, DatabaseUnavailable, IdempotencyMismatch, NotAuthenticated, OperationPending,
    RequestInProgress, TokenRejected,
)  # fmt: skip


def parsed_reply(peer: Peer, command: Command[Q, R], body: Any) -> R:
    """Returns the reply, or the item of a stream, in `body`. Raises ResponseRejected if it has another type."""
    try:
        return from_dict(body, command.reply)
    except InvalidRequest as error:
        raise ResponseRejected(f"{peer} sent an invalid response to {command.name}: {clipped(str(error))}") from error


def checked_error(peer: Peer, command: Command[Q, R], error: InnkeeperError) -> InnkeeperError:
    """Returns `error`, or ResponseRejected for an error that a peer of this role cannot have."""
    if peer.role is Role.RACK and isinstance(error, _NEVER_FROM_A_RACK):
        return ResponseRejected(
            f"{peer} responded to {command.name} with {error.code}, which a rack cannot raise: {error.message}"
        )
    return error
