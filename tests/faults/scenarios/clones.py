"""A machine is cloned: its disks are copied, and it stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from attrs import frozen

from regiond.operations.model import OperationKind
from tests.faults.scenarios.disks import host_file
from tests.faults.scenarios.machines import HostMachine, composed, unexpected_machines
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site

_FILL = "insert or ignore into written select pool, volume from disk join guest using (guest_id) where name = ?"
_WRITTEN = """
    select written.volume is not null from disk join guest using (guest_id)
      left join written on written.pool = disk.pool and written.volume = disk.volume
     where guest.name = ? order by position
"""
_OTHERS = "select count(*) from volume where not exists (select 1 from disk where disk.volume = volume.name)"


@frozen(kw_only=True)
class SourceAndClone:
    source: HostMachine
    clone: HostMachine


class Clone(RequestScenario):
    """Both have all of the content, each in its own volumes, and nothing else is on the host."""

    name = "clone"
    kinds = (OperationKind.COMPOSE,)

    async def prepare(self, site: Site) -> SourceAndClone:
        source = await composed(site, storage="1,2", power_on="false")
        await asyncio.to_thread(host_file(source).rows, _FILL, source.hostname)
        return SourceAndClone(
            source=source, clone=HostMachine(host=source.host, hostname=source.host.hostname(site.new_name("m")))
        )

    async def request(self, site: Site, state: SourceAndClone) -> Request:
        return Request(path=state.source.path, op=self.name, fields={"hostname": state.clone.hostname})

    async def check(self, site: Site, state: SourceAndClone, outcome: Outcome) -> Iterable[str]:
        file = host_file(state.source)
        source, clone = state.source.hostname, state.clone.hostname
        found = [[bool(one) for (one,) in file.rows(_WRITTEN, name)] for name in (source, clone)]
        others = file.rows(_OTHERS)[0][0]
        known = await site.deployment.get(state.source.path)
        return [
            *await unexpected_machines(site, source, clone),
            *problem(f"something is on the disks: {found}", when=found != [[True, True], [True, True]]),
            *problem(f"{others} volumes belong to no guest", when=others != 0),
            *problem(f"the source is {known['status_name']}", when=known["status_name"] != "Ready"),
        ]
