"""Machines that are made and deleted, with several disks and cards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import frozen

from innkeeper.http import Body
from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import asked, headers
from tests.faults.matrix.held import rows, times
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import Asked, OfMachines, Told

SHAPE = {
    "cores": "2", "memory": "2048", "storage": "root:4,data:8", "interfaces": "eth0:name=lan;eth1:name=dmz",
}  # fmt: skip
_PARTS = """
    select (select count(*) from disk where disk.guest_id = guest.guest_id),
           (select count(*) from nic where nic.guest_id = guest.guest_id) from guest where name = ?
"""


@frozen(kw_only=True)
class Made:
    """A machine, and the host it is on."""

    host: str
    hostname: str
    system_id: str = ""

    @property
    def path(self) -> str:
        return f"machines/{self.system_id}/"


def first_host(inn: Inn) -> str:
    return next(iter(inn.hosts))


async def compose(inn: Inn, **more: str) -> Made:
    """A machine that is there already."""
    host, hostname = first_host(inn), inn.new_name("m")
    made = await inn.installed.compose(inn.hosts[host], hostname=hostname, **SHAPE, **more)
    return Made(host=host, hostname=hostname, system_id=made["system_id"])


async def machines_are(inn: Inn, *hostnames: str) -> Iterable[str]:
    """What is wrong with the machines that the API lists."""
    found: list[Any] = sorted(one["hostname"] for one in await inn.installed.get("machines/"))
    return [] if found == sorted(hostnames) else [f"the machines are {found}, expected: {sorted(hostnames)}"]


class Compose(OfMachines):
    name = "compose"
    kinds = (OperationKind.COMPOSE,)

    async def prepare(self, inn: Inn) -> Made:
        return Made(host=first_host(inn), hostname=inn.new_name("m"))

    async def ask(self, inn: Inn, ground: Made, key: str) -> Asked:
        body = Body(fields=[*SHAPE.items(), ("hostname", ground.hostname)])
        path = f"vm-hosts/{inn.hosts[ground.host]}/"
        answer = await inn.installed.api.send("POST", path, query=[("op", "compose")], body=body, headers=headers(key))
        return asked(answer)

    async def check(self, inn: Inn, ground: Made, told: Told) -> Iterable[str]:
        made = times(inn, ground.host, ground.hostname, "appeared")
        parts = rows(inn, ground.host, _PARTS, ground.hostname)
        return [
            *await machines_are(inn, ground.hostname),
            *([] if made == 1 else [f"the guest was made {made} times"]),
            *([] if parts == [(2, 2)] else [f"the guest has {parts} disks and cards"]),
        ]


class ComposeRefused(Compose):
    """The host has a guest of that name, which nobody can take from it: the compose is undone, whoever dies."""

    name = "compose_refused"
    ends = frozenset({"failed"})

    async def prepare(self, inn: Inn) -> Made:
        return Made(host=first_host(inn), hostname="foreign-0001")

    async def check(self, inn: Inn, ground: Made, told: Told) -> Iterable[str]:
        code = (told.operation.get("error") or {}).get("code")
        return [*await machines_are(inn), *([] if code == "name_taken" else [f"it failed because of {code}"])]


class Delete(OfMachines):
    name = "delete"
    kinds = (OperationKind.DELETE,)

    async def prepare(self, inn: Inn) -> Made:
        return await compose(inn)

    async def ask(self, inn: Inn, ground: Made, key: str) -> Asked:
        return asked(await inn.installed.api.send("DELETE", ground.path, headers=headers(key)))

    async def check(self, inn: Inn, ground: Made, told: Told) -> Iterable[str]:
        gone = times(inn, ground.host, ground.hostname, "gone")
        return [*await machines_are(inn), *([] if gone == 1 else [f"the guest was removed {gone} times"])]
