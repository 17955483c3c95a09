"""The soak test: load with random kills for some minutes, then load without kills for half as long.

Afterwards ledger and hosts must agree and no process may have grown. `./dev faults --soak MINUTES` runs it on
simulated hosts, with `--real` on LXD and libvirt together.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from attrs import define, field, frozen

from tests.bench.machine import Machine, this_machine
from tests.deployment.deployment import Deployment
from tests.deployment.processes import temporary_deployment
from tests.faults.consistency import assert_consistent, settle
from tests.faults.logs import bugs_logged
from tests.faults.soak.flatness import Verdict, judge
from tests.faults.soak.load import Load
from tests.faults.soak.process_metrics import Life, ProcessMetrics

CALLERS = 32
HOSTS = ("soak-a", "soak-b", "soak-c")
HARDWARE = "cores=16&memory_mib=65536&storage_gb=400&guests=2&delay_ms=50&fault_rate=0.1"
VICTIMS = ("region", "rack", "postgres")
BETWEEN_KILLS_S = (25.0, 70.0)
KILLING, CALM = "kills", "calm"
SETTLED_S = 600.0  # until all operations have ended

Show = Callable[[str], None]
_OPERATIONS = "select kind, state, count(*) from operation group by kind, state order by kind, state"


@frozen(kw_only=True)
class SoakReport:
    """`faults` are inconsistencies and bugs in the logs."""

    where: str
    seed: int
    minutes: float
    machine: Machine
    callers: int
    kills: dict[str, int]
    operations: dict[str, int]  # by kind and end state
    answers: dict[str, int]
    lives: list[Life]
    verdicts: tuple[Verdict, ...]
    faults: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not self.faults and bool(self.verdicts) and all(one.flat for one in self.verdicts)


@define(kw_only=True)
class Soak:
    """Runs `load` on a running deployment and kills processes meanwhile."""

    deployment: Deployment
    load: Load
    chance: random.Random
    show: Show
    metrics: ProcessMetrics = field(init=False)
    kills: Counter[str] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.metrics = ProcessMetrics(deployment=self.deployment)

    async def go(self, minutes: float) -> None:
        """`minutes` with kills, then half as long without."""
        watching = asyncio.create_task(self.metrics.run(self.show))
        load_task = asyncio.create_task(self.load.run())
        try:
            self.metrics.phase = KILLING
            async with asyncio.timeout(minutes * 60 + 300):
                await self._kill_until(minutes * 60, load_task)
            for process in ("rack", "region"):  # the calm phase starts with new processes
                await self._kill(process)
            self.metrics.phase = CALM
            await _wait_with_load(load_task, minutes * 30)
        finally:
            for task in (load_task, watching):
                task.cancel()
            ended = await asyncio.gather(load_task, watching, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _kill_until(self, seconds: float, load_task: asyncio.Task[None]) -> None:
        while True:
            pause_s = self.chance.uniform(*BETWEEN_KILLS_S)
            if self.metrics.at_s + pause_s > seconds:
                await _wait_with_load(load_task, max(0.0, seconds - self.metrics.at_s))
                return
            await _wait_with_load(load_task, pause_s)
            victim = self.chance.choice(VICTIMS)
            self.show(f"{self.metrics.at_s:4.0f} s  {victim} killed")
            self.kills[victim] += 1
            await self._kill(victim)

    async def _kill(self, victim: str) -> None:
        self.deployment.kill(victim)
        await self.deployment.restart(victim)


async def _wait_with_load(load_task: asyncio.Task[None], seconds: float) -> None:
    """Waits `seconds`; raises if the load ends before."""
    await asyncio.wait({load_task}, timeout=seconds)
    if load_task.done():
        load_task.result()
        raise AssertionError("the load has ended")


async def run(minutes: float, seed: int, show: Show) -> SoakReport:
    """Runs on simulated hosts that fail one call in ten."""
    with temporary_deployment("innkeeper-soak-") as deployment:
        await deployment.start()
        host_ids = await add_failing_hosts(deployment)
        load = Load(deployment=deployment, host_ids=host_ids, clients=CALLERS, seed=seed)
        return await soak_on(deployment, load, minutes, seed, show, where="simulated hosts", check=assert_consistent)


async def add_failing_hosts(deployment: Deployment) -> list[int]:
    """Adds simulated hosts that fail one call in ten; returns their ids."""
    return [
        await deployment.add_host(
            type="simulated", power_address=f"simulated:{name}?{HARDWARE}&fault_seed={seed}", name=name
        )
        for seed, name in enumerate(HOSTS)
    ]


async def soak_on(
    deployment: Deployment,
    load: Load,
    minutes: float,
    seed: int,
    show: Show,
    *,
    where: str,
    check: Callable[[Deployment], Awaitable[object]],
) -> SoakReport:
    """`check` raises AssertionError if hosts and ledger disagree at the end."""
    machine = await this_machine(deployment.dsn)
    chance = random.Random(seed)  # noqa: S311  # repeatable, no secret
    soak = Soak(deployment=deployment, load=load, chance=chance, show=show)
    await soak.go(minutes)
    show("waiting for the operations to end")
    faults = [*load.bugs]
    try:
        await settle(deployment, load.host_ids, deadline_s=SETTLED_S)
        await check(deployment)
    except AssertionError as error:
        faults.append(f"inconsistent: {error}")
    faults += [line for name in ("region", "rack") for line in bugs_logged(deployment.folder / f"{name}.log")]
    operations = {f"{row['kind']} {row['state']}": row["count"] for row in await deployment.fetch(_OPERATIONS)}
    return SoakReport(
        where=where, seed=seed, minutes=minutes, machine=machine, callers=load.clients, kills=dict(soak.kills),
        operations=operations, answers=dict(load.answers), lives=soak.metrics.lives,
        verdicts=judge(soak.metrics.lives), faults=tuple(faults),
    )  # fmt: skip
