"""The chosen host cannot compose after all: the compose is undone there and rescheduled on another host."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from attrs import frozen

from common.errors import InvalidRequest
from common.units import BYTES_PER_GB
from common.words.operation_kinds import OperationKind
from tests.deployment.held_refreshes import hold_refreshes, resume_refreshes
from tests.faults.scenarios.cell_hosts import LARGE, SimulatedCellHost
from tests.faults.scenarios.ownership import only_machine
from tests.faults.scenarios.scenario import SUCCEEDS_OR_ANSWERED, Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site

STORAGE_GB = 2000  # of each shared simulated host
FILLER = "filler"
_USED = "select coalesce(sum(size_bytes), 0) from volume where pool = 'default'"


@frozen(kw_only=True)
class FullHost:
    """The host chosen first; its storage was filled after the last discovery run."""

    host: SimulatedCellHost
    since: Mapping[str, int]


class ComposeRescheduled(RequestScenario):
    name = "compose_rescheduled"
    kinds = (OperationKind.COMPOSE,)
    ends = SUCCEEDS_OR_ANSWERED

    async def prepare(self, site: Site) -> FullHost:
        host_ids = [host.host_id for host in await site.hosts()]
        await hold_refreshes(site.fetch, host_ids, site.refresh_all)  # a later run would find the host full
        dry = await site.deployment.post("machines/", op="allocate", dry_run="true", **LARGE)
        chosen: str = dry["explanation"]["chosen"]
        host = next((one for one in await site.hosts() if one.name == chosen), None)
        if not isinstance(host, SimulatedCellHost):
            raise InvalidRequest(f"{chosen} is not a shared host")
        await asyncio.to_thread(_fill, host)
        return FullHost(host=host, since=await site.moment())

    async def request(self, site: Site, state: FullHost) -> Request:
        return Request(path="machines/", op="allocate", fields=LARGE)

    async def check(self, site: Site, state: FullHost, outcome: Outcome) -> Iterable[str]:
        machine = await only_machine(site)
        if machine is None:
            return ["there is not exactly one machine"]
        host = machine["pod"]["name"]
        return [
            *problem(f"the machine is on the full host {host}", when=host == state.host.name),
            *await site.not_once("created", machine["hostname"], "appeared", state.since),
        ]

    async def clear(self, site: Site, state: FullHost) -> None:
        state.host.file.rows("delete from volume where name = ?", FILLER)
        await site.refresh(state.host)
        await resume_refreshes(site.fetch, [host.host_id for host in await site.hosts()])


def _fill(host: SimulatedCellHost) -> None:
    with host.file.open() as db:
        left = (STORAGE_GB - 1) * BYTES_PER_GB - db.execute(_USED).fetchone()[0]
        db.execute("insert into volume values ('default', ?, ?, null, null)", (FILLER, left))
