"""Racks of a schedule: real handlers and fencing tokens, no sockets or threads; calls wait for the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from attrs import define, field

from common.errors import InnkeeperError, LinkLost, rebuild
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import (
    HOST_ADOPT,
    HOST_COMPOSE,
    HOST_DECOMPOSE,
    HOST_DISCOVER,
    HOST_DISOWN,
    HOST_POWER,
    HOST_REACH,
    HOST_REMOVE_VOLUMES,
    HOST_SET_GENERATION,
    Fence,
)
from common.rpc.commands.host_method import CallClass
from common.rpc.peers import Peer
from common.serialization import from_dict, to_dict
from common.trust.certificates import Role
from common.values import DriverType, HostAccess
from rackd.commands import HostCommands
from rackd.drivers.registry import DriverRegistry
from rackd.event_watch import EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from rackd.host_queue import Connection
from tests.faults.schedules.hypervisors import Outages, ScheduledHosts

T = TypeVar("T")

_ON_GUESTS = (HOST_COMPOSE, HOST_DECOMPOSE, HOST_POWER, HOST_ADOPT, HOST_DISOWN, HOST_REMOVE_VOLUMES)
ACTING = {command.name for command in (*_ON_GUESTS, HOST_SET_GENERATION)}
HELD = {*ACTING, HOST_DISCOVER.name, HOST_REACH.name}  # calls that wait for the schedule; others run at once
GONE = "the schedule ended the link"


class InlineExecutor(Executor):
    """Runs calls in the calling task. One connection per host."""

    def __init__(self, open_driver: Callable[[HostAccess], Any]) -> None:
        super().__init__(open_driver)
        self._open = open_driver
        self._connections: dict[int, Connection] = {}

    async def run(
        self,
        access: HostAccess,
        work: Callable[[Any], T],
        *,
        what: str,
        deadline_s: float,
        call_class: CallClass = CallClass.ORDERED,
        machine_id: UUID | None = None,
    ) -> T:
        connection = self._connections.setdefault(access.host_id, Connection(self._open))
        return connection.call(access, work)

    async def run_without_driver(self, access: HostAccess, work: Callable[[], T], *, what: str, deadline_s: float) -> T:
        return work()

    def forget(self, host_id: int) -> None:
        connection = self._connections.pop(host_id, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        for host_id in tuple(self._connections):
            self.forget(host_id)


@define(eq=False)
class Call:
    """One call to a rack. The schedule decides when the host acts and whether the answer arrives."""

    what: str
    link: ScheduledLink
    act: Callable[[], Awaitable[Any]]
    answer: asyncio.Future[Any]
    machine: UUID | None = None  # whose guest it changes
    outcome: Callable[[], Any] | None = None  # set when the host has acted

    @property
    def changes_host(self) -> bool:
        return self.what in ACTING

    async def go(self) -> None:
        """The host acts; the answer is not delivered."""
        try:
            made = await self.act()
        except InnkeeperError as error:
            received = rebuild(error.code, error.message, error.details)
            self.outcome = lambda: _raise(received)
        else:
            self.outcome = lambda: made

    def deliver(self) -> None:
        assert self.outcome is not None
        if self.answer.done():
            return
        try:
            self.answer.set_result(self.outcome())
        except InnkeeperError as error:
            self.answer.set_exception(error)

    def lose(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(LinkLost(GONE))


def _raise(error: InnkeeperError) -> Any:
    raise error


@define(eq=False)
class Activity:
    """An attempt or a refresh of the region. `call` is what it waits for."""

    name: str
    task: asyncio.Task[None] = field(init=False)
    operation_id: int | None = None
    host: str | None = None
    call: Call | None = None
    frozen: bool = False  # its lease is not renewed; another attempt may run

    @property
    def waits(self) -> bool:
        return self.call is not None and not self.call.answer.done()


CURRENT: ContextVar[Activity | None] = ContextVar("activity", default=None)


@define(eq=False)
class ScheduledRack:
    """A rack process with its fencing tokens and connections."""

    id: UUID
    name: str
    folder: Any
    outages: Outages
    executor: InlineExecutor = field(init=False)
    handlers: dict[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        drivers = DriverRegistry(
            {DriverType.SIMULATED: ScheduledHosts(self.folder, self.outages)},
            absent={DriverType.LIBVIRT: "racks of a schedule have no libvirt"},
        )
        self.executor = InlineExecutor(drivers.open)
        commands = HostCommands(
            executor=self.executor,
            drivers=drivers,
            fenced=FencedCalls(self.executor, FencingTokens()),
            event_watcher=EventWatcher(self.executor),
        )
        self.handlers = {command.name: handler for command, handler in commands.handlers().items()}

    def close(self) -> None:
        self.executor.close()


@define(eq=False)
class ScheduledLink:
    """The region's link to a rack. Requests and answers are serialised as on a real link."""

    rack: ScheduledRack
    changed: asyncio.Event
    is_open: bool = True
    capabilities: frozenset[str] = frozenset()
    versions: tuple[int, int] | None = None
    peer: Peer = field(init=False)
    lost: asyncio.Future[InnkeeperError] = field(init=False)  # why it ended

    def __attrs_post_init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self.peer = Peer(
            role=Role.RACK, name=self.rack.name, id=str(self.rack.id), expires_at=datetime(2100, 1, 1, tzinfo=UTC)
        )

    def close(self, reason: str) -> None:
        self.is_open = False
        if not self.lost.done():
            self.lost.set_result(LinkLost(GONE))

    def send_event(self, name: str, body: Any) -> None:
        """Racks of a schedule ignore events."""

    async def call(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> Any:
        handler, sent = self.rack.handlers[command.name], to_dict(request)

        async def act() -> Any:
            return from_dict(to_dict(await handler(self, from_dict(sent, command.request))), command.reply)

        return await self._wait_for(command.name, act, request)

    async def stream(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> AsyncGenerator[Any, None]:
        handler, sent = self.rack.handlers[command.name], to_dict(request)

        async def act() -> list[Any]:
            parts = handler(self, from_dict(sent, command.request))
            return [from_dict(to_dict(part), command.reply) async for part in parts]

        for part in await self._wait_for(command.name, act, request):
            yield part

    async def _wait_for(self, what: str, act: Callable[[], Awaitable[Any]], request: Any) -> Any:
        if not self.is_open:
            raise LinkLost(GONE)
        activity = CURRENT.get()
        if activity is None or what not in HELD:
            return await act()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if activity.call is not None:
            # It is held so long, in real time, that the region reads the host meanwhile: see SlowCalls. The read does
            # not take its place, and waits until the region stops it.
            return await answer
        fence: Fence | None = getattr(request, "fence", None)
        machine = UUID(fence.machine_id) if fence is not None else None
        activity.call = Call(what=what, link=self, act=act, answer=answer, machine=machine)
        self.changed.set()
        try:
            return await answer
        finally:
            activity.call = None
