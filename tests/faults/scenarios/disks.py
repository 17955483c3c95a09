"""A machine gets another disk, a larger one, and gives one up: deleted, or kept and attached to another machine."""

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

GB = 10**9
OTHER_POOL = "fast"  # a second storage pool of the simulated hosts
_FILL = "insert or ignore into written select pool, volume from disk join guest using (guest_id) where name = ?"
_WRITTEN = """
    select disk.pool, written.volume is not null as is_written
      from disk join guest using (guest_id)
      left join written on written.pool = disk.pool and written.volume = disk.volume
     where guest.name = ? order by position
"""


@frozen(kw_only=True)
class MachineWithKept:
    """A machine, and a disk of its host that is kept."""

    machine: HostMachine
    kept_id: int


async def _disk_problems(site: Site, machine: HostMachine, sizes_gb: list[int]) -> list[str]:
    """The disks of the machine, as they are known, are on the host and are claimed, in GB."""
    found = await site.deployment.get(machine.path)
    known = [disk["size"] // GB for disk in found["blockdevice_set"]]
    parts = await asyncio.to_thread(machine.host.parts, machine.hostname)
    (claimed,) = await site.deployment.fetch(
        "select coalesce(sum(amount), 0)::bigint as amount from claim c join machine m on m.id = c.machine_id"
        " where m.system_id = $1 and resource = 'storage_bytes'",
        machine.system_id,
    )
    return [
        *problem(f"its disks are {known}", when=known != sizes_gb),
        *problem(f"the guest has {parts} disks and NICs", when=parts is not None and parts[0] != len(sizes_gb)),
        *problem(f"it claims {claimed['amount']} bytes", when=claimed["amount"] != sum(sizes_gb) * GB),
    ]


async def _kept(site: Site, hostname: str) -> list[Any]:
    return [one for one in await site.deployment.get("kept-disks/") if one["hostname"] == hostname]


class AddDisk(RequestScenario):
    name = "add_disk"
    kinds = (OperationKind.ADD_DISK,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, storage="1", power_on="true")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name, fields={"size": "2"})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return await _disk_problems(site, state, [1, 2])


class AddDiskMany(RequestScenario):
    """Two machines of a host get a disk each, one after the other, as children of one operation."""

    name = "add_disk_many"
    kinds = (OperationKind.BULK, OperationKind.ADD_DISK)

    async def prepare(self, site: Site) -> tuple[HostMachine, HostMachine]:
        off = await composed(site, storage="1")
        return off, await composed(site, host=off.host, storage="1", power_on="true")

    async def request(self, site: Site, state: tuple[HostMachine, HostMachine]) -> Request:
        fields = {"action": "add_disk", "size": "2", "at_once": "1"}
        return Request(path="machines/", op="bulk", fields={**fields, "machines": [one.system_id for one in state]})

    async def check(self, site: Site, state: tuple[HostMachine, HostMachine], outcome: Outcome) -> Iterable[str]:
        """Each machine has exactly one child."""
        children = await site.deployment.get(f"operations/?parent={outcome.operation['id']}")
        found = sorted((one["system_id"], one["state"]) for one in children)
        return [
            *await _disk_problems(site, state[0], [1, 2]),
            *await _disk_problems(site, state[1], [1, 2]),
            *problem(f"the children are {found}", when=found != sorted((one.system_id, "succeeded") for one in state)),
        ]


class GrowDisk(RequestScenario):
    name = "grow_disk"
    kinds = (OperationKind.GROW_DISK,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, storage="1,1", power_on="false")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name, fields={"disk": "sdb", "size": "2"})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return await _disk_problems(site, state, [1, 2])


class MoveDisk(RequestScenario):
    """The disk is in one storage pool or the other, whole, and claimed there only."""

    kinds = (OperationKind.MOVE_DISK,)

    def __init__(self, *, is_on: bool = False) -> None:
        self.is_on = is_on
        self.name = "move_disk_running" if is_on else "move_disk"

    async def prepare(self, site: Site) -> HostMachine:
        machine = await composed(site, storage="1,2", power_on="true" if self.is_on else "false")
        await asyncio.to_thread(host_file(machine).rows, _FILL, machine.hostname)
        return machine

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op="move_disk", fields={"disk": "sdb", "pool": OTHER_POOL})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        disks = (await site.deployment.get(state.path))["blockdevice_set"]
        (known,) = [disk["storage_pool_name"] for disk in disks if disk["name"] == "sdb"]
        rows = await asyncio.to_thread(host_file(state).rows, _WRITTEN, state.hostname)
        found, wanted = [(pool, bool(is_written)) for pool, is_written in rows], [("default", True), (known, True)]
        return [
            *await _disk_problems(site, state, [1, 2]),
            *problem(f"disk sdb is in {known}", when=known != OTHER_POOL),
            *problem(f"the guest has disks in {found}, the ledger in {wanted}", when=found != wanted),
        ]


def host_file(machine: HostMachine) -> SimulatedHost:
    if not isinstance(machine.host, SimulatedCellHost):
        raise InvalidRequest(f"{machine.host.name} has one storage pool")
    return machine.host.file


class RemoveDisk(RequestScenario):
    """With `keep` the volume stays, and is listed."""

    kinds = (OperationKind.REMOVE_DISK,)

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.name = "remove_disk_keep" if keep else "remove_disk"

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, storage="1,2")

    async def request(self, site: Site, state: HostMachine) -> Request:
        fields = {"disk": "sdb", "keep": "true" if self.keep else "false"}
        return Request(path=state.path, op="remove_disk", fields=fields)

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        kept = [(one["size"] // GB, one["is_listed"]) for one in await _kept(site, state.hostname)]
        return [
            *await _disk_problems(site, state, [1]),
            *problem(f"the kept disks are {kept}", when=kept != ([(2, True)] if self.keep else [])),
        ]

    async def clear(self, site: Site, state: HostMachine) -> None:
        for one in await _kept(site, state.hostname):
            await site.deployment.delete(f"kept-disks/{one['id']}/")


class AttachDisk(RequestScenario):
    name = "attach_disk"
    kinds = (OperationKind.ADD_DISK,)

    async def prepare(self, site: Site) -> MachineWithKept:
        machine = await composed(site, storage="1,2")
        await site.deployment.post(machine.path, op="remove_disk", disk="sdb", keep="true")
        (kept,) = await _kept(site, machine.hostname)
        return MachineWithKept(machine=machine, kept_id=kept["id"])

    async def request(self, site: Site, state: MachineWithKept) -> Request:
        return Request(path=state.machine.path, op=self.name, fields={"kept_disk": str(state.kept_id)})

    async def check(self, site: Site, state: MachineWithKept, outcome: Outcome) -> Iterable[str]:
        kept = await _kept(site, state.machine.hostname)
        return [
            *await _disk_problems(site, state.machine, [1, 2]),
            *problem(f"the kept disks are {kept}", when=bool(kept)),
        ]
