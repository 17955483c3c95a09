"""Tries one cell in which a rack enrols: kills before the enrolment is committed, or before its answer arrives."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from typing import Any

import asyncpg
from attrs import define

from tests.faults.cells import Cell, CellResult, Victim
from tests.faults.real.moments import Moment
from tests.faults.real.site import RealSite, waits
from tests.faults.scenarios import SCENARIOS
from tests.faults.scenarios.scenario import Outcome
from tests.support.waiting import eventually

JOIN_DEADLINE_S = 150.0
_RACKS = "select count(*) from rack where name = $1 and removed_at is null"


@define(kw_only=True)
class JoinTrial:
    """The rack that is killed is the one that enrols."""

    site: RealSite
    cell: Cell
    moment: Moment
    name: str = ""

    async def run(self) -> CellResult:
        scenario = SCENARIOS["join_rack"]
        self.name = await scenario.prepare(self.site)
        token = await self._token()
        joining = await self._join_until_moment(token)
        try:
            killed_at = await self._kill(joining)
            await self.site.recover(Victim.LINK if self.cell.victim is Victim.RACK else self.cell.victim)
            status, output = await _ended(joining)
        finally:
            if joining.returncode is None:
                joining.kill()
                await joining.wait()
        silent = status != 0 and not output and self.cell.victim is not Victim.RACK
        faults = ["it failed without a message"] if silent else []
        if status != 0:
            faults += await self._join_again(token)
        faults += await scenario.check(self.site, self.name, Outcome(state="answered"))
        recovered_s = time.monotonic() - killed_at
        faults += await self._end_problems()
        outcome = f"joined, {'answered' if status == 0 else 'repeated'}"
        return CellResult(cell=self.cell, outcome=outcome, recovered_s=recovered_s, faults=tuple(faults), real=True)

    async def _kill(self, joining: Process) -> float:
        """Returns when."""
        if self.moment is Moment.REQUESTED:
            async with self.site.locked("rack_token") as db:
                await eventually(lambda: waits(db))
                return await self._kill_now(joining, db)
        await eventually(self._is_enrolled)  # the answer is held back
        return await self._kill_now(joining, None)

    async def _kill_now(self, joining: Process, db: asyncpg.Connection[Any] | None) -> float:
        killed_at = time.monotonic()
        if self.cell.victim is Victim.RACK:
            joining.kill()
        else:
            await self.site.kill(self.cell.victim, db)
        return killed_at

    async def _token(self) -> str:
        return str((await self.site.deployment.post("racks/", op="token"))["token"])

    async def _join_until_moment(self, token: str) -> Process:
        """If the answer is to be lost, holds it back as soon as the region is about to enrol the rack."""
        if self.moment is Moment.REQUESTED:
            return await self._join(token)
        async with self.site.locked("rack_token") as db:
            joining = await self._join(token)
            await eventually(lambda: waits(db))
            self.site.proxy.hold_region()
        return joining

    async def _join(self, token: str) -> Process:
        processes = self.site.deployment.processes
        command = (sys.executable, "-m", "rackd", "join", "--name", self.name, token)
        environment = processes.environment() | {"INNKEEPER_STATE": str(processes.rack_state(self.name))}
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)

    async def _join_again(self, token: str) -> list[str]:
        """With the same token if it is still valid, otherwise with a new one."""
        for one in (token, await self._token()):
            status, _ = await _ended(await self._join(one))
            if status == 0:
                return []
        return ["it cannot enrol again under its name"]

    async def _is_enrolled(self) -> bool:
        return bool(await self.site.fetchval(_RACKS, self.name))

    async def _end_problems(self) -> list[str]:
        """The rack is listed once and connected; removes it."""
        deployment = self.site.deployment
        found = [rack for rack in await deployment.get("racks/") if rack["name"] == self.name]
        faults = [] if len(found) == 1 and found[0]["connected"] else [f"{len(found)} racks have the name: {found}"]
        deployment.kill(self.name)
        for rack in found:
            await deployment.delete(f"racks/{rack['id']}/")
        return [*faults, *await self.site.discrepancies()]


async def _ended(process: Process) -> tuple[int | None, str]:
    """Exit status and output."""
    async with asyncio.timeout(JOIN_DEADLINE_S):
        out, errors = await process.communicate()
    return process.returncode, (out + errors).decode()
