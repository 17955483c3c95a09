"""A dead host is removed by force: nothing on it is touched, and its machines are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from attrs import define

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.cell_hosts import SimulatedCellHost
from tests.faults.scenarios.machines import unexpected_machines
from tests.faults.scenarios.scenario import SUCCEEDS, Outcome, Request, Response, UnkeyedScenario, problem
from tests.faults.scenarios.site import Site, simulated

_LOST = "select system_id, message from event where kind = 'machine_lost' and operation_id = $1"
_LEFT = """
    select format('%s claims on server %s', count(*), c.server_id) from claim c
     where not exists (select from vm_host h where h.server_id = c.server_id) group by c.server_id
    union all
    select format('address %s', host(address)) from ip_address where machine_id not in (select id from machine)
    union all
    select format('operation %s on %s', id, host_name) from operation where is_open and host_name = $1
"""


@define(kw_only=True)
class DeadHost:
    """A host with one machine. `unfinished` is an operation on it that waits for the host; 0 before the request."""

    host: SimulatedCellHost
    hostname: str
    system_id: str
    unfinished: int = 0


class RemoveDeadHost(UnkeyedScenario):
    """A power action waits for the dead host; the removal ends it."""

    name = "remove_dead_host"
    kinds = (OperationKind.REMOVE_HOST,)
    waits = False
    ends = SUCCEEDS

    async def prepare(self, site: Site) -> DeadHost:
        host = await site.add(site.new_host())
        assert isinstance(host, SimulatedCellHost)
        hostname = host.hostname(f"m-{host.name}")
        machine = await site.deployment.compose(host.host_id, hostname=hostname, **host.shape)
        host.after = await site.newest_operation()
        return DeadHost(host=host, hostname=hostname, system_id=machine["system_id"])

    async def request(self, site: Site, state: DeadHost) -> Request:
        if not state.unfinished:
            simulated(site).end_host(state.host)
            begun = await site.opened(OperationKind.POWER, state.host.after)  # whose answer a kill took
            state.unfinished = begun or await site.deployment.begin(f"machines/{state.system_id}/", op="power_on")
        return Request(method="DELETE", path=state.host.path, query={"force": "true"})

    async def known(self, site: Site, state: DeadHost) -> Response | None:
        in_progress = await site.opened(OperationKind.REMOVE_HOST, state.host.after)
        return None if in_progress is None else Response(operation_id=in_progress)

    async def check(self, site: Site, state: DeadHost, outcome: Outcome) -> Iterable[str]:
        simulated(site).restore_calls()
        operation = await site.deployment.get(f"operations/{state.unfinished}/")
        events = [tuple(row) for row in await site.fetch(_LOST, outcome.operation.get("id"))]
        named = [f"{state.system_id} {message}" for _, message in events if message.startswith(f"{state.hostname} ")]
        result = outcome.operation.get("result") or {}
        left = [row[0] for row in await site.fetch(_LEFT, state.host.name)]
        marked = await asyncio.to_thread(state.host.marked)
        return [
            *problem("the host still exists", when=await site.find(state.host) is not None),
            *problem(f"the events of lost machines are {events}", when=len(events) != 1 or len(named) != 1),
            *problem(f"the removal lists {result}", when=result.get("lost_machines") != [state.system_id]),
            *problem(f"the power action is {operation['state']}", when=operation["state"] != "failed"),
            *problem(f"left of the host: {left}", when=bool(left)),
            *problem(f"marked guests and volumes on the dead host: {marked}", when=len(marked) != 3),
            *await unexpected_machines(site),
            *await asyncio.to_thread(state.host.foreign_problems),
        ]

    async def clear(self, site: Site, state: DeadHost) -> None:
        simulated(site).restore_calls()
        site.temporary.pop(state.host.name, None)
