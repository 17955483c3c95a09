"""A rack with a valid certificate whose handlers the test replaces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from common.rpc.commands.command import Command
from common.rpc.connection import connect
from common.rpc.handlers import Handler, Side
from common.rpc.link import Link
from common.rpc.peers import Address
from common.rpc.tls import MemberTls
from common.trust.certificates import Role
from rackd.commands import HostCommands
from rackd.enrolment import join
from rackd.event_watch import EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from rackd.identity import Identity, load
from rackd.reports.guest_reports import GuestReports
from rackd.service import make_drivers
from rackd.settings import RackSettings
from regiond.events.model import EventFilter
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

Lies = Mapping[Command[Any, Any], Handler]
NO_LIES: Lies = {}


async def joined(innkeeper: Deployment, name: str) -> Identity:
    """Returns the identity of the rack, which joins if it has none."""
    folder = RackSettings(state=innkeeper.folder / name).identity_folder
    if not folder.exists():
        token = await innkeeper.region.components.services.racks.create_token(innkeeper.admin, lifetime_s=60)
        await join(token, folder, name)
    return load(folder)


@asynccontextmanager
async def byzantine_rack(
    innkeeper: Deployment,
    lies: Lies = NO_LIES,
    name: str = "byzantine",
    *,
    lacks: Collection[Command[Any, Any]] = (),
) -> AsyncIterator[Link]:
    """Connects the rack, which reaches every simulated host of the deployment. Its link is registered in the region.

    `lacks` are commands that it does not have, as one of a release before.
    """
    identity = await joined(innkeeper, name)
    settings = RackSettings(state=innkeeper.folder / name, simulated_hosts=innkeeper.folder / "simulated")
    drivers = make_drivers(settings, GuestReports(lambda: ()))
    executor = Executor(drivers.open)
    honest = HostCommands(
        executor=executor,
        drivers=drivers,
        fenced=FencedCalls(executor, FencingTokens()),
        event_watcher=EventWatcher(executor),
    )
    handlers = {command: handler for command, handler in honest.handlers().items() if command not in lacks}
    side = Side(role=Role.RACK, name="other-rack", handlers={**handlers, **lies})
    address = Address(host="127.0.0.1", port=innkeeper.region.components.listener.port)
    link = await connect(address, MemberTls(identity.credentials), side)
    try:
        await eventually(lambda: innkeeper.is_linked(name))
        yield link
    finally:
        link.close("the test is done")
        await link.closed()
        await executor.stop()


async def recorded_messages(innkeeper: Deployment, kind: str = "rack_response_rejected") -> list[str]:
    """Returns the messages of the events of that kind, oldest first."""
    found = await innkeeper.region.components.services.events.list(EventFilter(), caller=None)
    return [event.message for event in reversed(found) if event.kind == kind]
