"""Thousands of operations that 32 people ask for at once, of real processes; the invariants are judged whenever all
is quiet, and at the end."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from attrs import define, field, frozen

from development import postgres
from regiond.db.pool import Database
from tests.faults.daemons import Daemons
from tests.faults.load import Asks, Load
from tests.faults.logs import bugs_logged
from tests.faults.schedules import invariants
from tests.faults.schedules.audit import AUDIT
from tests.faults.schedules.hypervisors import Holdings, Hypervisor
from tests.waiting import eventually

HOSTS = 6
CALLERS = 32
QUIET_EVERY = 1000  # operations
HARDWARE = (
    "cores=16&memory_mib=49152&numa_nodes=2&hugepages_mib=8192&pools=default:300,fast:150&guests=4&fault_rate=0.02"
    "&networks=lan:10.1.0.0/24"
)
OVER_COMMIT = {"cpu_over_commit_ratio": "1.5", "memory_over_commit_ratio": "1.25"}
ADOPTED = ("foreign-0001", "foreign-0002")
ROUND_S = 1800.0
QUIET_S = 300.0  # until what was asked for has ended

_ENDED = "select count(*) from operation where finished_at is not null"
_OPEN = "select count(*) from operation where finished_at is null"


@frozen(kw_only=True)
class Report:
    """What was done, and what was wrong: `violations` in words, empty when the invariants held."""

    seed: int
    operations: int
    took_s: float
    answers: Counter[str]
    quiet_points: int
    violations: tuple[str, ...]

    @property
    def text(self) -> str:
        told = ", ".join(f"{what} {number}" for what, number in sorted(self.answers.items()))
        return "\n".join(
            [
                f"{self.operations} operations of {CALLERS} callers in {self.took_s:.0f} s (seed {self.seed}), all "
                f"judged at {self.quiet_points} quiet points: {len(self.violations)} violations",
                told,
                *self.violations,
            ]
        )


@define(kw_only=True)
class Crowd(Load):
    """More than machines that come and go: they are allocated, released, adopted and let go, by key and by address."""

    @property
    def kinds(self) -> dict[Asks, int]:
        return {
            **super().kinds, self._pinned: 2, self._with_address: 1, self._allocate: 3, self._release: 3,
            self._adopt: 1, self._forget: 1,
        }  # fmt: skip

    async def _pinned(self, chance: random.Random) -> None:
        fields = {"pin_cores": str(chance.randint(1, 3)), "memory": "1024", "storage": "root:4"}
        if chance.random() < 0.5:
            fields["hugepages_backed"] = "true"
        await self._ask("POST", f"vm-hosts/{chance.choice(self.host_ids)}/", chance, op="compose", **fields)

    async def _with_address(self, chance: random.Random) -> None:
        interfaces = f"eth0:subnet=10.1.0.0/24,ip=10.1.0.{chance.randint(10, 60)}"
        path = f"vm-hosts/{chance.choice(self.host_ids)}/"
        await self._ask("POST", path, chance, op="compose", storage="root:4", interfaces=interfaces)

    async def _allocate(self, chance: random.Random) -> None:
        fields = {"cpu_count": str(chance.randint(1, 3)), "mem": "1024", "storage": "root:4"}
        await self._ask("POST", "machines/", chance, op="allocate", **fields)

    async def _release(self, chance: random.Random) -> None:
        if system_id := await self._some_machine(chance):
            await self._ask("POST", f"machines/{system_id}/", chance, op="release")

    async def _adopt(self, chance: random.Random) -> None:
        path = f"vm-hosts/{chance.choice(self.host_ids)}/"
        await self._ask("POST", path, chance, op="adopt", guests=chance.choice(ADOPTED))

    async def _forget(self, chance: random.Random) -> None:
        """Only what was foreign before, or hosts would fill with what nobody can delete."""
        machines = (await self.daemons.api.get("machines/", deadline_s=20.0)).json()
        adopted = [one["system_id"] for one in machines if one["hostname"].startswith("foreign")]
        if adopted:
            await self._ask("POST", f"machines/{chance.choice(adopted)}/", chance, op="forget")


@define(kw_only=True)
class _Play:
    """Rounds of a crowd, with a look at everything after each."""

    daemons: Daemons
    database: Database
    hypervisors: dict[str, Hypervisor] = field(factory=dict)
    host_ids: list[int] = field(factory=list)
    answers: Counter[str] = field(factory=Counter)
    violations: list[str] = field(factory=list)
    quiet_points: int = 0

    async def go(self, operations: int, seed: int) -> int:
        """The number of operations that have ended."""
        await self._add_hosts()
        before = await self._see()
        ended = await self._count(_ENDED)
        while ended < operations and not self.violations:
            await self._crowd(min(operations, ended + QUIET_EVERY), seed + self.quiet_points)
            await self._become_quiet()
            now = await self._see()
            self.violations += [
                *invariants.after_step(before, now, straggled=set(), copied=set(), touched=_adoptable(before)),
                *invariants.at_rest(now, copied=set(), over=invariants.given_up(before, now)),
            ]
            before, ended, self.quiet_points = now, await self._count(_ENDED), self.quiet_points + 1
        return ended

    async def _crowd(self, until: int, seed: int) -> None:
        crowd = Crowd(daemons=self.daemons, host_ids=self.host_ids, clients=CALLERS, seed=seed)

        async def enough() -> bool:
            return bool(crowd.broken or crowd.bugs or await self._count(_ENDED) >= until)

        people = asyncio.create_task(crowd.run())
        try:
            await eventually(enough, deadline_s=ROUND_S, every_s=0.5)
        finally:
            people.cancel()
            results = await asyncio.gather(people, return_exceptions=True)
        self.answers += crowd.answers
        self.violations += crowd.bugs
        self.violations += [repr(error) for error in results if isinstance(error, Exception)]

    async def _become_quiet(self) -> None:
        """Nothing is open any more, and every host was looked at since."""

        async def nothing_open() -> bool:
            return await self._count(_OPEN) == 0

        await eventually(nothing_open, deadline_s=QUIET_S, every_s=0.5)
        for _ in range(2):  # the second sees what the first had removed
            for host_id in self.host_ids:
                await eventually(partial(self._refreshed, host_id), deadline_s=QUIET_S)
            await eventually(nothing_open, deadline_s=QUIET_S, every_s=0.5)

    async def _refreshed(self, host_id: int) -> bool:
        """A call in fifty to a host fails."""
        headers = {"Prefer": "respond-async"}
        answer = await self.daemons.api.send("POST", f"vm-hosts/{host_id}/", query=[("op", "refresh")], headers=headers)
        return await self.daemons.ended(int(answer.json()["id"])) == "succeeded"

    async def _add_hosts(self) -> None:
        for number in range(HOSTS):
            name = f"crowd-{number}"
            address = f"simulated:{name}?{HARDWARE}&fault_seed={number}"
            added = await self.daemons.add_host(type="simulated", power_address=address, name=name, **OVER_COMMIT)
            self.host_ids.append(added)
            self.hypervisors[name] = Hypervisor.opened(self.daemons.folder / "simulated", name)
            await eventually(partial(self._refreshed, added))

    async def _see(self) -> invariants.Seen:
        held: dict[str, Holdings] = {name: one.holdings() for name, one in self.hypervisors.items()}
        return await invariants.see(self.database, held)

    async def _count(self, query: str) -> int:
        async with self.database.connection() as db:
            return int(await db.fetchval(query))


def _adoptable(before: invariants.Seen) -> frozenset[str]:
    """They may have been ours for a while, switched and let go again. The other foreign guests never were."""
    return frozenset(guest.guest_id for _, guest in before.guests() if guest.name in ADOPTED)


async def run(operations: int, seed: int) -> Report:
    """At least so many operations, asked for by CALLERS people at once, on a PostgreSQL of its own."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="innkeeper-crowd-") as made:
        folder = Path(made)
        daemons = Daemons(folder=folder, server_folder=folder / "server")
        try:
            await daemons.start()
            return await _played(daemons, operations, seed, began)
        finally:
            daemons.stop()
            postgres.stop(folder / "server")


async def _played(daemons: Daemons, operations: int, seed: int, began: float) -> Report:
    database = await Database.open(daemons.dsn, application_name="crowd", min_size=1, max_size=2)
    play = _Play(daemons=daemons, database=database)
    try:
        async with database.connection() as db:
            await db.execute(AUDIT)
        ended = await play.go(operations, seed)
    finally:
        for one in play.hypervisors.values():
            one.close()
        await database.close()
    logged = [line for name in ("region", "rack") for line in bugs_logged(daemons.folder / f"{name}.log")]
    return Report(
        seed=seed, operations=ended, took_s=time.monotonic() - began, answers=play.answers,
        quiet_points=play.quiet_points, violations=(*play.violations, *logged),
    )  # fmt: skip
