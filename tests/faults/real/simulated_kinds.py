"""What is asked of a simulated host in each kind of operation, and where it can be met in the middle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, field, frozen

from rackd.drivers.simulated.pace import Call
from tests.faults.real.inn import Inn
from tests.faults.real.requests import Request
from tests.faults.real.simulated_host import SimulatedHost

FOREIGN = "foreign-0001"
_ADDRESS = "simulated:{name}?cores=8&memory_mib=16384&guests=1&networks=lan:10.1.0.0/24,dmz:10.2.0.0/24"
_SHAPE = {
    "cores": "2", "memory": "2048", "storage": "root:4,data:8", "interfaces": "eth0:name=lan;eth1:name=dmz",
}  # fmt: skip


@define(kw_only=True)
class Stay:
    """One cell's host, and the machine that the request is about, if there is one before it."""

    inn: Inn
    name: str
    host_id: int = 0
    machine: Any = None
    guests_before: Mapping[str, Any] = field(factory=dict)

    @property
    def host(self) -> SimulatedHost:
        return SimulatedHost(path=self.inn.daemons.folder / "simulated" / f"{self.name}.sqlite")

    @property
    def hostname(self) -> str:
        return f"m-{self.name}"

    @property
    def address(self) -> str:
        return _ADDRESS.format(name=self.name)

    @property
    def guest(self) -> Any:
        """That of the machine."""
        return self.host.guests().get(self.hostname)

    async def add_host(self) -> None:
        self.host_id = await self.inn.daemons.add_host(type="simulated", power_address=self.address, name=self.name)

    async def compose(self) -> None:
        made = await self.inn.post(f"vm-hosts/{self.host_id}/", "compose", hostname=self.hostname, **_SHAPE)
        self.machine = await self.inn.get(f"machines/{made['system_id']}/")

    @property
    def machine_path(self) -> str:
        return f"machines/{self.machine['system_id']}/"


Prepare = Callable[[Stay], Awaitable[None]]


@frozen(kw_only=True)
class Kind:
    """`call` is the host's call in which the operation is met, None when it makes none that can be held; `acted`:
    whether the host shows that it was done. `table` is one that the request writes to, `outcome` one that its end does.
    """

    name: str
    operation: str
    prepare: Prepare
    request: Callable[[Stay], Request]
    call: Call | None = None
    halfway: Call | None = None  # a later call, with some of it done
    acted: Callable[[Stay], bool] = lambda _: True
    step: str | None = None  # what the operation's row says in the call, when no act is logged
    table: str = "operation"
    outcome: str = "operation"
    changes_host: bool = True
    may_fail: bool = False  # an operation that is not tried again: who asked is told why, and asks again


async def _host(stay: Stay) -> None:
    await stay.add_host()


async def _machine(stay: Stay) -> None:
    await stay.add_host()
    await stay.compose()


async def _allocated(stay: Stay) -> None:
    await _machine(stay)
    await stay.inn.post("machines/", "allocate", system_id=stay.machine["system_id"])
    await stay.inn.post(stay.machine_path, "power_on")


async def _news(stay: Stay) -> None:
    await stay.add_host()
    stay.host.add_by_hand("by-hand")


async def _nothing(_: Stay) -> None:
    pass


def _of_host(op: str, *, keyed: bool = False, **fields: str) -> Callable[[Stay], Request]:
    return lambda stay: Request(path=f"vm-hosts/{stay.host_id}/", op=op, fields=fields, keyed=keyed)


def _of_machine(op: str, *, keyed: bool = True) -> Callable[[Stay], Request]:
    return lambda stay: Request(path=stay.machine_path, op=op, keyed=keyed)


def _compose(stay: Stay) -> Request:
    return Request(
        path=f"vm-hosts/{stay.host_id}/", op="compose", fields={**_SHAPE, "hostname": stay.hostname}, keyed=True
    )


def _allocate(stay: Stay) -> Request:
    wanted = {"name": stay.hostname} if stay.machine else {"storage": _SHAPE["storage"]}
    return Request(path="machines/", op="allocate", fields={"pod": stay.name, **wanted}, keyed=True)


def _remove(*, decompose: bool) -> Callable[[Stay], Request]:
    query = {"decompose": "true"} if decompose else {}
    return lambda stay: Request(method="DELETE", path=f"vm-hosts/{stay.host_id}/", query=query)


def _add(stay: Stay) -> Request:
    fields = {"type": "simulated", "power_address": stay.address, "name": stay.name}
    return Request(path="vm-hosts/", fields=fields)


def _is_made(stay: Stay) -> bool:
    return any(guest.machine_id for guest in stay.host.guests().values())


def _is(power: str) -> Callable[[Stay], bool]:
    return lambda stay: stay.guest is not None and stay.guest.power == power


def _is_gone(stay: Stay) -> bool:
    return stay.guest is None


def _is_marked(*, marked: bool) -> Callable[[Stay], bool]:
    def is_so(stay: Stay) -> bool:
        name = FOREIGN if marked else stay.hostname
        return (stay.host.guests()[name].machine_id is not None) is marked

    return is_so


KINDS = (
    Kind(name="compose", operation="compose", prepare=_host, request=_compose, call="look up guest",
         halfway="define guest", acted=_is_made),
    Kind(name="power_on", operation="power", prepare=_machine, request=_of_machine("power_on"), call="power",
         acted=_is("on")),
    Kind(name="allocate", operation="allocate", prepare=_machine, request=_allocate, changes_host=False),
    Kind(name="allocate_by_composing", operation="compose", prepare=_host, request=_allocate, call="look up guest",
         halfway="define guest", acted=_is_made),
    Kind(name="release", operation="release", prepare=_allocated, request=_of_machine("release"), call="power",
         acted=_is("off")),
    Kind(name="adopt", operation="adopt", prepare=_host, request=_of_host("adopt", guests=FOREIGN), call="mark guest",
         acted=_is_marked(marked=True)),
    Kind(name="forget", operation="forget", prepare=_machine, request=_of_machine("forget", keyed=False),
         call="unmark guest", acted=_is_marked(marked=False)),
    Kind(name="delete", operation="delete", prepare=_machine, request=lambda stay: Request(
         method="DELETE", path=stay.machine_path, keyed=True), call="remove guest", acted=_is_gone),
    Kind(name="refresh", operation="refresh", prepare=_news, request=_of_host("refresh"), call="guests",
         step="discover", outcome="guest", changes_host=False, may_fail=True),
    Kind(name="add_host", operation="refresh", prepare=_nothing, request=_add, call="guests", step="discover",
         table="vm_host", outcome="guest", changes_host=False, may_fail=True),
    Kind(name="remove_host", operation="remove_host", prepare=_machine, request=_remove(decompose=False),
         changes_host=False),
    Kind(name="remove_host_and_machines", operation="remove_host", prepare=_machine, request=_remove(decompose=True),
         call="remove guest", acted=_is_gone),
)  # fmt: skip
