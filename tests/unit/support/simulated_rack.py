"""A rack's handlers of the `host.*` commands, before simulated hosts in a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from common.guests.guest_spec import GuestSpec
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import Fence
from common.values import DriverType, HostAccess
from rackd.commands import HostCommands
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.event_watch import EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from tests.unit.support.simulated_hosts import INSTALLATION

R = TypeVar("R")
Send = Callable[[Command[Any, Any], object], Awaitable[Any]]

ACCESS = HostAccess(host_id=1, driver=DriverType.SIMULATED, address="simulated:host", installation_id=INSTALLATION)


@asynccontextmanager
async def rack(folder: Path) -> AsyncIterator[Send]:
    """Yields a function that returns the reply of the rack's handler. These use no link."""
    drivers = DriverRegistry({DriverType.SIMULATED: SimulatedDriverFactory(folder)}, absent={})
    executor = Executor(drivers.open)
    commands = HostCommands(
        executor=executor,
        drivers=drivers,
        fenced=FencedCalls(executor, FencingTokens()),
        event_watcher=EventWatcher(executor),
    ).handlers()

    async def sent(command: Command[Any, R], request: object) -> R:
        reply: R = await cast("Awaitable[R]", commands[command](None, request))
        return reply

    try:
        yield sent
    finally:
        await executor.stop(grace_s=0.1)


def fence(vm: GuestSpec, attempt: int = 1) -> Fence:
    return Fence(machine_id=str(vm.marker.machine_id), operation_id=1, attempt=attempt)
