"""A machine becomes a rack, and somebody dies before that is committed, or before the new rack has heard of it."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from enum import StrEnum

from attrs import define

from regiond.db.pool import connect
from tests.faults.cells import Cell, CellResult, Victim
from tests.faults.real.inn import Inn, waits
from tests.waiting import eventually

_JOIN_S = 60.0
_V = Victim


class Moment(StrEnum):
    ASKED = "before its intent is committed"
    ANSWERED = "done and the answer on its way"


VICTIMS: dict[Moment, tuple[Victim, ...]] = {
    Moment.ASKED: (_V.REGION, _V.RACK, _V.LINK, _V.CONNECTION, _V.DATABASE),
    Moment.ANSWERED: (_V.ANSWER, _V.RACK, _V.REGION),
}


def cells() -> Iterator[tuple[Cell, Moment]]:
    for moment, victims in VICTIMS.items():
        for victim in victims:
            yield Cell(kind="join_rack", point=f"{moment} (processes)", victim=victim), moment


@define(kw_only=True)
class JoinTrial:
    """`name` is the new rack's. The rack that dies is the one that joins."""

    inn: Inn
    cell: Cell
    moment: Moment
    name: str

    async def go(self) -> CellResult:
        token = await self._token()
        joining = await self._join(token)
        try:
            broke_at = await self._struck(joining)
            await self.inn.heal(Victim.LINK if self.cell.victim is Victim.RACK else self.cell.victim)
            status, said = await self._ended(joining)
        finally:
            if joining.returncode is None:
                joining.kill()
                await joining.wait()
        faults = [] if status == 0 or said or self.cell.victim is Victim.RACK else ["it failed without a word"]
        if status != 0:
            faults += await self._joins_again(token)
        await self.inn.daemons.start_another_rack(self.name)
        recovered_s = time.monotonic() - broke_at
        faults += await self._faults_of_end()
        told = "told" if status == 0 else "asked again"
        return CellResult(
            cell=self.cell, outcome=f"joined, {told}", recovered_s=recovered_s, faults=tuple(faults), real=True
        )

    async def _struck(self, joining: Process) -> float:
        if self.moment is Moment.ASKED:
            async with self.inn.locked("rack_token") as db:
                await eventually(lambda: waits(db))
                broke_at = time.monotonic()
                if self.cell.victim is Victim.RACK:
                    joining.kill()
                else:
                    await self.inn.kill(self.cell.victim, db)
            return broke_at
        await eventually(self._is_enrolled)  # the answer was kept back before there was one
        broke_at = time.monotonic()
        if self.cell.victim is Victim.RACK:
            joining.kill()
        else:
            await self.inn.kill(self.cell.victim)
        return broke_at

    async def _token(self) -> str:
        made = await self.inn.post("racks/", "token")
        return str(made["token"])

    async def _join(self, token: str) -> Process:
        """With the region's answer kept back, if that is the moment: from when the region is about to take it in."""
        if self.moment is Moment.ASKED:
            return await self._joining(token)
        async with self.inn.locked("rack_token") as db:
            joining = await self._joining(token)
            await eventually(lambda: waits(db))
            self.inn.proxy.hold_region()
        return joining

    async def _joining(self, token: str) -> Process:
        command = (sys.executable, "-m", "rackd", "join", "--name", self.name, token)
        own = {"INNKEEPER_STATE": str(self.inn.daemons.rack_state(self.name))}
        environment = self.inn.daemons.environment() | own
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)

    async def _ended(self, joining: Process) -> tuple[int | None, str]:
        async with asyncio.timeout(_JOIN_S):
            out, said = await joining.communicate()
        return joining.returncode, (out + said).decode()

    async def _joins_again(self, token: str) -> list[str]:
        """With the same token while it is good, and with another one when it was used up."""
        again = await self._join_plainly(token)
        if again == 0:
            return []
        return [] if await self._join_plainly(await self._token()) == 0 else ["it cannot join again by that name"]

    async def _join_plainly(self, token: str) -> int | None:
        status, _ = await self._ended(await self._joining(token))
        return status

    async def _is_enrolled(self) -> bool:
        db = await connect(self.inn.daemons.dsn, application_name="test")
        try:
            return bool(
                await db.fetchval("select count(*) from rack where name = $1 and removed_at is null", self.name)
            )
        finally:
            await db.close()

    async def _faults_of_end(self) -> list[str]:
        """One rack has the name and is linked; when it is removed, it is gone and refused."""
        found = [rack for rack in await self.inn.get("racks/") if rack["name"] == self.name]
        faults = [] if len(found) == 1 and found[0]["connected"] else [f"{len(found)} racks have the name: {found}"]
        self.inn.daemons.kill(f"rack-{self.name}")
        for rack in found:
            await self.inn.daemons.api.send("DELETE", f"racks/{rack['id']}/")
        return [*faults, *await self.inn.differences()]
