"""Tries one cell with real processes: stops or watches the operation, kills the victim, and checks the result."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Any

from attrs import define, field

from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from tests.faults.cells import Cell, CellResult, Victim
from tests.faults.real.caller import Caller
from tests.faults.real.caller_problems import Learned, caller_problems, outcome_text
from tests.faults.real.lab_hosts import LabCellHost
from tests.faults.real.moments import Moment
from tests.faults.real.observations import LabObservation, Observation, Shows, SimulatedObservation
from tests.faults.real.site import RealSite, cancelled, waits
from tests.faults.scenarios.cell_hosts import GuestHost, SimulatedCellHost
from tests.faults.scenarios.scenario import Outcome
from tests.support.waiting import eventually


@define(kw_only=True)
class Trial(ABC):
    """One cell. Subclasses say how the moment is reached and how a host is killed."""

    site: RealSite
    cell: Cell
    observation: Observation
    moment: Moment
    state: Any = None
    killed_at: float = 0.0
    _removed: bool = field(default=False, init=False)

    async def run(self) -> CellResult:
        self.site.current = None
        self.state = await self.observation.scenario.prepare(self.site)
        await self.before_request()
        caller = Caller(
            site=self.site, scenario=self.observation.scenario, key=f"key-{self.host.name}",
            request=await self.observation.scenario.request(self.site, self.state),
            after=await self.site.newest_operation(),
        )  # fmt: skip
        asking = asyncio.create_task(self.submit(caller))
        try:
            async with self.reached(caller) as db:
                self.killed_at = self.killed_at or time.monotonic()
                await self.kill(db)
            await self.site.recover(self.cell.victim)
            learned = await caller.learn(await asking)
        finally:
            await cancelled(asking)
        return await self._judged(caller, learned)

    @property
    def host(self) -> GuestHost:
        assert self.site.current is not None
        return self.site.current

    async def before_request(self) -> None:  # noqa: B027  # simulated hosts need nothing
        """What the subclass must know about the host before the request."""

    async def submit(self, caller: Caller) -> Any:
        return await caller.submit()

    @abstractmethod
    def reached(self, caller: Caller) -> AbstractAsyncContextManager[Any]:
        """Enters at the moment; yields the connection whose lock the operation waits for, if any."""

    async def kill(self, db: Any) -> None:
        await self.site.kill(self.cell.victim, db)

    async def repeat_failed(self) -> None:
        """What a user does after an operation that is not retried has failed."""
        await self.site.refresh(self.host)

    async def clean(self) -> None:  # noqa: B027  # nothing is left on simulated hosts
        """Removes what is left on the host."""

    async def shows(self, what: Shows | None) -> bool:
        return what is None or await asyncio.to_thread(what, self.host, self.state)

    async def is_called(self, caller: Caller) -> bool:
        """Whether the operation has reached its call to the host."""
        if self.observation.step is None:
            calls = self.site.deployment.processes.host_calls_for(caller.after)
            return self.observation.host_call in calls if self.observation.host_call else bool(calls)
        found = await self.site.deployment.get("operations/")
        return any(one["id"] > caller.after and one["step"] == self.observation.step for one in found)

    async def _judged(self, caller: Caller, learned: Learned) -> CellResult:
        operations = await caller.operations()
        deployment, scenario = self.site.deployment, self.observation.scenario
        states = [await deployment.ended(one["id"]) for one in operations]
        adds = scenario.name == "add_host"
        faults = list(caller_problems(learned, states, may_fail=self.observation.may_fail, answers_early=adds))
        if adds:
            found = await self.site.find(self.host)
            assert found is not None, "the request added no host"
            self.host.host_id = found["id"]
        if self.observation.may_fail and "failed" in states:
            await self.repeat_failed()
        self._removed = scenario.kinds[0] is OperationKind.REMOVE_HOST
        faults += await self._end_problems()
        operation = await deployment.get(f"operations/{operations[-1]['id']}/") if operations else {}
        answer = learned.json() if isinstance(learned, Answer) and learned.is_json else None
        outcome = Outcome(state=states[-1] if states else "answered", operation=operation, answer=answer)
        faults += await scenario.check(self.site, self.state, outcome)
        recovered_s = time.monotonic() - self.killed_at
        faults += await self._removal_problems()
        return CellResult(
            cell=self.cell, outcome=outcome_text(learned, states), recovered_s=recovered_s, faults=tuple(faults),
            real=True,
        )  # fmt: skip

    async def _end_problems(self) -> list[str]:
        """After a refresh there are no discrepancies, and the host holds exactly the guests of the machines."""
        problems: list[str] = []
        if not self._removed:
            await self.site.refresh(self.host)
            listed = await self.site.deployment.get("machines/")
            machines = [await self.site.deployment.get(f"machines/{one['system_id']}/") for one in listed]
            problems += await asyncio.to_thread(self.host.machine_problems, machines)
        return [*problems, *await self.site.discrepancies()]

    async def _removal_problems(self) -> list[str]:
        """After the host is removed with its machines, nothing with our marker is left, and foreign guests are."""
        if not self._removed:
            await self.site.deployment.delete(self.host.path, decompose="true", destroy_adopted="true")
        problems: list[str] = []
        if self.observation.scenario.name != "remove_host":
            problems += [f"left on the host: {one}" for one in await asyncio.to_thread(self.host.left_behind)]
            problems += await asyncio.to_thread(self.host.foreign_problems)
        await self.clean()
        return [*problems, *await self.site.discrepancies()]


@define(kw_only=True)
class SimulatedTrial(Trial):
    """The simulated host stops at the moment until the victim is killed."""

    observation: SimulatedObservation

    async def kill(self, db: Any) -> None:
        if self.cell.victim is not Victim.HOST:  # that was done when the moment was reached
            await super().kill(db)

    @asynccontextmanager
    async def reached(self, caller: Caller) -> AsyncIterator[Any]:
        if self.moment is Moment.REQUESTED:
            async with self.site.locked(self.observation.request_table) as db:
                await eventually(lambda: waits(db))
                yield db
            return
        halfway = self.moment is Moment.HALFWAY
        call = self.observation.halfway_call if halfway else self.observation.call
        assert call is not None
        host = self.host
        assert isinstance(host, SimulatedCellHost)
        with ExitStack() as held, ExitStack() as away:
            held.enter_context(host.file.hold(call))
            await eventually(lambda: self.shows(self.observation.halfway) if halfway else self.is_called(caller))
            if self.moment is Moment.ANSWERED:
                self.site.proxy.hold_racks()
                held.close()
                await eventually(lambda: self.shows(self.observation.acted))
            if self.moment is Moment.ENDING:
                async with self.site.locked(self.observation.end_table) as db:
                    held.close()
                    await eventually(lambda: self.shows(self.observation.acted))
                    await eventually(lambda: waits(db))
                    yield db
                return
            if self.cell.victim is Victim.HOST:
                self.killed_at = time.monotonic()
                away.enter_context(host.file.writes_rejected())
                held.close()
                await eventually(lambda: self._has_failed(caller))
            yield None

    async def _has_failed(self, caller: Caller) -> bool:
        """Whether the region knows that the host is unreachable."""
        found = await self.site.deployment.get("operations/")
        return any(one["id"] > caller.after and one["state"] == "waiting" and one["error"] for one in found)


@define(kw_only=True)
class LabTrial(Trial):
    """A real host cannot be stopped: the victim is killed as soon as the host shows the moment."""

    observation: LabObservation

    @property
    def lab_host(self) -> LabCellHost:
        assert isinstance(self.host, LabCellHost)
        return self.host

    async def before_request(self) -> None:
        await asyncio.to_thread(self.lab_host.remember_trust)

    async def submit(self, caller: Caller) -> Any:
        acts_first = self.observation.first_call and self.observation.step is None
        if self.moment is Moment.ANSWERED and acts_first:
            self.site.proxy.hold_racks()
        return await caller.submit()

    @asynccontextmanager
    async def reached(self, caller: Caller) -> AsyncIterator[Any]:
        if self.moment is Moment.HALFWAY:
            await eventually(lambda: self.shows(self.observation.halfway), every_s=0.005)
        else:
            await eventually(lambda: self.is_called(caller), every_s=0.002)
            if self.moment is Moment.ANSWERED:
                self.site.proxy.hold_racks()
                await eventually(lambda: self.shows(self.observation.acted), every_s=0.005)
        yield None

    async def kill(self, db: Any) -> None:
        if self.cell.victim is not Victim.HOST:
            await super().kill(db)
            return
        await asyncio.to_thread(self.lab_host.server.kill)
        self.site.proxy.release()
        await asyncio.to_thread(self.lab_host.server.start)

    async def repeat_failed(self) -> None:
        """LXD forgets its tokens when it is killed: the host gets a new one."""
        adds_lxd = self.observation.scenario.name == "add_host" and "password" in self.host.fields
        if adds_lxd and self.cell.victim is Victim.HOST:
            token = (await asyncio.to_thread(self.lab_host.server.adding))["password"]
            await self.site.deployment.put(self.host.path, password=token)
        await super().repeat_failed()

    async def clean(self) -> None:
        await asyncio.to_thread(self.lab_host.server.sweep)
