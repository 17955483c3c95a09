"""An executor on simulated hosts; a gate that the test holds stands for a host that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest

from common.errors import DeadlineExceeded, HostUnreachable
from common.values import DriverType, HostAccess
from rackd.drivers.contract import Driver
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.executor import Executor
from rackd.lanes import Track
from tests.waiting import eventually, settle

T = TypeVar("T")

LONG_S = 30.0


def access(host_id: int = 1, *, key: str = "") -> HostAccess:
    return HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=f"simulated:host{host_id}",
        installation_id=UUID(int=1),
        credentials={"ssh_private_key": key},
    )


class Gate:
    """Work that is stuck in the host until the gate opens."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, driver: Driver) -> str:
        self.entered.set()
        self.open.wait(60)
        return driver.reach()


class Rig:
    def __init__(self, folder: Path) -> None:
        self._hosts = SimulatedHosts(folder)
        self.opened: list[Driver] = []
        self.gates: list[Gate] = []
        self.executor = self.make()

    def make(self, *, max_calls: int = 50, linger_s: float = 5.0) -> Executor:
        return Executor(self.open, max_calls=max_calls, hung_after=2, linger_s=linger_s)

    def open(self, host: HostAccess) -> Driver:
        driver = self._hosts.open(host)
        self.opened.append(driver)
        return driver

    def gate(self) -> Gate:
        self.gates.append(Gate())
        return self.gates[-1]

    async def run(
        self,
        work: Callable[[Driver], T],
        *,
        host_id: int = 1,
        deadline_s: float = LONG_S,
        track: Track = Track.ORDERED,
        machine_id: UUID | None = None,
    ) -> T:
        return await self.executor.run(
            access(host_id), work, what="test", deadline_s=deadline_s, track=track, machine_id=machine_id
        )

    async def hang(self, *, host_id: int = 1, machine_id: UUID | None = None) -> Gate:
        """A call that was given up; its gate is still shut."""
        gate = self.gate()
        with pytest.raises(DeadlineExceeded, match="did not finish test"):
            await self.run(gate, host_id=host_id, deadline_s=0.05, machine_id=machine_id)
        await eventually(gate.entered.is_set)  # its thread may have come to the host only after that
        return gate


def rigged(folder: Path) -> Iterator[Rig]:
    made = Rig(folder)

    async def finish() -> None:
        for gate in made.gates:
            gate.open.set()
        await made.executor.stop()

    yield made
    settle(finish())


def reach(driver: Driver) -> str:
    return driver.reach()


def is_closed(driver: Driver) -> bool:
    try:
        driver.reach()
    except HostUnreachable:
        return True
    return False
