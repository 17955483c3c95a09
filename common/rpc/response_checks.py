"""Checks what a peer responds before the caller receives it. Pure."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from common.errors import (
    AnswerNotKept,
    BadSettings,
    DatabaseUnavailable,
    DriverFailed,
    HostHung,
    HostUnreachable,
    IdempotencyMismatch,
    InnkeeperError,
    InternalError,
    InvalidRequest,
    LinkLost,
    NotAuthenticated,
    NotTrusted,
    OperationPending,
    PeerChanged,
    RequestInProgress,
    ResponseRejected,
    TokenRejected,
)
from common.rpc.commands.command import Command
from common.rpc.frames import clipped
from common.rpc.peers import Peer
from common.serialization import from_dict
from common.trust.certificates import Role
from common.words.hidden_text import hidden, with_hidden_places

Q = TypeVar("Q")
R = TypeVar("R")

# A rack has no database, accounts or operations, so it cannot raise these errors. The region acts on them (it leaves an
# operation to its lease, for example) and must not do so because a rack sent one.
_NEVER_FROM_A_RACK = (
    AnswerNotKept, BadSettings, DatabaseUnavailable, IdempotencyMismatch, NotAuthenticated, OperationPending,
    RequestInProgress, TokenRejected,
)  # fmt: skip

# What these say comes from a server or of the connection to it: administrators read it. The others are in our words,
# for those who sent the request; but they, too, name places on the server.
_TEXTS_OF_SERVERS = (DriverFailed, HostHung, HostUnreachable, InternalError, LinkLost, NotTrusted, PeerChanged)

MOST_ITEMS = 50  # of a map or list in the details of an error
MOST_CHARS = 4_000  # of a text there
DEEPEST = 3  # nesting


def parsed_reply(peer: Peer, command: Command[Q, R], body: Any) -> R:
    """Returns the reply, or the item of a stream, in `body`. Raises ResponseRejected if it has another type."""
    try:
        return from_dict(body, command.reply)
    except InvalidRequest as error:
        found = hidden(clipped(str(error)))  # it quotes values
        raise ResponseRejected(f"{peer} sent an invalid response to {command.name}: {found}") from error


def checked_error(peer: Peer, command: Command[Q, R], error: InnkeeperError) -> InnkeeperError:
    """Returns `error`, or ResponseRejected for an error that a peer of this role cannot have.

    The region stores errors of racks: their texts and details are bounded, and have nothing that cannot be stored.
    Marks say what in a text only administrators read.
    """
    if peer.role is not Role.RACK:
        return error
    if isinstance(error, _NEVER_FROM_A_RACK):
        return ResponseRejected(
            f"{peer} responded to {command.name} with {error.code}, which a rack cannot raise: "
            f"{hidden(_text(error.message))}"
        )
    text = _text(error.message)
    error.message = hidden(text) if isinstance(error, _TEXTS_OF_SERVERS) else with_hidden_places(text)
    error.details = bounded(error.details)
    return error


def bounded(details: Any, depth: int = 0) -> Any:
    """Returns the details without what is too long, too deep, or neither text, number, boolean, map nor list."""
    match details:
        case str():
            return _text(details)
        case float():
            return details if math.isfinite(details) else None
        case bool() | int():
            return details
        case dict() if depth < DEEPEST:
            return {_text(str(key))[:100]: bounded(one, depth + 1) for key, one in [*details.items()][:MOST_ITEMS]}
        case list() | tuple() if depth < DEEPEST:
            return [bounded(one, depth + 1) for one in details[:MOST_ITEMS]]
        case _:
            return None


def _text(text: str) -> str:
    """Returns the beginning of the text, without NUL and lone surrogates, which PostgreSQL cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:MOST_CHARS]
