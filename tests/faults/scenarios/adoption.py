"""A foreign guest is adopted, and a machine is forgotten: only the guest's marker changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.cell_hosts import GuestHost, SimulatedCellHost
from tests.faults.scenarios.machines import composed, unexpected_machines
from tests.faults.scenarios.scenario import (
    SUCCEEDS_OR_ANSWERED,
    Outcome,
    Request,
    RequestScenario,
    Response,
    problem,
    send,
)
from tests.faults.scenarios.site import Site


@frozen(kw_only=True)
class HostGuest:
    """A guest as it was before the request, and its machine if it has one."""

    host: GuestHost
    name: str
    before: Any
    system_id: str = ""


async def snapshot(host: GuestHost, name: str, system_id: str = "") -> HostGuest:
    before = await asyncio.to_thread(host.all_but_marker, name)
    return HostGuest(host=host, name=name, before=before, system_id=system_id)


async def foreign_guest(site: Site) -> HostGuest:
    """A new guest without marker, known to the region."""
    host = await site.host()
    name = await asyncio.to_thread(host.add_foreign, site.new_name("found"))
    await site.refresh(host)
    return await snapshot(host, name)


async def unexpected_changes(state: HostGuest, *, marked: bool) -> list[str]:
    """Problems unless the guest has a marker or none, as expected, and is otherwise unchanged."""
    now = await asyncio.to_thread(state.host.all_but_marker, state.name)
    has_marker = await asyncio.to_thread(state.host.is_marked, state.name)
    return [
        *problem(f"the guest was {state.before} and is {now}", when=now != state.before),
        *problem(f"the guest is marked: {has_marker}", when=has_marker is not marked),
    ]


async def remove_guest(site: Site, state: HostGuest) -> None:
    """The host's administrator removes the guest; a refresh reports it."""
    assert isinstance(state.host, SimulatedCellHost)
    await asyncio.to_thread(state.host.file.remove, state.name)
    await site.refresh(state.host)


class Adopt(RequestScenario):
    """A repeat gets the operation in progress, or the machine that the guest has become."""

    name = "adopt"
    kinds = (OperationKind.ADOPT,)
    ends = SUCCEEDS_OR_ANSWERED
    keyed = False

    async def prepare(self, site: Site) -> HostGuest:
        return await foreign_guest(site)

    async def request(self, site: Site, state: HostGuest) -> Request:
        return Request(path=state.host.path, op="adopt", fields={"guests": state.name})

    async def check(self, site: Site, state: HostGuest, outcome: Outcome) -> Iterable[str]:
        return [*await unexpected_machines(site, state.name), *await unexpected_changes(state, marked=True)]

    def changed_guests(self, state: HostGuest) -> frozenset[str]:
        return frozenset({state.name})

    async def clear(self, site: Site, state: HostGuest) -> None:
        for machine in await site.deployment.get("machines/"):
            await site.deployment.send("POST", f"machines/{machine['system_id']}/", op="forget")
        await remove_guest(site, state)


class Forget(RequestScenario):
    """A repeat that finds no such machine reads the machine's operations."""

    name = "forget"
    kinds = (OperationKind.FORGET,)
    keyed = False

    def __init__(self, *, adopted: bool = False) -> None:
        """`adopted`: the machine was adopted, not composed."""
        self.adopted = adopted

    async def prepare(self, site: Site) -> HostGuest:
        if self.adopted:
            guest = await foreign_guest(site)
            (machine,) = await site.deployment.post(guest.host.path, op="adopt", guests=guest.name)
            return await snapshot(guest.host, guest.name, machine["system_id"])
        made = await composed(site, power_on="true")
        return await snapshot(made.host, made.hostname, made.system_id)

    async def request(self, site: Site, state: HostGuest) -> Request:
        return Request(path=f"machines/{state.system_id}/", op="forget")

    async def submit(self, site: Site, state: HostGuest, key: str) -> Response:
        try:
            return Response.by(await send(site, await self.request(site, state), key, respond_async=True))
        except InnkeeperError as error:
            if error.details.get("status") not in (404, 409):
                raise
        found: list[Any] = await site.deployment.get(f"operations/?machine={state.system_id}")
        return Response(operation_id=next(one["id"] for one in found if one["kind"] == "forget"))

    async def check(self, site: Site, state: HostGuest, outcome: Outcome) -> Iterable[str]:
        return [*await unexpected_machines(site), *await unexpected_changes(state, marked=False)]

    def changed_guests(self, state: HostGuest) -> frozenset[str]:
        return frozenset({state.name})

    async def clear(self, site: Site, state: HostGuest) -> None:
        await remove_guest(site, state)
