"""A machine is cloned: its disks are copied, and it stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from attrs import frozen

from common.words.operation_kinds import OperationKind
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
_OTHERS = "select name from volume where not exists (select 1 from disk where disk.volume = volume.name)"


@frozen(kw_only=True)
class SourceAndClone:
    """`others` are volumes that no guest had before, such as disks that an earlier scenario kept."""

    source: HostMachine
    clone: HostMachine
    others: frozenset[str]


class CloneMany(RequestScenario):
    """One clone after the other, as children of one operation."""

    name = "clone_many"
    kinds = (OperationKind.BULK, OperationKind.COMPOSE)

    async def prepare(self, site: Site) -> SourceAndClone:
        return await _prepared(site)

    async def request(self, site: Site, state: SourceAndClone) -> Request:
        fields = {"hostname": f"{state.clone.hostname}-1", "count": "2", "at_once": "1"}
        return Request(path=state.source.path, op="clone", fields=fields)

    async def check(self, site: Site, state: SourceAndClone, outcome: Outcome) -> Iterable[str]:
        """Each clone has exactly one child."""
        names = [f"{state.clone.hostname}-{number}" for number in (1, 2)]
        children = await site.deployment.get(f"operations/?parent={outcome.operation['id']}")
        found = sorted((one["hostname"], one["state"]) for one in children)
        return [
            *await _problems(site, state, names),
            *problem(f"the children are {found}", when=found != [(name, "succeeded") for name in names]),
        ]


class Clone(RequestScenario):
    """Both have all of the content, each in its own volumes, and nothing else is on the host."""

    name = "clone"
    kinds = (OperationKind.COMPOSE,)

    async def prepare(self, site: Site) -> SourceAndClone:
        return await _prepared(site)

    async def request(self, site: Site, state: SourceAndClone) -> Request:
        return Request(path=state.source.path, op=self.name, fields={"hostname": state.clone.hostname})

    async def check(self, site: Site, state: SourceAndClone, outcome: Outcome) -> Iterable[str]:
        return await _problems(site, state, [state.clone.hostname])


async def _prepared(site: Site) -> SourceAndClone:
    source = await composed(site, storage="1,2", power_on="false")
    await asyncio.to_thread(host_file(source).rows, _FILL, source.hostname)
    clone = HostMachine(host=source.host, hostname=source.host.hostname(site.new_name("m")))
    return SourceAndClone(source=source, clone=clone, others=_others(source))


def _others(source: HostMachine) -> frozenset[str]:
    return frozenset(name for (name,) in host_file(source).rows(_OTHERS))


async def _problems(site: Site, state: SourceAndClone, clones: Iterable[str]) -> list[str]:
    source = state.source
    file, names = host_file(source), (source.hostname, *clones)
    found = [[bool(one) for (one,) in file.rows(_WRITTEN, name)] for name in names]
    others = sorted(_others(source) - state.others)
    known = await site.deployment.get(source.path)
    return [
        *await unexpected_machines(site, *names),
        *problem(f"something is on the disks: {found}", when=found != [[True, True]] * len(names)),
        *problem(f"volumes of no guest: {others}", when=others != []),
        *problem(f"the source is {known['status_name']}", when=known["status_name"] != "Ready"),
    ]
