"""A rack in this process, with links to regions and simulated hosts, and calls of its commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import define, field

from common.guests.guest_spec import GuestSpec
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import (
    HOST_COMPOSE,
    HOST_DISCOVER,
    HOST_EVENT,
    HOST_UNWATCHED,
    ComposeCall,
    DiscoveryPart,
    Fence,
    HostCall,
    HostEvent,
    HostUnwatched,
)
from common.rpc.commands.host_method import CallClass
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.serialization import from_dict
from common.trust.certificates import Role
from common.values import DriverType, HostAccess
from rackd.commands import HostCommands
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.event_watch import EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from tests.doubles.link_pair import link_pair
from tests.support.waiting import settle
from tests.unit.support.simulated_hosts import INSTALLATION

DEADLINE_S = 60.0
Q = TypeVar("Q")
R = TypeVar("R")


@define
class Rack:
    """A rack, and the region's ends of its links."""

    executor: Executor
    commands: HostCommands
    ends: list[Link] = field(factory=list)
    events: list[HostEvent] = field(factory=list)
    unwatched: list[int] = field(factory=list)

    def queued_calls(self) -> int:
        """The number of running and queued calls of host 1."""
        return self.executor.queued_calls(1, CallClass.ORDERED)

    async def link(self) -> Link:
        def received(_: Link, name: str, body: Any) -> None:
            if name == HOST_UNWATCHED:
                self.unwatched.append(from_dict(body, HostUnwatched).host_id)
                return
            assert name == HOST_EVENT
            self.events.append(from_dict(body, HostEvent))

        rack, region = await link_pair(
            rack=Side(role=Role.RACK, name="r1", handlers=self.commands.handlers()),
            region=Side(role=Role.REGION, name="region", on_event=received),
        )
        self.ends += [rack, region]
        return region


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    drivers = DriverRegistry(
        {DriverType.SIMULATED: SimulatedDriverFactory(tmp_path)}, absent={DriverType.LXD: "it is not written yet"}
    )
    executor = Executor(drivers.open, cancel_grace_s=0.1)
    created = Rack(
        executor,
        HostCommands(
            executor=executor,
            drivers=drivers,
            fenced=FencedCalls(executor, FencingTokens()),
            event_watcher=EventWatcher(executor),
        ),
    )

    async def finish() -> None:
        for end in created.ends:
            end.close("the test is over")
            await end.closed()
        await executor.stop(grace_s=0.1)

    yield created
    settle(finish())


@pytest.fixture
def link(rack: Rack) -> Link:
    """The region's end of a link to the rack."""
    return settle(rack.link())


def access(parameters: str = "", host_id: int = 1) -> HostAccess:
    return HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=f"simulated:host{host_id}?{parameters}",
        installation_id=INSTALLATION,
    )


def fence(of: GuestSpec, attempt: int = 1, operation_id: int = 1) -> Fence:
    return Fence(machine_id=str(of.marker.machine_id), operation_id=operation_id, attempt=attempt)


async def send(link: Link, command: Command[Q, R], request: Q) -> R:
    return await link.call(command, request, deadline_s=DEADLINE_S)


def host_call(parameters: str = "", host_id: int = 1) -> HostCall:
    return HostCall(access=access(parameters, host_id))


async def compose(link: Link, vm: GuestSpec, *, parameters: str = "", host_id: int = 1, attempt: int = 1) -> Any:
    call = ComposeCall(access=access(parameters, host_id), spec=vm, fence=fence(vm, attempt))
    return await send(link, HOST_COMPOSE, call)


async def discover(link: Link, parameters: str) -> list[DiscoveryPart]:
    call = host_call(parameters)
    return [part async for part in link.stream(HOST_DISCOVER, call, deadline_s=DEADLINE_S)]
