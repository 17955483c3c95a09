"""The address of a host with a machine changes: the server at the new one is the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from common.errors import HostUnreachable, InnkeeperError
from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from tests.faults.scenarios.cell_hosts import CellHost
from tests.faults.scenarios.hosts.lxd import FakeLxdHost, trust_problems
from tests.faults.scenarios.machines import unexpected_machines
from tests.faults.scenarios.scenario import Outcome, Request, Response, UnkeyedScenario, problem
from tests.faults.scenarios.site import Site, simulated


class ChangeAddress(UnkeyedScenario):
    """The server has two names. A caller without an answer looks whether the host has the new address."""

    name = "change_address"
    kinds = (OperationKind.REFRESH,)

    async def prepare(self, site: Site) -> FakeLxdHost:
        host = await site.add(site.new_lxd_host())
        assert isinstance(host, FakeLxdHost)
        simulated(site).name_server(host, _new(host))
        await site.deployment.compose(host.host_id, hostname=f"m-{host.name}", cores="1", storage="root:4")
        host.after = await site.newest_operation()
        return host

    async def request(self, site: Site, state: CellHost) -> Request:
        return Request(method="PUT", path=state.path, fields={"power_address": _new(state)})

    async def submit(self, site: Site, state: CellHost, key: str) -> Response:
        """A change that was refused because the server at the new address did not answer is repeated."""
        try:
            return await super().submit(site, state, key)
        except InnkeeperError as error:
            if "could not be read" not in str(error.details.get("fields")):
                raise
            raise HostUnreachable("the new address did not answer", status=503) from error

    async def known(self, site: Site, state: CellHost) -> Response | None:
        if not await self._is_changed(site, state):
            return None
        return Response(answer=await site.until_ready(state))

    async def answered(self, site: Site, state: CellHost, answer: Answer) -> Response:
        return Response(answer=await site.until_ready(state))

    async def check(self, site: Site, state: FakeLxdHost, outcome: Outcome) -> Iterable[str]:
        machines: list[Any] = await site.deployment.get("machines/")
        states = [one["status_name"] for one in machines]
        return [
            *await trust_problems(site, state),
            *problem("the host has its former address", when=not await self._is_changed(site, state)),
            *problem(f"the machine is {states}", when=states != ["Ready"]),
            *await unexpected_machines(site, f"m-{state.name}"),
        ]

    async def clear(self, site: Site, state: CellHost) -> None:
        await site.remove(state)

    async def _is_changed(self, site: Site, state: CellHost) -> bool:
        address: str = await site.fetchval("select address from vm_host where id = $1", state.host_id)
        return _new(state) in address


def _new(host: CellHost) -> str:
    return f"other-{host.name}"
