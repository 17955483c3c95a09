"""Hosts are added, refreshed and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from tests.faults.scenarios.adoption import HostGuest, remove_guest, snapshot
from tests.faults.scenarios.cell_hosts import CellHost, GuestHost
from tests.faults.scenarios.machines import unexpected_machines
from tests.faults.scenarios.scenario import SUCCEEDS, Outcome, Request, Response, UnkeyedScenario, problem
from tests.faults.scenarios.site import Site


class AddCellHost(UnkeyedScenario):
    """A caller without an answer adds the host unless there is one of that name."""

    kinds = (OperationKind.REFRESH,)

    async def request(self, site: Site, state: CellHost) -> Request:
        return Request(path="vm-hosts/", fields=state.fields)

    async def known(self, site: Site, state: CellHost) -> Response | None:
        if await site.find(state) is None:
            return None
        return Response(answer=await site.until_ready(state))

    async def answered(self, site: Site, state: CellHost, answer: Answer) -> Response:
        return Response(answer=await site.until_ready(state))

    async def clear(self, site: Site, state: CellHost) -> None:
        await site.remove(state)


class AddHost(AddCellHost):
    name = "add_host"

    async def prepare(self, site: Site) -> GuestHost:
        return site.new_host()

    async def check(self, site: Site, state: GuestHost, outcome: Outcome) -> Iterable[str]:
        return [*await site.not_ready(state), *await asyncio.to_thread(state.foreign_problems)]


class Refresh(UnkeyedScenario):
    """The host has a new foreign guest. A refresh that fails answers with its error and is repeated."""

    name = "refresh"
    kinds = (OperationKind.REFRESH,)

    async def prepare(self, site: Site) -> HostGuest:
        host = await site.host()
        return await snapshot(host, await asyncio.to_thread(host.add_foreign, site.new_name("found")))

    async def request(self, site: Site, state: HostGuest) -> Request:
        return Request(path=state.host.path, op="refresh")

    async def check(self, site: Site, state: HostGuest, outcome: Outcome) -> Iterable[str]:
        known = await site.fetchval("select count(*) from guest where name = $1", state.name)
        return problem(f"the region has {known} guests of the new guest's name", when=known != 1)

    async def clear(self, site: Site, state: HostGuest) -> None:
        await remove_guest(site, state)


class RemoveHost(UnkeyedScenario):
    """The host has a machine, which is deleted with it, or detached and stays as it is."""

    waits = False
    ends = SUCCEEDS

    def __init__(self, *, decompose: bool) -> None:
        self.decompose = decompose
        self.name = "remove_host_and_machines" if decompose else "remove_host"
        self.kinds = (OperationKind.REMOVE_HOST, *((OperationKind.DELETE,) if decompose else ()))

    async def prepare(self, site: Site) -> GuestHost:
        host = await site.add(site.new_host())
        await site.deployment.compose(host.host_id, hostname=host.hostname(f"m-{host.name}"), **host.shape)
        host.after = await site.newest_operation()
        return host

    async def request(self, site: Site, state: GuestHost) -> Request:
        query = {"decompose": "true"} if self.decompose else {}
        return Request(method="DELETE", path=state.path, query=query)

    async def known(self, site: Site, state: GuestHost) -> Response | None:
        in_progress = await site.opened(OperationKind.REMOVE_HOST, state.after)
        return None if in_progress is None else Response(operation_id=in_progress)

    async def check(self, site: Site, state: GuestHost, outcome: Outcome) -> Iterable[str]:
        left = await asyncio.to_thread(state.marked)
        expected = 0 if self.decompose else 3  # the guest and two disks
        return [
            *problem("the host still exists", when=await site.find(state) is not None),
            *problem(f"marked guests and volumes on the host: {left}", when=len(left) != expected),
            *await unexpected_machines(site),
            *await asyncio.to_thread(state.foreign_problems),
        ]

    async def clear(self, site: Site, state: GuestHost) -> None:
        site.temporary.pop(state.name, None)
