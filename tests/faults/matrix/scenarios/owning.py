"""Machines that are allocated and given back: one that is there, and one that is composed for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from innkeeper.http import Body
from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import asked, headers
from tests.faults.matrix.held import newest_changes, times_since
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import LEARNS, Asked, OfMachines, Told
from tests.faults.matrix.scenarios.machines import Made, compose, machines_are

LARGE: Mapping[str, Any] = {"cpu_count": "3", "mem": "1024"}  # no machine that is there has so many cores


async def _allocate(inn: Inn, key: str, **wanted: str) -> Asked:
    body = Body(fields=list(wanted.items()))
    return asked(
        await inn.installed.api.send("POST", "machines/", query=[("op", "allocate")], body=body, headers=headers(key))
    )


async def _only_machine(inn: Inn) -> Any:
    """None when there is not exactly one."""
    found = await inn.installed.get("machines/")
    return found[0] if len(found) == 1 else None


class AllocateReady(OfMachines):
    """No host is asked: it is done in the moment it is opened."""

    name = "allocate_ready"
    kinds = (OperationKind.ALLOCATE,)
    ends = frozenset({"answered"})

    async def prepare(self, inn: Inn) -> Made:
        return await compose(inn)

    async def ask(self, inn: Inn, ground: Made, key: str) -> Asked:
        return await _allocate(inn, key, name=ground.hostname)

    async def check(self, inn: Inn, ground: Made, told: Told) -> Iterable[str]:
        return [*await machines_are(inn, ground.hostname), *await _owned_once(inn)]


class AllocateComposed(OfMachines):
    name = "allocate_composed"
    kinds = (OperationKind.COMPOSE,)
    ends = LEARNS

    async def prepare(self, inn: Inn) -> dict[str, int]:
        """Hosts with room are enough: what happened there before is told apart."""
        return newest_changes(inn)

    async def ask(self, inn: Inn, ground: dict[str, int], key: str) -> Asked:
        return await _allocate(inn, key, **LARGE)

    async def check(self, inn: Inn, ground: dict[str, int], told: Told) -> Iterable[str]:
        machine = await _only_machine(inn)
        if machine is None:
            return ["there is not exactly one machine"]
        made = times_since(inn, ground, machine["hostname"], "appeared")
        return [*await _owned_once(inn), *([] if made == 1 else [f"the guest was made {made} times"])]


async def _owned_once(inn: Inn) -> Iterable[str]:
    machine = await _only_machine(inn)
    told = await inn.db.fetchval(
        "select count(*) from event where kind = 'machine_allocated' and system_id = $1", machine["system_id"]
    )
    owner = machine["status_name"], machine["owner"]
    return [
        *([] if owner == ("Allocated", "admin") else [f"the machine is {owner}"]),
        *([] if told == 1 else [f"its allocation was told {told} times"]),
    ]


@frozen(kw_only=True)
class Owned:
    """A machine that somebody has, and what had happened on the hosts by then."""

    hostname: str
    system_id: str
    since: Mapping[str, int]


@frozen
class Release(OfMachines):
    """`composed`: by the allocation, so that it is destroyed."""

    composed: bool

    @property
    def name(self) -> str:
        return "release_composed" if self.composed else "release_ready"

    @property
    def kinds(self) -> tuple[OperationKind, ...]:
        return (OperationKind.DELETE if self.composed else OperationKind.RELEASE,)

    async def prepare(self, inn: Inn) -> Owned:
        if self.composed:
            machine = await inn.installed.post("machines/", op="allocate", **LARGE)
        else:
            made = await compose(inn, power_on="true")
            machine = await inn.installed.post("machines/", op="allocate", name=made.hostname)
        return Owned(hostname=machine["hostname"], system_id=machine["system_id"], since=newest_changes(inn))

    async def ask(self, inn: Inn, ground: Owned, key: str) -> Asked:
        path = f"machines/{ground.system_id}/"
        return asked(await inn.installed.api.send("POST", path, query=[("op", "release")], headers=headers(key)))

    async def check(self, inn: Inn, ground: Owned, told: Told) -> Iterable[str]:
        if self.composed:
            gone = times_since(inn, ground.since, ground.hostname, "gone")
            return [*await machines_are(inn), *([] if gone == 1 else [f"the guest was removed {gone} times"])]
        machine = await _only_machine(inn)
        if machine is None:
            return ["there is not exactly one machine"]
        now = machine["status_name"], machine["power_state"], machine["owner"]
        return [] if now == ("Ready", "off", None) else [f"the machine is {now}"]
