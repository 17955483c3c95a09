"""The soak: people who ask for one thing after the other while processes are killed at random, for minutes; then as
many people for half as long without a death. Afterwards everything adds up, and no process has grown.

`./dev faults --soak MINUTES` runs it on simulated hosts, with `--real` on real LXD and libvirt together.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import define, field, frozen

from development import postgres
from tests.bench.machine import Machine, the_machine
from tests.faults.adding_up import (
    assert_all_adds_up,
    fetch,
    refresh_until_good,
    until_nothing_is_open,
)
from tests.faults.daemons import Daemons
from tests.faults.flatness import Verdict, judge
from tests.faults.load import Load
from tests.faults.logs import bugs_logged
from tests.faults.vitals import Life, Vitals

CALLERS = 32
HOSTS = ("soak-a", "soak-b", "soak-c")
HARDWARE = "cores=16&memory_mib=65536&storage_gb=400&guests=2&delay_ms=50&fault_rate=0.1"
VICTIMS = ("region", "rack", "postgres")
BETWEEN_KILLS_S = (25.0, 70.0)
KILLING, CALM = "kills", "calm"
SETTLED_S = 600.0  # the longest until all that was asked for has ended

Tell = Callable[[str], None]
_OPERATIONS = "select kind, state, count(*) from operation group by kind, state order by kind, state"


@frozen(kw_only=True)
class SoakReport:
    """`faults`: what did not add up, in words, and what was logged that should not have been."""

    where: str
    seed: int
    minutes: float
    machine: Machine
    callers: int
    kills: dict[str, int]
    operations: dict[str, int]  # by kind and how they ended
    answers: dict[str, int]
    lives: list[Life]
    verdicts: tuple[Verdict, ...]
    faults: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not self.faults and bool(self.verdicts) and all(one.flat for one in self.verdicts)


@define(kw_only=True)
class Soak:
    """On an installation that is up, with its hosts added; `load` asks for things until it is told to stop."""

    daemons: Daemons
    load: Load
    chance: random.Random
    tell: Tell
    vitals: Vitals = field(init=False)
    kills: Counter[str] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.vitals = Vitals(daemons=self.daemons)

    async def go(self, minutes: float) -> None:
        """`minutes` with deaths, then half as many without."""
        watching = asyncio.create_task(self.vitals.run(self.tell))
        people = asyncio.create_task(self.load.run())
        try:
            self.vitals.phase = KILLING
            async with asyncio.timeout(minutes * 60 + 300):
                await self._kill_until(minutes * 60, people)
            for process in ("rack", "region"):  # the calm begins with new ones
                await self._kill(process)
            self.vitals.phase = CALM
            await _unless_ended(people, minutes * 30)
        finally:
            for task in (people, watching):
                task.cancel()
            ended = await asyncio.gather(people, watching, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _kill_until(self, seconds: float, people: asyncio.Task[None]) -> None:
        while True:
            pause_s = self.chance.uniform(*BETWEEN_KILLS_S)
            if self.vitals.at_s + pause_s > seconds:
                await _unless_ended(people, max(0.0, seconds - self.vitals.at_s))
                return
            await _unless_ended(people, pause_s)
            victim = self.chance.choice(VICTIMS)
            self.tell(f"{self.vitals.at_s:4.0f} s  {victim} dies")
            self.kills[victim] += 1
            await self._kill(victim)

    async def _kill(self, victim: str) -> None:
        self.daemons.kill(victim)
        await self.daemons.start_again(victim)


async def _unless_ended(people: asyncio.Task[None], seconds: float) -> None:
    """So much time, in which people are to go on."""
    await asyncio.wait({people}, timeout=seconds)
    if people.done():
        people.result()
        raise AssertionError("nobody asks for anything any more")


async def run(minutes: float, seed: int, tell: Tell) -> SoakReport:
    """On simulated hosts that fail one call in ten."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-soak-") as made:
        folder = Path(made)
        daemons = Daemons(folder=folder, server_folder=folder / "server")
        try:
            await daemons.start()
            host_ids = [
                await daemons.add_host(
                    type="simulated", power_address=f"simulated:{name}?{HARDWARE}&fault_seed={number}", name=name
                )
                for number, name in enumerate(HOSTS)
            ]
            load = Load(daemons=daemons, host_ids=host_ids, clients=CALLERS, seed=seed)
            return await soaked(daemons, load, minutes, seed, tell, where="simulated hosts", adds_up=assert_all_adds_up)
        finally:
            daemons.stop()
            postgres.stop(folder / "server")


async def soaked(
    daemons: Daemons,
    load: Load,
    minutes: float,
    seed: int,
    tell: Tell,
    *,
    where: str,
    adds_up: Callable[[Daemons], Awaitable[object]],
) -> SoakReport:
    """`adds_up` raises AssertionError where hosts and ledger differ when all has ended."""
    machine = await the_machine(daemons.dsn)
    chance = random.Random(seed)  # noqa: S311  # repeatable, no secret
    soak = Soak(daemons=daemons, load=load, chance=chance, tell=tell)
    await soak.go(minutes)
    tell("all is left to end")
    faults = [*load.bugs]
    try:
        await until_nothing_is_open(daemons, deadline_s=SETTLED_S)
        await refresh_until_good(daemons, load.host_ids)
        await until_nothing_is_open(daemons, deadline_s=SETTLED_S)  # leftovers that were found
        await adds_up(daemons)
    except AssertionError as error:
        faults.append(f"it does not add up: {error}")
    faults += [line for name in ("region", "rack") for line in bugs_logged(daemons.folder / f"{name}.log")]
    operations = {f"{row['kind']} {row['state']}": row["count"] for row in await fetch(daemons, _OPERATIONS)}
    return SoakReport(
        where=where, seed=seed, minutes=minutes, machine=machine, callers=load.clients, kills=dict(soak.kills),
        operations=operations, answers=dict(load.answers), lives=soak.vitals.lives,
        verdicts=judge(soak.vitals.lives), faults=tuple(faults),
    )  # fmt: skip
