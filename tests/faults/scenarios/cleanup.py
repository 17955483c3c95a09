"""A discovery run finds a marked guest of a deleted machine; an operation that nobody requested removes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID

from attrs import frozen

from common.values import OwnershipMarker
from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from tests.faults.scenarios.cell_hosts import GuestHost, SimulatedCellHost
from tests.faults.scenarios.machines import HostMachine, composed
from tests.faults.scenarios.scenario import SUCCEEDS, Outcome, Request, Response, UnkeyedScenario, problem
from tests.faults.scenarios.site import Site

_MARKER = "select i.id, m.uuid from installation i, machine m where m.system_id = $1"


@frozen(kw_only=True)
class LeftoverGuest:
    host: GuestHost
    name: str
    after: int


async def marker_of(site: Site, machine: HostMachine) -> OwnershipMarker:
    ((installation, machine_uuid),) = await site.fetch(_MARKER, machine.system_id)
    return OwnershipMarker(installation_id=UUID(str(installation)), machine_id=UUID(str(machine_uuid)))


async def add_marked_guest(host: GuestHost, name: str, marker: OwnershipMarker) -> None:
    assert isinstance(host, SimulatedCellHost)
    await asyncio.to_thread(host.file.add_marked, name, marker)


class CleanUp(UnkeyedScenario):
    name = "clean_up"
    kinds = (OperationKind.CLEAN_UP, OperationKind.REFRESH)
    ends = SUCCEEDS

    async def prepare(self, site: Site) -> LeftoverGuest:
        machine = await composed(site)
        marker = await marker_of(site, machine)
        await site.deployment.delete(machine.path)
        name = site.new_name("leftover")
        await add_marked_guest(machine.host, name, marker)
        return LeftoverGuest(host=machine.host, name=name, after=await site.newest_operation())

    async def request(self, site: Site, state: LeftoverGuest) -> Request:
        return Request(path=state.host.path, op="refresh")

    async def known(self, site: Site, state: LeftoverGuest) -> Response | None:
        begun = await site.opened(OperationKind.CLEAN_UP, state.after)
        return None if begun is None else Response(operation_id=begun)

    async def answered(self, site: Site, state: LeftoverGuest, answer: Answer) -> Response:
        return Response(operation_id=await site.opened(OperationKind.CLEAN_UP, state.after))

    async def check(self, site: Site, state: LeftoverGuest, outcome: Outcome) -> Iterable[str]:
        gone = await asyncio.to_thread(state.host.count, state.name, "gone")
        return problem(f"the guest was removed {gone} times", when=gone != 1)
