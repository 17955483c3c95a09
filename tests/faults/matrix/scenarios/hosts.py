"""Hosts that are added, looked at and removed."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from common.units import BYTES_PER_GB
from common.values import DiskSpec, PowerState
from rackd.drivers.simulated import guests
from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import asked
from tests.faults.matrix.held import store_of
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import SUCCEEDS, Asked, OfMachines, Told
from tests.faults.matrix.scenarios import passing
from tests.faults.matrix.scenarios.adopting import Guest, as_it_is, vanish
from tests.faults.matrix.scenarios.machines import SHAPE, first_host
from tests.faults.matrix.scenarios.passing import Passing

ANSWERED = frozenset({"answered"})


class OfHosts(OfMachines):
    """The API takes no key here: whoever asks again looks first whether it was done, or is being done."""

    ends = ANSWERED
    keyed = False


async def ask_for_host(inn: Inn, ground: Passing, key: str) -> Asked:
    """Unless it was added before."""
    if await passing.find(inn, ground) is None:
        await passing.send(inn, "POST", "vm-hosts/", key, **ground.fields)
    return Asked(answer=await passing.until_ready(inn, ground))


class AddHost(OfHosts):
    name = "add_host"
    kinds = (OperationKind.REFRESH,)

    async def prepare(self, inn: Inn) -> Passing:
        return passing.simulated(inn)

    async def ask(self, inn: Inn, ground: Passing, key: str) -> Asked:
        return await ask_for_host(inn, ground, key)

    async def check(self, inn: Inn, ground: Passing, told: Told) -> Iterable[str]:
        return [*await passing.is_there(inn, ground), *passing.foreign_stays(inn, ground)]

    async def clear(self, inn: Inn, ground: Passing) -> None:
        await passing.remove(inn, ground)


class Refresh(OfHosts):
    """Of a host on which somebody has made a guest. A look that fails says so: it is asked for again."""

    name = "refresh"
    kinds = (OperationKind.REFRESH,)

    async def prepare(self, inn: Inn) -> Guest:
        host, name = first_host(inn), inn.new_name("found")
        disk = DiskSpec(volume=name, pool_id="default", size_bytes=BYTES_PER_GB, serial=name)
        with store_of(inn, host) as store:
            guests.add_foreign_guest(store, name, cores=1, memory_mib=512, disk=disk, power=PowerState.ON)
        return as_it_is(inn, host, name)

    async def ask(self, inn: Inn, ground: Guest, key: str) -> Asked:
        answer = await passing.send(inn, "POST", f"vm-hosts/{inn.hosts[ground.host]}/", key, op="refresh")
        return Asked(answer=answer.json())

    async def check(self, inn: Inn, ground: Guest, told: Told) -> Iterable[str]:
        known = await inn.db.fetchval("select count(*) from guest where name = $1", ground.name)
        return [] if known == 1 else [f"the new guest is known {known} times"]

    async def clear(self, inn: Inn, ground: Guest) -> None:
        await vanish(inn, ground)


@frozen
class RemoveHost(OfHosts):
    """Of a host with a machine, which goes with it or stays there and is nobody's."""

    decompose: bool
    ends = SUCCEEDS

    @property
    def name(self) -> str:
        return "remove_host_and_machines" if self.decompose else "remove_host"

    @property
    def kinds(self) -> tuple[OperationKind, ...]:
        return (OperationKind.REMOVE_HOST, *((OperationKind.DELETE,) if self.decompose else ()))

    async def prepare(self, inn: Inn) -> Passing:
        host = await passing.add(inn, passing.simulated(inn))
        await inn.installed.compose(host.host_id, hostname=f"m-{host.name}", **SHAPE)
        host.after = await inn.newest_operation()
        return host

    async def ask(self, inn: Inn, ground: Passing, key: str) -> Asked:
        under_way = await passing.opened(inn, OperationKind.REMOVE_HOST, ground.after)
        if under_way is not None:
            return Asked(operation_id=under_way)
        query = {"decompose": "true"} if self.decompose else {}
        return asked(await passing.begin(inn, "DELETE", ground.path, key, **query))

    async def check(self, inn: Inn, ground: Passing, told: Told) -> Iterable[str]:
        there, left = await passing.find(inn, ground), passing.ours(inn, ground)
        machines = [one["hostname"] for one in await inn.installed.get("machines/")]
        wanted = 0 if self.decompose else 3  # its guest and two disks
        return [
            *([] if there is None else ["the host is there"]),
            *([] if len(left) == wanted else [f"what is ours on the host: {left}"]),
            *([] if not machines else [f"there are machines: {machines}"]),
            *passing.foreign_stays(inn, ground),
        ]

    async def clear(self, inn: Inn, ground: Passing) -> None:
        inn.passing.discard(ground.name)
