"""The sample on simulated hosts: each kind, met at each moment that it has, and who dies there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any

from attrs import define

from tests.faults.cells import Cell, CellResult, Victim
from tests.faults.real.inn import Inn, waits
from tests.faults.real.requests import Caller
from tests.faults.real.simulated_host import compared
from tests.faults.real.simulated_kinds import FOREIGN, KINDS, Kind, Stay
from tests.faults.real.verdict import Told, outcome, told_faults
from tests.waiting import eventually

PLATFORM = "simulated"
_END_S = 120.0
_V = Victim


class Moment(StrEnum):
    ASKED = "before its intent is committed"
    CALLED = "in the host's hands"
    HALFWAY = "half made"
    ANSWERED = "done and the answer on its way"
    ENDING = "before its end is committed"


VICTIMS: dict[Moment, tuple[Victim, ...]] = {
    Moment.ASKED: (_V.REGION, _V.CONNECTION, _V.DATABASE),
    Moment.CALLED: (_V.REGION, _V.RACK, _V.LINK, _V.HOST, _V.DATABASE),
    Moment.HALFWAY: (_V.REGION, _V.RACK, _V.LINK, _V.HOST, _V.DATABASE),
    Moment.ANSWERED: (_V.ANSWER, _V.RACK, _V.REGION),
    Moment.ENDING: (_V.REGION, _V.RACK, _V.CONNECTION, _V.DATABASE),
}


def cells() -> Iterator[tuple[Cell, Kind, Moment]]:
    for kind in KINDS:
        for moment, victims in VICTIMS.items():
            for victim in victims:
                if _has(kind, moment, victim):
                    yield Cell(kind=kind.name, point=f"{moment} ({PLATFORM})", victim=victim), kind, moment


def _has(kind: Kind, moment: Moment, victim: Victim) -> bool:
    """A host that only tells is never between acting and answering; without a call it is in nobody's hands."""
    if moment is Moment.ASKED:
        return True
    if kind.call is None or (moment is Moment.HALFWAY and kind.halfway is None):
        return False
    return kind.changes_host or (moment is not Moment.ANSWERED and victim is not Victim.HOST)


@define(kw_only=True)
class Trial:
    """One cell from its host's first day to its last."""

    inn: Inn
    cell: Cell
    kind: Kind
    moment: Moment
    stay: Stay
    broke_at: float = 0.0

    async def go(self) -> CellResult:
        await self.kind.prepare(self.stay)
        caller = Caller(
            daemons=self.inn.daemons, request=self.kind.request(self.stay), kind=self.kind.operation,
            key=f"key-{self.stay.name}", after=await self.inn.newest_operation(),
        )  # fmt: skip
        asking = asyncio.create_task(caller.ask())
        try:
            async with self._met(caller) as db:
                self.broke_at = self.broke_at or time.monotonic()
                if self.cell.victim is not Victim.HOST:
                    await self.inn.kill(self.cell.victim, db)
            await self.inn.heal(self.cell.victim)
            told = await caller.learn(await asking)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        return await self._judged(caller, told)

    @asynccontextmanager
    async def _met(self, caller: Caller) -> AsyncIterator[Any]:
        """It is in the moment, and gets no further inside. What is given has locked the table that it waits for."""
        call = self.kind.halfway if self.moment is Moment.HALFWAY else self.kind.call
        with ExitStack() as held:
            if self.moment is Moment.ASKED:
                async with self.inn.locked(self.kind.table) as db:
                    await eventually(lambda: waits(db))
                    yield db
                return
            assert call is not None
            held.enter_context(self.inn.daemons.held(self.stay.name, call))
            await eventually(lambda: self._is_called(caller))
            if self.moment is Moment.ANSWERED:
                self.inn.proxy.hold_racks()
                held.close()
                await eventually(lambda: self.kind.acted(self.stay))
            if self.moment is Moment.ENDING:
                async with self.inn.locked(self.kind.outcome) as db:
                    held.close()
                    await eventually(lambda: self.kind.acted(self.stay))
                    await eventually(lambda: waits(db))
                    yield db
                return
            with ExitStack() as away:
                if self.cell.victim is Victim.HOST:
                    self.broke_at = time.monotonic()
                    away.enter_context(self.stay.host.writes_refused())
                    held.close()
                    await eventually(lambda: self._refused(caller))
                yield None

    async def _is_called(self, caller: Caller) -> bool:
        if self.moment is Moment.HALFWAY:
            return len(self.stay.host.unused()) == 2
        if self.kind.step is None:
            return bool(self.inn.acts_for(caller.after))
        return self.kind.step in {one["step"] for one in await caller.operations()}

    async def _refused(self, caller: Caller) -> bool:
        """Whether the region has heard that the host is away."""
        found = await self.inn.get("operations/")
        return any(one["id"] > caller.after and one["state"] == "waiting" and one["error"] for one in found)

    async def _judged(self, caller: Caller, told: Told) -> CellResult:
        faults: list[str] = []
        operations = await caller.operations()
        states = [await self.inn.daemons.ended(one["id"], deadline_s=_END_S) for one in operations]
        if self.kind.name == "add_host":
            await self._find_host()
        faults += told_faults(told, states, may_fail=self.kind.may_fail, answers_anyway=self.kind.name == "add_host")
        if self.kind.may_fail and "failed" in states:
            await self.inn.look_at(self.stay.host_id)
        faults += await self._faults_of_end()
        recovered_s = time.monotonic() - self.broke_at
        faults += await self._faults_of_leaving()
        return CellResult(
            cell=self.cell, outcome=outcome(told, states), recovered_s=recovered_s, faults=tuple(faults), real=True
        )

    async def _find_host(self) -> None:
        """The one that came of the request, and no second one."""
        found = [host for host in await self.inn.get("vm-hosts/") if host["name"] == self.stay.name]
        assert len(found) == 1, f"{len(found)} hosts came of one request"
        self.stay.host_id = found[0]["id"]

    async def _faults_of_end(self) -> list[str]:
        """After a look at the host, which must be possible, nothing differs; and the host holds what machines say."""
        faults: list[str] = []
        machines = []
        if not self.kind.name.startswith("remove_host"):
            await self.inn.look_at(self.stay.host_id)
            machines = await self._machines()
            faults += compared(self.stay.host, machines)
        elif any(host["id"] == self.stay.host_id for host in await self.inn.get("vm-hosts/")):
            faults.append("the host was removed, and is there")
        return [*faults, *await self.inn.differences()]

    async def _machines(self) -> list[Any]:
        listed = [one for one in await self.inn.get("machines/") if one["pod"] and one["pod"]["name"] == self.stay.name]
        return [await self.inn.get(f"machines/{one['system_id']}/") for one in listed]

    async def _faults_of_leaving(self) -> list[str]:
        """When the host goes with its machines, nothing of ours is left on it, and what is not ours is."""
        if self.kind.name == "remove_host":
            return [] if self.stay.guest is not None else ["its guest should have stayed"]
        if self.kind.name != "remove_host_and_machines":
            query = [("decompose", "true")]
            await self.inn.daemons.api.send("DELETE", f"vm-hosts/{self.stay.host_id}/", query=query)
        ours = [guest.name for guest in self.stay.host.guests().values() if guest.machine_id is not None]
        faults = [f"left on the host: {what}" for what in [*ours, *self.stay.host.unused()]]
        if self.kind.name != "adopt" and FOREIGN not in self.stay.host.guests():
            faults.append("the foreign guest is gone")
        return [*faults, *await self.inn.differences()]
