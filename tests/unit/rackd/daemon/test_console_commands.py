"""The rack's consoles: who may type, how many there are, and what ends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import define

from common.errors import Busy, InvalidRequest, NotFound, WrongState
from common.guests.guest_spec import GuestSpec
from common.rpc.commands.console_commands import CONSOLE_PART_BYTES, ConsoleCall, ConsoleInput, ConsoleLogCall
from common.values import DriverType, HostAccess, PowerAction
from rackd.console_commands import ConsoleCommands
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.executor import Executor
from tests.support.waiting import eventually, settle
from tests.unit.support.simulated_hosts import INSTALLATION, spec

ACCESS = HostAccess(
    host_id=1, driver=DriverType.SIMULATED, address="simulated:desk?cores=8", installation_id=INSTALLATION
)
LINK, OTHER_LINK = object(), object()


@define
class Consoles:
    commands: ConsoleCommands
    guest: GuestSpec

    def call(self) -> ConsoleCall:
        return ConsoleCall(access=ACCESS, guest=self.guest.ref, console_id=uuid4().hex)


@pytest.fixture
def consoles(tmp_path: Path) -> Iterator[Consoles]:
    factory, guest = SimulatedDriverFactory(tmp_path), spec("web")
    driver = factory.open(ACCESS)
    driver.compose(guest)
    driver.power(guest.ref, PowerAction.ON, grace_s=0.0)
    executor = Executor(factory.open)
    yield Consoles(ConsoleCommands(executor, max_consoles=2), guest)
    settle(executor.stop())
    driver.close()


async def test_typing_needs_the_link_that_opened_the_console(consoles: Consoles) -> None:
    commands, call = consoles.commands, consoles.call()
    async with aclosing(commands.open(LINK, call)) as items:
        assert (await anext(items)).data == b""
        assert b"Simulated console" in (await anext(items)).data
        with pytest.raises(NotFound):
            await commands.type(OTHER_LINK, ConsoleInput(console_id=call.console_id, data=b"x"))
        with pytest.raises(InvalidRequest):
            await commands.type(LINK, ConsoleInput(console_id=call.console_id, data=b"x" * (CONSOLE_PART_BYTES + 1)))
        await commands.type(LINK, ConsoleInput(console_id=call.console_id, data=b"x"))
        assert (await anext(items)).data == b"x"
    with pytest.raises(NotFound):
        await commands.type(LINK, ConsoleInput(console_id=call.console_id, data=b"x"))


async def test_a_rack_has_so_many_consoles(consoles: Consoles) -> None:
    commands = consoles.commands
    async with aclosing(commands.open(LINK, consoles.call())) as first:
        await anext(first)
        async with aclosing(commands.open(LINK, consoles.call())) as second:
            await anext(second)
            with pytest.raises(Busy):
                await anext(commands.open(LINK, consoles.call()))
        async with aclosing(commands.open(LINK, consoles.call())) as third:
            await anext(third)


async def test_a_console_that_cannot_be_opened_leaves_its_place(consoles: Consoles, tmp_path: Path) -> None:
    driver = SimulatedDriverFactory(tmp_path).open(ACCESS)
    driver.power(consoles.guest.ref, PowerAction.FORCE_OFF, grace_s=0.0)
    for _ in range(3):
        with pytest.raises(WrongState):
            await anext(consoles.commands.open(LINK, consoles.call()))
    driver.power(consoles.guest.ref, PowerAction.ON, grace_s=0.0)
    driver.close()
    async with aclosing(consoles.commands.open(LINK, consoles.call())) as items:
        await anext(items)


async def test_no_thread_is_left_of_a_closed_console(consoles: Consoles) -> None:
    async with aclosing(consoles.commands.open(LINK, consoles.call())) as items:
        await anext(items)
        assert console_threads()
    await eventually(lambda: not console_threads())


def console_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("console-")]


async def test_a_log_has_at_most_the_bytes_that_were_asked(consoles: Consoles) -> None:
    call = ConsoleLogCall(access=ACCESS, guest=consoles.guest.ref, max_bytes=10)
    assert (await consoles.commands.log(LINK, call)).content == b" device.\r\n"
