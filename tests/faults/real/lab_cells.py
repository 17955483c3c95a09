"""The sample on real LXD and libvirt: each kind, at the moments that the host shows, and who dies there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from attrs import define

from innkeeper.http import Body
from tests.faults.cells import Cell, CellResult, Victim
from tests.faults.real.inn import Inn
from tests.faults.real.lab_hosts import LabGuest, Lxd
from tests.faults.real.lab_kinds import KINDS, LabKind, Visit
from tests.faults.real.requests import Caller
from tests.faults.real.verdict import Told, outcome, told_faults
from tests.waiting import eventually

PLATFORMS = ("LXD", "libvirt")
_END_S = 150.0
_V = Victim


class Moment(StrEnum):
    CALLED = "as the host is asked"
    BEGUN = "half made"
    ANSWERED = "done and the answer on its way"


VICTIMS: dict[Moment, tuple[Victim, ...]] = {
    Moment.CALLED: (_V.REGION, _V.RACK, _V.LINK, _V.HOST, _V.DATABASE),
    Moment.BEGUN: (_V.RACK, _V.HOST),
    Moment.ANSWERED: (_V.ANSWER, _V.HOST),
}


def cells(platform: str) -> Iterator[tuple[Cell, LabKind, Moment]]:
    for kind in KINDS:
        for moment, victims in VICTIMS.items():
            shown = {Moment.CALLED: True, Moment.BEGUN: kind.begun, Moment.ANSWERED: kind.acted}[moment]
            if not shown or kind.only not in (None, platform):
                continue
            for victim in victims:
                yield Cell(kind=kind.name, point=f"{moment} ({platform})", victim=victim), kind, moment


@define(kw_only=True)
class LabTrial:
    inn: Inn
    cell: Cell
    kind: LabKind
    moment: Moment
    visit: Visit
    broke_at: float = 0.0

    async def go(self) -> CellResult:
        await self.kind.prepare(self.visit)
        if isinstance(self.visit.server, Lxd):
            self.visit.trusted_before = frozenset(await asyncio.to_thread(self.visit.server.trusted))
        caller = Caller(
            daemons=self.inn.daemons, request=await asyncio.to_thread(self.kind.request, self.visit),
            kind=self.kind.operation, key=f"key-{self.visit.name}", after=await self.inn.newest_operation(),
        )  # fmt: skip
        asking = asyncio.create_task(self._asked(caller))
        try:
            await self._met(caller)
            self.broke_at = time.monotonic()
            await self._kill()
            told = await caller.learn(await asking)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        return await self._judged(caller, told)

    async def _asked(self, caller: Caller) -> Any:
        if self.moment is Moment.ANSWERED and self.kind.first_call and self.kind.step is None:
            self.inn.proxy.hold_racks()
        return await caller.ask()

    async def _met(self, caller: Caller) -> None:
        """The host cannot be held: it goes on, and who dies does so as soon as the moment shows."""
        if self.moment is Moment.BEGUN:
            await self._shows(self.kind.begun)
            return
        await eventually(lambda: self._is_called(caller), every_s=0.002)
        if self.moment is Moment.ANSWERED:
            self.inn.proxy.hold_racks()
            await self._shows(self.kind.acted)

    async def _shows(self, what: Any) -> None:
        await eventually(lambda: asyncio.to_thread(what, self.visit), every_s=0.005)

    async def _is_called(self, caller: Caller) -> bool:
        if self.kind.step is None:
            return bool(self.inn.acts_for(caller.after))
        found = await self.inn.get("operations/")
        return any(one["id"] > caller.after and one["step"] == self.kind.step for one in found)

    async def _kill(self) -> None:
        if self.cell.victim is Victim.HOST:
            await asyncio.to_thread(self.visit.server.kill)
            self.inn.proxy.release()
            await asyncio.to_thread(self.visit.server.start)
        else:
            await self.inn.kill(self.cell.victim)
        await self.inn.heal(self.cell.victim)

    async def _judged(self, caller: Caller, told: Told) -> CellResult:
        states = [await self.inn.daemons.ended(one["id"], deadline_s=_END_S) for one in await caller.operations()]
        adds = self.kind.name == "add_host"
        faults = list(told_faults(told, states, may_fail=self.kind.may_fail, answers_anyway=adds))
        if adds:
            await self._find_host()
        if self.kind.may_fail and "failed" in states:
            await self._again()
        faults += await self._faults_of_end()
        recovered_s = time.monotonic() - self.broke_at
        faults += await self._faults_of_leaving()
        return CellResult(
            cell=self.cell, outcome=outcome(told, states), recovered_s=recovered_s, faults=tuple(faults), real=True
        )

    async def _again(self) -> None:
        """A look that failed is asked for again. LXD forgets its tokens when it dies: then it takes another one."""
        path = f"vm-hosts/{self.visit.host_id}/"
        if self.kind.name == "add_host" and isinstance(self.visit.server, Lxd) and self.cell.victim is Victim.HOST:
            token = (await asyncio.to_thread(self.visit.server.adding))["password"]
            await self.inn.daemons.api.send("PUT", path, body=Body(fields=[("password", token)]))
        await self.inn.look_at(self.visit.host_id)

    async def _find_host(self) -> None:
        found = [host for host in await self.inn.get("vm-hosts/") if host["name"] == self.visit.name]
        assert len(found) == 1, f"{len(found)} hosts came of one request"
        self.visit.host_id = found[0]["id"]

    async def _faults_of_end(self) -> list[str]:
        faults: list[str] = []
        if self.kind.name == "rotate_credentials":
            faults += await self._faults_of_trust()
        if self.kind.operation == "remove_host":
            return await self.inn.differences()
        await self.inn.look_at(self.visit.host_id)
        machines = [await self.inn.get(f"machines/{one['system_id']}/") for one in await self.inn.get("machines/")]
        told = {
            one["hostname"]: LabGuest(machine_id=one["hardware_uuid"], running=one["power_state"] == "on")
            for one in machines
        }
        found = await asyncio.to_thread(self.visit.server.guests)
        ours = {name: guest for name, guest in found.items() if guest.machine_id is not None}
        if ours != told:
            faults.append(f"machines say {told}, and the host holds {ours}")
        faults += [f"a volume that no guest has: {name}" for name in await asyncio.to_thread(self.visit.server.unused)]
        return [*faults, *await self.inn.differences()]

    async def _faults_of_trust(self) -> list[str]:
        """One certificate in place of one."""
        assert isinstance(self.visit.server, Lxd)
        now = await asyncio.to_thread(self.visit.server.trusted)
        new, gone = now - self.visit.trusted_before, self.visit.trusted_before - now
        return (
            [] if (len(new), len(gone)) == (1, 1) else [f"{len(new)} certificates came to be trusted, {len(gone)} went"]
        )

    async def _faults_of_leaving(self) -> list[str]:
        """When the host goes with its machines, nothing of ours is left on it; an adopted guest is a machine, too."""
        if self.kind.operation != "remove_host":
            query = [("decompose", "true")]
            await self.inn.daemons.api.send("DELETE", f"vm-hosts/{self.visit.host_id}/", query=query)
        found = await asyncio.to_thread(self.visit.server.guests)
        left = [name for name, guest in found.items() if guest.machine_id is not None]
        left += await asyncio.to_thread(self.visit.server.volumes)
        await asyncio.to_thread(self.visit.server.sweep)
        return [*[f"left on the host: {what}" for what in left], *await self.inn.differences()]
