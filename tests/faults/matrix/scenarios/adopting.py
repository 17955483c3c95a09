"""Guests that become machines, and machines that become guests again: the mark alone changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from common.units import BYTES_PER_GB
from common.values import DiskSpec, PowerState
from innkeeper.http import Body
from rackd.drivers.simulated import guests
from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import asked, headers
from tests.faults.matrix.held import Row, rows, store_of
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import LEARNS, SUCCEEDS, Asked, OfMachines, Told
from tests.faults.matrix.scenarios.machines import compose, first_host, machines_are

_ALL_BUT_MARK = """
    select guest.guest_id, name, power, cores, memory_mib, disk.*, nic.* from guest
      left join disk using (guest_id) left join nic using (guest_id) where name = ? order by disk.position, nic.position
"""


@frozen(kw_only=True)
class Guest:
    """One on a host, as it is before; its machine, where it has one."""

    host: str
    name: str
    before: list[Row]
    system_id: str = ""


def as_it_is(inn: Inn, host: str, name: str, system_id: str = "") -> Guest:
    return Guest(host=host, name=name, before=rows(inn, host, _ALL_BUT_MARK, name), system_id=system_id)


def changed(inn: Inn, ground: Guest, *, marked: bool) -> list[str]:
    """What else but the mark became another, and whether that is there."""
    now = rows(inn, ground.host, _ALL_BUT_MARK, ground.name)
    has = rows(inn, ground.host, "select machine_id is not null from guest where name = ?", ground.name)
    return [
        *([] if now == ground.before else [f"the guest was {ground.before} and is {now}"]),
        *([] if has == [(int(marked),)] else [f"the guest is marked: {has}"]),
    ]


async def vanish(inn: Inn, ground: Guest) -> None:
    """Its administrator removes it, and a look says so. Innkeeper does not."""
    with store_of(inn, ground.host) as store:
        volumes = store.execute(
            "select pool, volume from disk join guest using (guest_id) where name = ?", (ground.name,)
        ).fetchall()
        for table in ("disk", "nic", "nic_settings"):
            store.execute(
                f"delete from {table} where guest_id in (select guest_id from guest where name = ?)",  # noqa: S608  # ours
                (ground.name,),
            )
        store.execute("delete from guest where name = ?", (ground.name,))
        store.executemany("delete from volume where pool = ? and name = ?", volumes)
    await inn.installed.post(f"vm-hosts/{inn.hosts[ground.host]}/", op="refresh")


class Adopt(OfMachines):
    """The API takes no key here: who asks again gets the operation under way, or the machine that it has become."""

    name = "adopt"
    kinds = (OperationKind.ADOPT,)
    ends = LEARNS
    keyed = False

    async def prepare(self, inn: Inn) -> Guest:
        host, name = first_host(inn), inn.new_name("found")
        disk = DiskSpec(volume=name, pool_id="default", size_bytes=BYTES_PER_GB, serial=name)
        with store_of(inn, host) as store:
            guests.add_foreign_guest(store, name, cores=1, memory_mib=512, disk=disk, power=PowerState.ON)
        await inn.installed.post(f"vm-hosts/{inn.hosts[host]}/", op="refresh")
        return as_it_is(inn, host, name)

    async def ask(self, inn: Inn, ground: Guest, key: str) -> Asked:
        path, body = f"vm-hosts/{inn.hosts[ground.host]}/", Body(fields=[("guests", ground.name)])
        answer = await inn.installed.api.send("POST", path, query=[("op", "adopt")], body=body, headers=headers(key))
        return asked(answer)

    async def check(self, inn: Inn, ground: Guest, told: Told) -> Iterable[str]:
        return [*await machines_are(inn, ground.name), *changed(inn, ground, marked=True)]

    def foreign(self, ground: Guest) -> frozenset[str]:
        return frozenset({ground.name})

    async def clear(self, inn: Inn, ground: Guest) -> None:
        for machine in await inn.installed.get("machines/"):
            await inn.installed.api.send("POST", f"machines/{machine['system_id']}/", query=[("op", "forget")])
        await vanish(inn, ground)


class Forget(OfMachines):
    """The API takes no key here: the operations of the machine tell what came of it."""

    name = "forget"
    kinds = (OperationKind.FORGET,)
    ends = SUCCEEDS
    keyed = False

    async def prepare(self, inn: Inn) -> Guest:
        made = await compose(inn, power_on="true")
        return as_it_is(inn, made.host, made.hostname, made.system_id)

    async def ask(self, inn: Inn, ground: Guest, key: str) -> Asked:
        path = f"machines/{ground.system_id}/"
        try:
            answer = await inn.installed.api.send("POST", path, query=[("op", "forget")], headers=headers(key))
        except InnkeeperError as error:
            if error.details.get("status") not in (404, 409):
                raise
            return await self._under_way(inn, ground)
        return asked(answer)

    async def _under_way(self, inn: Inn, ground: Guest) -> Asked:
        found: list[Any] = await inn.installed.get(f"operations/?system_id={ground.system_id}")
        return Asked(operation_id=next(one["id"] for one in found if one["kind"] == "forget"))

    async def check(self, inn: Inn, ground: Guest, told: Told) -> Iterable[str]:
        return [*await machines_are(inn), *changed(inn, ground, marked=False)]

    def foreign(self, ground: Guest) -> frozenset[str]:
        return frozenset({ground.name})

    async def clear(self, inn: Inn, ground: Guest) -> None:
        await vanish(inn, ground)
