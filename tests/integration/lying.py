"""A rack with a good certificate that answers what the test says, and the truth where the test says nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from common.rpc.commands import Command
from common.rpc.connection import connect
from common.rpc.handlers import Handler, Side
from common.rpc.link import Link
from common.rpc.peers import Address, Role
from common.rpc.tls import MemberTls
from rackd.commands import HostCommands
from rackd.executor import Executor
from rackd.fences import Fences
from rackd.identity import Identity, load
from rackd.joining import join
from rackd.service import make_drivers
from rackd.settings import RackSettings
from rackd.watching import Watching
from regiond.events.model import EventFilter
from tests.installation import Installation
from tests.waiting import eventually

Lies = Mapping[Command[Any, Any], Handler]
NO_LIES: Lies = {}


async def joined(innkeeper: Installation, name: str) -> Identity:
    """Its identity; it joins at the first time."""
    folder = RackSettings(state=innkeeper.folder / name).identity_folder
    if not folder.exists():
        token = await innkeeper.region.parts.services.racks.make_token(innkeeper.admin, lifetime_s=60)
        await join(token, folder, name)
    return load(folder)


@asynccontextmanager
async def lying_rack(innkeeper: Installation, lies: Lies = NO_LIES, name: str = "liar") -> AsyncIterator[Link]:
    """Linked, and known to be. It reaches every simulated host of the installation."""
    identity = await joined(innkeeper, name)
    settings = RackSettings(state=innkeeper.folder / name, simulated_hosts=innkeeper.folder / "simulated")
    drivers = make_drivers(settings)
    executor = Executor(drivers.open)
    honest = HostCommands(executor=executor, drivers=drivers, fences=Fences(), watching=Watching(executor))
    side = Side(role=Role.RACK, name="somebody-else", handlers={**honest.handlers(), **lies})
    address = Address(host="127.0.0.1", port=innkeeper.region.parts.listener.port)
    link = await connect(address, MemberTls(identity.credentials), side)
    try:
        await eventually(lambda: innkeeper.is_linked(name))
        yield link
    finally:
        link.close("the test is done")
        await link.closed()
        await executor.stop()


async def refusals(innkeeper: Installation, kind: str = "rack_answer_refused") -> list[str]:
    """What was recorded, the oldest first."""
    found = await innkeeper.region.parts.services.events.list(EventFilter())
    return [event.message for event in reversed(found) if event.kind == kind]
