"""An executor on simulated hosts; a gate held by the test simulates a hung host."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

from common.errors import DeadlineExceeded, HostUnreachable
from common.rpc.commands.host_method import CallClass
from common.values import DriverType, HostAccess
from rackd.drivers.contract import Driver
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.executor import Executor
from tests.support.waiting import eventually, settle

T = TypeVar("T")

LONG_S = 60.0


def access(host_id: int = 1, *, key: str = "") -> HostAccess:
    return HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=f"simulated:host{host_id}",
        installation_id=UUID(int=1),
        credentials={"ssh_private_key": key},
    )


class Gate:
    """Work that blocks until the gate opens."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, driver: Driver) -> str:
        self.entered.set()
        self.open.wait(60)
        return driver.reach()


class Rig:
    def __init__(self, folder: Path) -> None:
        self._hosts = SimulatedDriverFactory(folder)
        self.opened: list[Driver] = []
        self.gates: list[Gate] = []
        self.executor = self.make()

    def make(self, *, max_calls: int = 50, cancel_grace_s: float = 5.0) -> Executor:
        return Executor(self.open, max_calls=max_calls, max_hung_calls=2, cancel_grace_s=cancel_grace_s)

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
        call_class: CallClass = CallClass.ORDERED,
        machine_id: UUID | None = None,
    ) -> T:
        return await self.executor.run(
            access(host_id), work, what="test", deadline_s=deadline_s, call_class=call_class, machine_id=machine_id
        )

    async def block(self, **options: Any) -> tuple[Gate, asyncio.Future[str]]:
        """A call in its thread, blocked until the gate opens."""
        gate = self.gate()
        call = asyncio.ensure_future(self.run(gate, **options))
        await eventually(gate.entered.is_set)
        return gate, call

    async def hang(self, *, host_id: int = 1, machine_id: UUID | None = None) -> Gate:
        """An abandoned call whose gate is still closed."""
        gate = self.gate()
        with pytest.raises(DeadlineExceeded, match="did not finish test"):
            await self.run(gate, host_id=host_id, deadline_s=0.05, machine_id=machine_id)
        await eventually(gate.entered.is_set)  # its thread may reach the gate after the deadline
        return gate


def rigged(folder: Path) -> Iterator[Rig]:
    rig = Rig(folder)

    async def finish() -> None:
        for gate in rig.gates:
            gate.open.set()
        await rig.executor.stop()

    yield rig
    settle(finish())


def reach(driver: Driver) -> str:
    return driver.reach()


def is_closed(driver: Driver) -> bool:
    try:
        driver.reach()
    except HostUnreachable:
        return True
    return False
