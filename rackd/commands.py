"""How the rack answers the region's `host.*` commands: each is one call to the executor.

The link cancels a handler at its deadline, or when the caller does. The thread of a cancelled call may finish what it
began; that is harmless, since everything a driver does may be repeated, and fences keep old attempts from starting.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any, TypeVar
from uuid import UUID

import structlog

from common.discovery import Discovery
from common.errors import Unsupported
from common.rpc.commands import (
    HOST_ADOPT,
    HOST_COMPOSE,
    HOST_DECOMPOSE,
    HOST_DISCOVER,
    HOST_DISOWN,
    HOST_FIND,
    HOST_FORGET,
    HOST_IDENTIFY,
    HOST_MAKE_PROJECT,
    HOST_POWER,
    HOST_PROJECTS,
    HOST_REACH,
    HOST_REMOVE_VOLUMES,
    HOST_TRUST,
    HOST_UNTRUST,
    HOST_WATCH,
    Command,
    ComposeCall,
    DecomposeCall,
    DiscoveryPart,
    Done,
    Fence,
    FoundGuest,
    GuestCall,
    HostCall,
    HostIdCall,
    MarkCall,
    PowerCall,
    PowerReply,
    ProjectCall,
    ProjectList,
    Reached,
    RemoveVolumesCall,
    TrustCall,
    UntrustCall,
)
from common.rpc.handlers import Handler
from common.values import Guest, HostAccess, PeerIdentity, PowerAction
from rackd.drivers.contract import Driver
from rackd.drivers.registry import Drivers
from rackd.executor import Executor
from rackd.fences import Fences
from rackd.lanes import Track
from rackd.watching import EventLink, Watching

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")

GUESTS_PER_PART = 25  # larger frames hold up the other calls of the link
_MAY_WAIT = {PowerAction.OFF, PowerAction.CYCLE}  # for the guest's own shutdown, which may take minutes
LONGEST_S = 1800.0  # the link's own deadline comes first; this is for a region that gives none


class HostCommands:
    def __init__(self, *, executor: Executor, drivers: Drivers, fences: Fences, watching: Watching) -> None:
        self._executor = executor
        self._drivers = drivers
        self._fences = fences
        self._watching = watching

    def handlers(self) -> Mapping[Command[Any, Any], Handler]:
        return {
            HOST_IDENTIFY: self.identify,
            HOST_REACH: self.reach,
            HOST_DISCOVER: self.discover,
            HOST_COMPOSE: self.compose,
            HOST_DECOMPOSE: self.decompose,
            HOST_REMOVE_VOLUMES: self.remove_volumes,
            HOST_POWER: self.power,
            HOST_FIND: self.find,
            HOST_ADOPT: self.adopt,
            HOST_DISOWN: self.disown,
            HOST_PROJECTS: self.projects,
            HOST_MAKE_PROJECT: self.make_project,
            HOST_TRUST: self.trust,
            HOST_UNTRUST: self.untrust,
            HOST_WATCH: self.watch,
            HOST_FORGET: self.forget,
        }

    async def identify(self, _: EventLink, call: HostCall) -> PeerIdentity:
        """Raises Unsupported for an address that presents nothing to pin: a local socket, a simulated host."""
        found = await self._executor.run_apart(
            call.access, lambda: self._drivers.identify(call.access), what="identify", deadline_s=LONGEST_S
        )
        if found is None:
            raise Unsupported(f"{call.access.address} presents no key or certificate: there is nothing to pin.")
        return found

    async def reach(self, _: EventLink, call: HostCall) -> Reached:
        version = await self._look(call.access, lambda driver: driver.reach(), what="reach")
        return Reached(hypervisor_version=version)

    async def discover(self, _: EventLink, call: HostCall) -> AsyncGenerator[DiscoveryPart, None]:
        found = await self._executor.run(
            call.access, lambda driver: driver.discover(), what="discover", deadline_s=LONGEST_S
        )
        for part in parts_of(found):
            yield part

    async def compose(self, _: EventLink, call: ComposeCall) -> Guest:
        return await self._act(
            call.access, lambda driver: driver.compose(call.spec), call.fence, call.spec.mark.machine_id, what="compose"
        )

    async def decompose(self, _: EventLink, call: DecomposeCall) -> Done:
        def work(driver: Driver) -> None:
            driver.decompose(call.guest, call.volumes, call.mac_addresses)

        await self._act(call.access, work, call.fence, call.guest.mark.machine_id, what="decompose")
        return Done()

    async def remove_volumes(self, _: EventLink, call: RemoveVolumesCall) -> Done:
        def work(driver: Driver) -> None:
            driver.remove_volumes(call.mark, call.volumes)

        await self._act(call.access, work, call.fence, call.mark.machine_id, what="remove volumes")
        return Done()

    async def power(self, _: EventLink, call: PowerCall) -> PowerReply:
        state = await self._act(
            call.access,
            lambda driver: driver.power(call.guest, call.action, grace_s=call.grace_s),
            call.fence,
            call.guest.mark.machine_id,
            what=f"power {call.action}",
            track=Track.PATIENT if call.action in _MAY_WAIT else Track.ORDERED,
        )
        return PowerReply(power=state)

    async def find(self, _: EventLink, call: GuestCall) -> FoundGuest:
        found = await self._look(call.access, lambda driver: driver.find(call.guest), what="find")
        return FoundGuest(guest=found)

    async def adopt(self, _: EventLink, call: MarkCall) -> Guest:
        return await self._act(
            call.access,
            lambda driver: driver.adopt(call.guest_id, call.guest_name, call.mark),
            call.fence,
            call.mark.machine_id,
            what="adopt",
        )

    async def disown(self, _: EventLink, call: MarkCall) -> Done:
        def work(driver: Driver) -> None:
            driver.disown(call.guest_id, call.guest_name, call.mark, exactly=call.exactly)

        await self._act(call.access, work, call.fence, call.mark.machine_id, what="disown")
        return Done()

    async def projects(self, _: EventLink, call: HostCall) -> ProjectList:
        found = await self._executor.run(
            call.access, lambda driver: driver.projects(), what="projects", deadline_s=LONGEST_S
        )
        return ProjectList(projects=found)

    async def make_project(self, _: EventLink, call: ProjectCall) -> Done:
        await self._look(call.access, lambda driver: driver.make_project(call.description), what="make project")
        return Done()

    async def trust(self, _: EventLink, call: TrustCall) -> Done:
        await self._look(
            call.access, lambda driver: driver.trust(call.certificate_pem, call.name, call.secret), what="trust"
        )
        return Done()

    async def untrust(self, _: EventLink, call: UntrustCall) -> Done:
        await self._look(call.access, lambda driver: driver.untrust(call.fingerprint), what="untrust")
        return Done()

    async def watch(self, link: EventLink, call: HostCall) -> Done:
        await self._watching.watch(link, call.access, deadline_s=LONGEST_S)
        return Done()

    async def forget(self, _: EventLink, call: HostIdCall) -> Done:
        self._watching.forget(call.host_id)
        self._executor.forget(call.host_id)
        return Done()

    async def _look(self, access: HostAccess, work: Callable[[Driver], T], *, what: str) -> T:
        return await self._executor.run(access, work, what=what, deadline_s=LONGEST_S, track=Track.QUICK)

    async def _act(
        self,
        access: HostAccess,
        work: Callable[[Driver], T],
        fence: Fence,
        machine_id: UUID,
        *,
        what: str,
        track: Track = Track.ORDERED,
    ) -> T:
        self._fences.admit(fence)

        def fenced(driver: Driver) -> T:
            self._fences.check(fence)  # a newer attempt may have come while this one waited for its turn
            log.info(
                "acting_on_host",
                what=what,
                host_id=access.host_id,
                machine_id=str(machine_id),
                operation=fence.operation_id,
                attempt=fence.attempt,
            )
            return work(driver)

        return await self._executor.run(
            access, fenced, what=what, deadline_s=LONGEST_S, track=track, machine_id=machine_id
        )


def parts_of(found: Discovery) -> Iterator[DiscoveryPart]:
    """A discovery in pieces that are each quick to encode: facts in the first, `last` on the last."""
    longest = max(len(found.guests), len(found.elsewhere), len(found.problems), len(found.unused_volumes), 1)
    for start in range(0, longest, GUESTS_PER_PART):
        stop = start + GUESTS_PER_PART
        yield DiscoveryPart(
            facts=found.facts if start == 0 else None,
            guests=found.guests[start:stop],
            elsewhere=found.elsewhere[start:stop],
            problems=found.problems[start:stop],
            calls=found.calls if stop >= longest else 0,
            last=stop >= longest,
            unused_volumes=found.unused_volumes[start:stop],
            volumes_told=found.volumes_told if stop >= longest else (),
        )
