"""A machine with several disks and NICs is composed and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.cell_hosts import FOREIGN, GuestHost
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site

_USE = "select is_stock, generation from machine where system_id = $1"


@frozen(kw_only=True)
class HostMachine:
    """A machine and its host. `system_id` is empty before it is composed."""

    host: GuestHost
    hostname: str
    system_id: str = ""

    @property
    def path(self) -> str:
        return f"machines/{self.system_id}/"


async def composed(site: Site, *, host: GuestHost | None = None, **more: str) -> HostMachine:
    """Composes a machine on this host, the cell's by default."""
    host = host or await site.host()
    hostname = host.hostname(site.new_name("m"))
    made = await site.deployment.compose(host.host_id, hostname=hostname, **{**host.shape, **more})
    return HostMachine(host=host, hostname=hostname, system_id=made["system_id"])


async def unexpected_machines(site: Site, *expected: str) -> list[str]:
    """A problem unless the API lists exactly these machines."""
    found: list[Any] = sorted(one["hostname"] for one in await site.deployment.get("machines/"))
    return problem(f"the machines are {found}, expected: {sorted(expected)}", when=found != sorted(expected))


async def first_use_problems(site: Site, state: HostMachine) -> list[str]:
    """Problems unless the machine is in use, and both the ledger and the host have the generation of its first use."""
    ((is_stock, known),) = await site.fetch(_USE, state.system_id)
    actual = await asyncio.to_thread(state.host.generation, state.hostname)
    return [
        *problem("the machine is still stock", when=is_stock),
        *problem(f"the ledger has the generation {known}", when=known != 1),
        *problem(f"the guest has the generation {actual}", when=actual not in (1, None)),
    ]


class Compose(RequestScenario):
    name = "compose"
    kinds = (OperationKind.COMPOSE,)

    async def prepare(self, site: Site) -> HostMachine:
        host = await site.host()
        return HostMachine(host=host, hostname=host.hostname(site.new_name("m")))

    async def request(self, site: Site, state: HostMachine) -> Request:
        fields = {**state.host.shape, "hostname": state.hostname}
        return Request(path=state.host.path, op="compose", fields=fields)

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        created = await asyncio.to_thread(state.host.count, state.hostname, "appeared")
        parts = await asyncio.to_thread(state.host.parts, state.hostname)
        return [
            *await unexpected_machines(site, state.hostname),
            *problem(f"the guest was created {created} times", when=created not in (1, None)),
            *problem(f"the guest has {parts} disks and NICs", when=parts not in ((2, 2), None)),
        ]


class ComposeRejected(Compose):
    """The host has a foreign guest of that name: the compose is undone."""

    name = "compose_rejected"
    ends = frozenset({"failed"})

    async def prepare(self, site: Site) -> HostMachine:
        return HostMachine(host=await site.host(), hostname=FOREIGN)

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        code = (outcome.operation.get("error") or {}).get("code")
        return [*await unexpected_machines(site), *problem(f"it failed with {code}", when=code != "name_taken")]


class Delete(RequestScenario):
    name = "delete"
    kinds = (OperationKind.DELETE,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site)

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(method="DELETE", path=state.path)

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        gone = await asyncio.to_thread(state.host.count, state.hostname, "gone")
        return [
            *await unexpected_machines(site),
            *problem(f"the guest was removed {gone} times", when=gone not in (1, None)),
        ]
