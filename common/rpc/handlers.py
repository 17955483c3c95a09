"""Types of the functions that serve commands, and how their errors reach the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

import structlog
from attrs import field, frozen

from common.errors import Busy, InnkeeperError, InternalError, NotAllowed
from common.process.exhaustion import exhaustion
from common.rpc.call_observer import UNOBSERVED, CallObserver
from common.rpc.commands.command import Command
from common.rpc.frames import Hello
from common.rpc.session import HIGHEST_VERSION, LOWEST_VERSION, Limits
from common.trust.certificates import Role

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

# The first parameter is the Link that the call came on: Any, because link.py imports this module. A handler of a plain
# command is a coroutine function, one of a streaming command an async generator function. It receives CancelledError
# when the caller cancels or the deadline passes; an InnkeeperError that it raises reaches the caller.
Handler = Callable[[Any, Any], Awaitable[Any] | AsyncGenerator[Any, None]]
Handlers = Mapping[Command[Any, Any], Handler]
EventHandler = Callable[[Any, str, Any], None]


@frozen(kw_only=True)
class Side:
    """This end of a link: its identity, the commands it serves and the limits it sets."""

    role: Role
    name: str
    capabilities: tuple[str, ...] = ()
    versions: tuple[int, int] = (LOWEST_VERSION, HIGHEST_VERSION)  # of the protocol, both included
    handlers: Handlers = field(factory=dict)
    on_event: EventHandler | None = None
    limits: Limits = field(factory=Limits)
    observer: CallObserver = UNOBSERVED

    @property
    def hello(self) -> Hello:
        return Hello(
            lowest_version=self.versions[0],
            highest_version=self.versions[1],
            role=self.role,
            name=self.name[:200],
            capabilities=self.capabilities,
            max_calls=self.limits.max_calls,
        )


def rejecting(commands: Iterable[Command[Any, Any]]) -> dict[Command[Any, Any], Handler]:
    """Returns handlers that raise NotAllowed: the commands exist, but not for the caller's role."""
    return {command: _rejecting_stream(command) if command.streams else _rejecting(command) for command in commands}


def _rejecting(command: Command[Any, Any]) -> Handler:
    async def reject(link: Any, _: Any) -> Any:
        raise _not_allowed(link, command)

    return reject


def _rejecting_stream(command: Command[Any, Any]) -> Handler:
    async def reject(link: Any, _: Any) -> AsyncGenerator[Any, None]:
        raise _not_allowed(link, command)
        yield  # makes it a generator, as the command streams

    return reject


def _not_allowed(link: Any, command: Command[Any, Any]) -> NotAllowed:
    return NotAllowed(f"{command.name} is not allowed for a peer of role {link.peer.role}", command=command.name)


def reportable_error(error: Exception, command: str) -> InnkeeperError:
    """Returns the error that the caller receives. A bug is logged here with a reference that the caller receives.

    A computer without files, memory or space is no bug: the caller can repeat the call.
    """
    if isinstance(error, InnkeeperError):
        return error
    if (problem := exhaustion(error)) is not None:
        log.warning("handler_short_of_resources", command=command, reason=problem)
        return Busy(f"{command} failed on the computer of the peer: {problem}")
    reference = uuid4().hex[:12]
    log.error("handler_failed", command=command, reference=reference, exc_info=error)
    return InternalError(
        f"{command} failed unexpectedly; the log of the peer has the details under reference {reference}",
        reference=reference,
    )
