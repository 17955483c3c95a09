"""How calls are answered: the functions behind the commands, and what becomes of their errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from attrs import field, frozen

from common.certificates import Role
from common.errors import InnkeeperError, InternalError, NotAllowed
from common.rpc.commands import Command
from common.rpc.frames import Hello
from common.rpc.session import HIGHEST_VERSION, LOWEST_VERSION, Limits

if TYPE_CHECKING:
    from common.rpc.link import Link

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

# Given the link it came on and the request. A plain command is answered by a coroutine, a streaming one by an async
# generator. Cancellation and the deadline arrive as CancelledError; what an InnkeeperError says reaches the caller.
Handler = Callable[["Link", Any], Awaitable[Any] | AsyncGenerator[Any, None]]
Handlers = Mapping[Command[Any, Any], Handler]
EventHandler = Callable[["Link", str, Any], None]


@frozen(kw_only=True)
class Side:
    """Our side of a link: who we say we are, what we answer, and what we take."""

    role: Role
    name: str
    capabilities: tuple[str, ...] = ()
    versions: tuple[int, int] = (LOWEST_VERSION, HIGHEST_VERSION)  # of the protocol, both included
    handlers: Handlers = field(factory=dict)
    on_event: EventHandler | None = None
    limits: Limits = field(factory=Limits)

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


def refusing(commands: Iterable[Command[Any, Any]]) -> dict[Command[Any, Any], Handler]:
    """Handlers that answer not_allowed and name the caller's role: the commands exist, but not for it."""
    return {command: _stream_refusal(command) if command.streams else _refusal(command) for command in commands}


def _refusal(command: Command[Any, Any]) -> Handler:
    async def refuse(link: Link, _: Any) -> Any:
        raise _not_for(link, command)

    return refuse


def _stream_refusal(command: Command[Any, Any]) -> Handler:
    async def refuse(link: Link, _: Any) -> AsyncGenerator[Any, None]:
        raise _not_for(link, command)
        yield  # makes it a generator, as the command streams

    return refuse


def _not_for(link: Link, command: Command[Any, Any]) -> NotAllowed:
    return NotAllowed(f"{command.name} is not for a peer of role {link.peer.role}", command=command.name)


def told_of(error: Exception, command: str) -> InnkeeperError:
    """What the caller hears of a handler's error. A bug is logged here, once, under the reference the caller gets."""
    if isinstance(error, InnkeeperError):
        return error
    reference = uuid4().hex[:12]
    log.error("handler_failed", command=command, reference=reference, exc_info=error)
    return InternalError(
        f"{command} failed for a reason that is in the log of the other end, reference {reference}", reference=reference
    )
