"""A guest comes to light whose machine was given up: it is removed, by an operation that nobody asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from uuid import UUID

from attrs import frozen

from common.marks import volume_name
from common.units import BYTES_PER_GB
from common.values import DiskSpec, GuestSpec, Mark
from rackd.drivers.simulated import guests
from regiond.operations.model import OperationKind
from tests.faults.matrix.held import store_of, times
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import SUCCEEDS, Asked, Told
from tests.faults.matrix.scenarios import passing
from tests.faults.matrix.scenarios.hosts import OfHosts
from tests.faults.matrix.scenarios.machines import Made, compose, first_host

_MARK = "select i.id, m.uuid from installation i, machine m where m.system_id = $1"


@frozen(kw_only=True)
class Leftover:
    host: str
    name: str
    after: int


async def mark_of(inn: Inn, made: Made) -> Mark:
    ((installation, machine),) = await inn.db.fetch(_MARK, made.system_id)
    return Mark(installation_id=UUID(str(installation)), machine_id=UUID(str(machine)))


def made_by_a_straggler(inn: Inn, host: str, name: str, mark: Mark) -> None:
    """By a rack, say, that was silent for long and knew nothing of the machine's end."""
    disk = DiskSpec(volume=volume_name(mark, 0), pool_id="default", size_bytes=BYTES_PER_GB, serial="root")
    spec = GuestSpec(name=name, mark=mark, architecture="amd64", cores=1, memory_mib=512, disks=(disk,))
    with store_of(inn, host) as store:
        store.row_factory = sqlite3.Row
        guests.add_volume(store, pool="default", name=disk.volume, size_bytes=disk.size_bytes, mark=mark)
        guests.add_guest(store, spec)


class CleanUp(OfHosts):
    name = "clean_up"
    kinds = (OperationKind.CLEAN_UP, OperationKind.REFRESH)
    ends = SUCCEEDS

    async def prepare(self, inn: Inn) -> Leftover:
        made = await compose(inn)
        mark = await mark_of(inn, made)
        await inn.installed.delete(made.path)
        name = inn.new_name("leftover")
        made_by_a_straggler(inn, made.host, name, mark)
        return Leftover(host=made.host, name=name, after=await inn.newest_operation())

    async def ask(self, inn: Inn, ground: Leftover, key: str) -> Asked:
        """Somebody looks at the host, and sees what that has begun."""
        begun = await passing.opened(inn, OperationKind.CLEAN_UP, ground.after)
        if begun is None:
            await passing.send(inn, "POST", f"vm-hosts/{inn.hosts[first_host(inn)]}/", key, op="refresh")
            begun = await passing.opened(inn, OperationKind.CLEAN_UP, ground.after)
        return Asked(operation_id=begun)

    async def check(self, inn: Inn, ground: Leftover, told: Told) -> Iterable[str]:
        gone = times(inn, ground.host, ground.name, "gone")
        return [] if gone == 1 else [f"the leftover was removed {gone} times"]
