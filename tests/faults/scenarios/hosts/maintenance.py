"""Maintenance begins while a compose runs on the host: its machine comes, and no other."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import InnkeeperError
from tests.faults.scenarios.machines import Compose, HostMachine
from tests.faults.scenarios.scenario import Outcome, Request, Response, problem, send
from tests.faults.scenarios.site import Site


class MaintenanceDuringCompose(Compose):
    """The caller repeats both requests until each is answered."""

    name = "maintenance_during_compose"

    async def submit(self, site: Site, state: HostMachine, key: str) -> Response:
        opened = await super().submit(site, state, key)
        await send(site, Request(path=state.host.path, op="maintenance"), None, respond_async=True)
        return opened

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        host = await site.find(state.host)
        workload = await site.deployment.get(state.host.path, op="guests")
        there = [one for one in workload if (one["name"], one["kind"]) == (state.hostname, "machine")]
        return [
            *await super().check(site, state, outcome),
            *problem("the host is not in maintenance", when=host["maintenance"] is None),
            *problem(f"the list of what is there has {workload}", when=len(there) != 1),
            *await self._takes_another(site, state),
        ]

    async def _takes_another(self, site: Site, state: HostMachine) -> list[str]:
        try:
            await site.deployment.compose(state.host.host_id, hostname=site.new_name("late"), **state.host.shape)
        except InnkeeperError as error:
            return problem(f"a compose is refused with {error}", when="maintenance" not in str(error))
        return ["the host took a machine in its maintenance"]

    async def clear(self, site: Site, state: HostMachine) -> None:
        await site.deployment.post(state.host.path, op="end_maintenance")
