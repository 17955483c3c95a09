"""A machine is exported to a file, and a file becomes a machine: the bytes on both sides stay what they were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from common.errors import InvalidRequest
from common.words.operation_kinds import OperationKind
from tests.deployment.simulated_host import SimulatedHost
from tests.faults.scenarios.cell_hosts import SimulatedCellHost
from tests.faults.scenarios.machines import HostMachine, composed
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site

_MARK = "insert or ignore into written select pool, volume from disk join guest using (guest_id) where name = ?"
_FILL = """
    insert or ignore into content
    select pool, volume, position * 100000 + 4096, cast('data of disk ' || position as blob)
      from disk join guest using (guest_id) where name = ?
"""
_CONTENT = """
    select disk.position, content.at, content.data
      from disk join guest using (guest_id)
      join content on content.pool = disk.pool and content.volume = disk.volume
     where guest.name = ? order by position, at
"""
_GUESTS = "select name from guest order by name"
_WANTED = [(0, b"data of disk 0"), (1, b"data of disk 1")]


@frozen(kw_only=True)
class MachineWithFile:
    """A machine, and the file that it was exported to."""

    machine: HostMachine
    export_id: int


def _host_file(machine: HostMachine) -> SimulatedHost:
    if not isinstance(machine.host, SimulatedCellHost):
        raise InvalidRequest(f"{machine.host.name} has no content of disks that could be compared")
    return machine.host.file


async def _filled(site: Site) -> HostMachine:
    machine = await composed(site, storage="1,2", power_on="false")
    for statement in (_MARK, _FILL):
        await asyncio.to_thread(_host_file(machine).rows, statement, machine.hostname)
    return machine


async def _content(machine: HostMachine, name: str) -> list[tuple[int, bytes]]:
    """The data on each disk of a guest, without its zeros."""
    rows = await asyncio.to_thread(_host_file(machine).rows, _CONTENT, name)
    return [(position, bytes(data).strip(b"\0")) for position, _, data in rows if bytes(data).strip(b"\0")]


async def _content_problems(machine: HostMachine, name: str) -> list[str]:
    found = await _content(machine, name)
    return problem(f"the disks of {name} have {found}", when=found != _WANTED)


async def _file_problems(site: Site, wanted: int) -> list[str]:
    """Exactly the files that are listed exist, once the region has cleaned up."""
    listed = [(one["state"], one["name"]) for one in await site.deployment.get("exports/")]
    await site.deployment.region.components.export_tasks.upkeep.clean_up()
    folder = site.deployment.region.components.services.exports.space.folder
    kept = await asyncio.to_thread(folder.files)
    return [
        *problem(f"the files are {listed}", when=[state for state, _ in listed] != ["ready"] * wanted),
        *problem(f"the folder has {sorted(kept)}", when=len(kept) != wanted),
    ]


async def _delete_files(site: Site) -> None:
    for one in await site.deployment.get("exports/"):
        await site.deployment.delete(f"exports/{one['id']}/")


class Export(RequestScenario):
    name = "export"
    kinds = (OperationKind.EXPORT,)

    async def prepare(self, site: Site) -> HostMachine:
        return await _filled(site)

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name, fields={})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return [*await _content_problems(state, state.hostname), *await _file_problems(site, 1)]

    async def clear(self, site: Site, state: HostMachine) -> None:
        await _delete_files(site)


class Import(RequestScenario):
    name = "import"
    kinds = (OperationKind.COMPOSE,)

    async def prepare(self, site: Site) -> MachineWithFile:
        machine = await _filled(site)
        operation = await site.deployment.begin(machine.path, op="export")
        found: Any = await site.deployment.wait_for_state(operation, "succeeded", "failed")
        return MachineWithFile(machine=machine, export_id=found["result"]["export"])

    async def request(self, site: Site, state: MachineWithFile) -> Request:
        machine = state.machine
        fields = {"export": str(state.export_id), "hostname": f"{machine.hostname}-copy"}
        return Request(path=f"vm-hosts/{machine.host.host_id}/", op=self.name, fields=fields)

    async def check(self, site: Site, state: MachineWithFile, outcome: Outcome) -> Iterable[str]:
        machine = state.machine
        return [
            *await _content_problems(machine, machine.hostname),
            *await _content_problems(machine, f"{machine.hostname}-copy"),
            *await _file_problems(site, 1),
        ]

    async def clear(self, site: Site, state: MachineWithFile) -> None:
        await _delete_files(site)
