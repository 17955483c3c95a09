"""What is asked of a real hypervisor in each kind of operation, and how it shows that it has begun and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, frozen

from tests.faults.real.inn import Inn
from tests.faults.real.lab_hosts import LabGuest, LabServer, Lxd
from tests.faults.real.requests import Request


@define(kw_only=True)
class Visit:
    """One cell's host, added for it, and the machine or foreign guest that the request is about."""

    inn: Inn
    server: LabServer
    name: str
    host_id: int = 0
    machine: Any = None
    foreign: str = ""
    adding: dict[str, str] | None = None
    trusted_before: frozenset[str] = frozenset()

    @property
    def hostname(self) -> str:
        return f"{self.server.prefix}{self.name}"

    @property
    def machine_path(self) -> str:
        return f"machines/{self.machine['system_id']}/"

    @property
    def shape(self) -> dict[str, str]:
        cards = self.server.cards()
        shape = {"cores": "1", "memory": "1024", "storage": "1,1", "hostname": self.hostname}
        return shape if cards is None else shape | {"interfaces": cards}

    def guest(self) -> LabGuest | None:
        return self.server.guests().get(self.foreign or self.hostname)

    async def add_host(self) -> None:
        fields = await asyncio.to_thread(self.server.adding)
        self.host_id = await self.inn.daemons.add_host(name=self.name, **fields)

    async def compose(self) -> None:
        fields = await asyncio.to_thread(lambda: self.shape)
        made = await self.inn.post(f"vm-hosts/{self.host_id}/", "compose", **fields)
        self.machine = await self.inn.get(f"machines/{made['system_id']}/")


@frozen(kw_only=True)
class LabKind:
    """`acted`: whether the host shows that it is done, None when it shows nothing. `begun`: whether it is half made.

    `step` is in the operation's row while the host is asked, when no act is logged; `first_call`: asking the host
    to act is the first that the region asks of the rack.
    """

    name: str
    operation: str
    prepare: Callable[[Visit], Awaitable[None]]
    request: Callable[[Visit], Request]
    acted: Callable[[Visit], bool] | None = None
    begun: Callable[[Visit], bool] | None = None
    step: str | None = None
    first_call: bool = True
    may_fail: bool = False
    only: str | None = None  # the platform that has it


async def _host(visit: Visit) -> None:
    await visit.add_host()


async def _machine(visit: Visit) -> None:
    await visit.add_host()
    await visit.compose()


async def _foreign(visit: Visit) -> None:
    visit.foreign = await asyncio.to_thread(visit.server.make_foreign)
    await visit.add_host()


async def _adopted(visit: Visit) -> None:
    await _foreign(visit)
    (made,) = await visit.inn.post(f"vm-hosts/{visit.host_id}/", "adopt", guests=visit.foreign)
    visit.machine = await visit.inn.get(f"machines/{made['system_id']}/")


async def _allocated(visit: Visit) -> None:
    await _machine(visit)
    await visit.inn.post("machines/", "allocate", system_id=visit.machine["system_id"])
    await visit.inn.post(visit.machine_path, "power_on")


async def _to_add(visit: Visit) -> None:
    """A token is for one request; whoever asks again asks the same."""
    visit.adding = await asyncio.to_thread(visit.server.adding)


def _compose(visit: Visit) -> Request:
    return Request(path=f"vm-hosts/{visit.host_id}/", op="compose", fields=visit.shape, keyed=True)


def _of_machine(op: str, *, keyed: bool = True) -> Callable[[Visit], Request]:
    return lambda visit: Request(path=visit.machine_path, op=op, keyed=keyed)


def _of_host(op: str) -> Callable[[Visit], Request]:
    return lambda visit: Request(path=f"vm-hosts/{visit.host_id}/", op=op)


def _adopt(visit: Visit) -> Request:
    return Request(path=f"vm-hosts/{visit.host_id}/", op="adopt", fields={"guests": visit.foreign})


def _add(visit: Visit) -> Request:
    return Request(path="vm-hosts/", fields={"name": visit.name, **(visit.adding or {})})


def _delete(visit: Visit) -> Request:
    return Request(method="DELETE", path=visit.machine_path, keyed=True)


def _remove(visit: Visit) -> Request:
    return Request(method="DELETE", path=f"vm-hosts/{visit.host_id}/", query={"decompose": "true"})


def _is_there(visit: Visit) -> bool:
    return visit.guest() is not None


def _is_gone(visit: Visit) -> bool:
    return visit.guest() is None


def _is_begun(visit: Visit) -> bool:
    """Something of it is there: a disk, or the guest."""
    return bool(visit.server.volumes()) or _is_there(visit)


def _runs(*, running: bool) -> Callable[[Visit], bool]:
    def is_so(visit: Visit) -> bool:
        found = visit.guest()
        return found is not None and found.running is running

    return is_so


def _is_marked(*, marked: bool) -> Callable[[Visit], bool]:
    def is_so(visit: Visit) -> bool:
        found = visit.guest()
        return found is not None and (found.machine_id is not None) is marked

    return is_so


def _is_trusted_anew(visit: Visit) -> bool:
    return isinstance(visit.server, Lxd) and bool(visit.server.trusted() - visit.trusted_before)


KINDS = (
    LabKind(name="compose", operation="compose", prepare=_host, request=_compose, acted=_is_there, begun=_is_begun,
            first_call=False),
    LabKind(name="power_on", operation="power", prepare=_machine, request=_of_machine("power_on"),
            acted=_runs(running=True)),
    LabKind(name="release", operation="release", prepare=_allocated, request=_of_machine("release"),
            acted=_runs(running=False)),
    LabKind(name="adopt", operation="adopt", prepare=_foreign, request=_adopt, acted=_is_marked(marked=True)),
    LabKind(name="forget", operation="forget", prepare=_adopted, request=_of_machine("forget", keyed=False),
            acted=_is_marked(marked=False)),
    LabKind(name="delete", operation="delete", prepare=_machine, request=_delete, acted=_is_gone),
    LabKind(name="refresh", operation="refresh", prepare=_machine, request=_of_host("refresh"), step="discover",
            may_fail=True),
    LabKind(name="add_host", operation="refresh", prepare=_to_add, request=_add, step="discover", may_fail=True),
    LabKind(name="remove_host_and_machines", operation="remove_host", prepare=_machine, request=_remove,
            acted=_is_gone),
    LabKind(name="rotate_credentials", operation="rotate_credentials", prepare=_machine, request=_of_host("rotate"),
            step="trust_new", acted=_is_trusted_anew, only="LXD"),
)  # fmt: skip
