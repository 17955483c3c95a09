"""Handles the region's `host.*` commands; those that are one call of a driver have no code.

The link cancels a handler at its deadline or when the caller cancels. The thread of a cancelled call may finish its
work: every driver method is idempotent, fencing tokens reject old attempts, and `host.fence` waits for those that run.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import structlog
from attrs import evolve

from common.errors import InnkeeperError, Unsupported
from common.hosts.discovery import Discovery
from common.rpc.commands.command import Command, Done
from common.rpc.commands.host_commands import (
    HOST_ADOPT,
    HOST_COMPOSE,
    HOST_DISCONNECT,
    HOST_DISCOVER,
    HOST_DISOWN,
    HOST_FENCE,
    HOST_IDENTIFY,
    HOST_POWER,
    HOST_REACH,
    HOST_WATCH,
    MAX_CALL_S,
    NOTHING_BEGAN,
    ComposeCall,
    DisconnectCall,
    DiscoveryPart,
    FenceCall,
    HostCall,
    MarkerCall,
    PowerCall,
    PowerReply,
)
from common.rpc.commands.host_method import CallClass
from common.rpc.handlers import Handler
from common.values import Guest, HostAccess, PeerIdentity, PowerAction
from rackd.drivers.contract import Driver
from rackd.drivers.disk_sizes import named_sizes
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.resizing import size_of
from rackd.drivers.start_refusals import StartChange, start_refusals
from rackd.event_watch import EventLink, EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.host_methods import method_handlers

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

GUESTS_PER_PART = 25  # larger frames delay other calls of the link
_WAITS_FOR_GUEST = {PowerAction.OFF, PowerAction.CYCLE}  # for the guest's own shutdown, which can take minutes
CHECK_REACH_S = 30.0


class HostCommands:
    """The rack's command handlers."""

    def __init__(
        self, *, executor: Executor, drivers: DriverRegistry, fenced: FencedCalls, event_watcher: EventWatcher
    ) -> None:
        self._executor = executor
        self._drivers = drivers
        self._fenced = fenced
        self._event_watcher = event_watcher

    def handlers(self) -> Mapping[Command[Any, Any], Handler]:
        return {
            HOST_IDENTIFY: self.identify,
            HOST_DISCOVER: self.discover,
            HOST_COMPOSE: self.compose,
            HOST_FENCE: self.fence,
            HOST_POWER: self.power,
            HOST_ADOPT: self.adopt,
            HOST_DISOWN: self.disown,
            HOST_WATCH: self.watch,
            HOST_DISCONNECT: self.disconnect,
            **method_handlers(self._executor, self._fenced),
        }

    async def identify(self, _: EventLink, call: HostCall) -> PeerIdentity:
        """Raises Unsupported if the host presents nothing to pin, such as a local socket or a simulated host."""
        found = await self._executor.run_without_driver(
            call.access, lambda: self._drivers.identify(call.access), what="identify", deadline_s=MAX_CALL_S
        )
        if found is None:
            raise Unsupported(f"{call.access.address} presents no key or certificate that Innkeeper could pin.")
        return found

    async def discover(self, _: EventLink, call: HostCall) -> AsyncGenerator[DiscoveryPart, None]:
        found = await self._executor.run(
            call.access, lambda driver: driver.discover(), what="discover", deadline_s=MAX_CALL_S
        )
        for part in parts_of(found):
            yield part

    async def compose(self, _: EventLink, call: ComposeCall) -> Guest:
        if call.check_reach:
            await self._check_reach(call.access)
        return await self._fenced.run(call, lambda driver: driver.compose(call.spec), what="compose")

    async def _check_reach(self, access: HostAccess) -> None:
        """Raises the host's error, marked with NOTHING_BEGAN: compose has changed nothing on the host."""
        try:
            await self._executor.run(
                access,
                lambda driver: driver.reach(),
                what=HOST_REACH.what,
                deadline_s=CHECK_REACH_S,
                call_class=HOST_REACH.call_class,
            )
        except InnkeeperError as error:
            error.details[NOTHING_BEGAN] = True
            raise

    async def fence(self, _: EventLink, call: FenceCall) -> Done:
        await self._fenced.exclude_older(call.fence)
        return Done()

    async def power(self, _: EventLink, call: PowerCall) -> PowerReply:
        return await self._fenced.run(
            call,
            lambda driver: switched(driver, call),
            what=f"power {call.action}",
            call_class=CallClass.LONG_RUNNING if call.action in _WAITS_FOR_GUEST else CallClass.ORDERED,
        )

    async def adopt(self, _: EventLink, call: MarkerCall) -> Guest:
        return await self._fenced.run(
            call, lambda driver: driver.adopt(call.guest_id, call.guest_name, call.marker), what="adopt"
        )

    async def disown(self, _: EventLink, call: MarkerCall) -> Done:
        return await self._fenced.change(
            call,
            lambda driver: driver.disown(call.guest_id, call.guest_name, call.marker, exactly=call.exactly),
            what="disown",
        )

    async def watch(self, link: EventLink, call: HostCall) -> Done:
        await self._event_watcher.watch(link, call.access, deadline_s=MAX_CALL_S)
        return Done()

    async def disconnect(self, _: EventLink, call: DisconnectCall) -> Done:
        self._event_watcher.unwatch(call.host_id)
        self._executor.disconnect_host(call.host_id)
        return Done()


def switched(driver: Driver, call: PowerCall) -> PowerReply:
    """Powers the guest. The reply has what the call asks for, such as sizes, as it is then, unless it is unknown."""
    with start_refusals() as refusals:
        power = driver.power(
            call.guest,
            call.action,
            grace_s=call.grace_s,
            autostart=call.autostart,
            size=call.size,
            disk_sizes=call.disk_sizes,
            boot_once=call.boot_once,
        )
    if call.size is None and not call.disk_sizes and call.boot_once is None:
        return PowerReply(power=power)
    try:
        found = driver.find(call.guest)
    except InnkeeperError as error:  # the power action has happened, and a retry could repeat it
        log.warning("size_unknown", guest=call.guest.name, reason=str(error))
        found = None
    why = PowerReply(
        power=power,
        size_refused="; ".join(refusals.of(StartChange.SIZE)),
        disks_refused=refusals.of(StartChange.DISK),
        boot_refused="; ".join(refusals.of(StartChange.BOOT)),
    )
    if found is None:
        return why
    has_size = call.size is not None and found.cores and found.memory_mib
    return evolve(
        why,
        size=size_of(found) if has_size else None,
        disk_sizes=named_sizes(found, call.disk_sizes),
        booted_once=found.booted_once if call.boot_once is not None else None,
    )


def parts_of(found: Discovery) -> Iterator[DiscoveryPart]:
    """Yields a discovery in parts that are quick to encode: facts in the first, `last` set on the last."""
    count = max(len(found.guests), len(found.on_other_members), len(found.problems), len(found.orphaned_volumes), 1)
    for start in range(0, count, GUESTS_PER_PART):
        stop = start + GUESTS_PER_PART
        yield DiscoveryPart(
            facts=found.facts if start == 0 else None,
            guests=found.guests[start:stop],
            on_other_members=found.on_other_members[start:stop],
            problems=found.problems[start:stop],
            calls=found.calls if stop >= count else 0,
            last=stop >= count,
            orphaned_volumes=found.orphaned_volumes[start:stop],
            inspected_pools=found.inspected_pools if stop >= count else (),
            image_copies=found.image_copies if stop >= count else (),
            image_pools=found.image_pools if stop >= count else (),
        )
