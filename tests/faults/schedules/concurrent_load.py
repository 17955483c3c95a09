"""Thousands of operations of 32 concurrent clients on real processes, with checkpoints that check the invariants."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from functools import partial

from attrs import define, field, frozen

from common.words.phrases import number_of
from regiond.db.pool import Database
from tests.deployment.deployment import Deployment
from tests.deployment.processes import temporary_deployment
from tests.faults.logs import bugs_logged
from tests.faults.schedules import invariants
from tests.faults.schedules.audit import AUDIT
from tests.faults.schedules.hypervisors import Holdings, Hypervisor
from tests.faults.soak.load import Load, RequestKind
from tests.support.waiting import eventually

HOSTS = 6
CALLERS = 32
CHECKPOINT_EVERY = 1000  # operations
HARDWARE = (
    "cores=16&memory_mib=49152&numa_nodes=2&hugepages_mib=8192&pools=default:300,fast:150&guests=4&fault_rate=0.02"
    "&networks=lan:10.1.0.0/24"
)
OVER_COMMIT = {"cpu_over_commit_ratio": "1.5", "memory_over_commit_ratio": "1.25"}
ADOPTED = ("foreign-0001", "foreign-0002")
ROUND_S = 1800.0
QUIET_S = 300.0  # until all operations have ended

_ENDED = "select count(*) from operation where finished_at is not null"
_OPEN = "select count(*) from operation where finished_at is null"


@frozen(kw_only=True)
class Report:
    """The numbers of a run; `violations` is empty if the invariants held."""

    seed: int
    operations: int
    took_s: float
    answers: Counter[str]
    checkpoints: int
    violations: tuple[str, ...]

    @property
    def text(self) -> str:
        answers = ", ".join(f"{what} {number}" for what, number in sorted(self.answers.items()))
        checked = f"all checked at {number_of(self.checkpoints, 'checkpoint')}"
        first = (
            f"{self.operations} operations of {CALLERS} callers in {self.took_s:.0f} s (seed {self.seed}), {checked}: "
            f"{number_of(len(self.violations), 'violation')}"
        )
        return "\n".join([first, answers, *self.violations])


@define(kw_only=True)
class ConcurrentLoad(Load):
    """Also allocates, releases, adopts and forgets, and composes with pinned cores and static addresses."""

    @property
    def kinds(self) -> dict[RequestKind, int]:
        return {
            **super().kinds, self._pinned: 2, self._with_address: 1, self._allocate: 3, self._release: 3,
            self._adopt: 1, self._forget: 1,
        }  # fmt: skip

    async def _pinned(self, chance: random.Random) -> None:
        fields = {"pin_cores": str(chance.randint(1, 3)), "memory": "1024", "storage": "root:4"}
        if chance.random() < 0.5:
            fields["hugepages_backed"] = "true"
        await self._send("POST", f"vm-hosts/{chance.choice(self.host_ids)}/", chance, op="compose", **fields)

    async def _with_address(self, chance: random.Random) -> None:
        interfaces = f"eth0:subnet=10.1.0.0/24,ip=10.1.0.{chance.randint(10, 60)}"
        path = f"vm-hosts/{chance.choice(self.host_ids)}/"
        await self._send("POST", path, chance, op="compose", storage="root:4", interfaces=interfaces)

    async def _allocate(self, chance: random.Random) -> None:
        fields = {"cpu_count": str(chance.randint(1, 3)), "mem": "1024", "storage": "root:4"}
        await self._send("POST", "machines/", chance, op="allocate", **fields)

    async def _release(self, chance: random.Random) -> None:
        if system_id := await self._some_machine(chance):
            await self._send("POST", f"machines/{system_id}/", chance, op="release")

    async def _adopt(self, chance: random.Random) -> None:
        path = f"vm-hosts/{chance.choice(self.host_ids)}/"
        await self._send("POST", path, chance, op="adopt", guests=chance.choice(ADOPTED))

    async def _forget(self, chance: random.Random) -> None:
        """Only adopted guests: other forgotten guests would fill the hosts."""
        machines = (await self.deployment.api.get("machines/", deadline_s=20.0)).json()
        adopted = [one["system_id"] for one in machines if one["hostname"].startswith("foreign")]
        if adopted:
            await self._send("POST", f"machines/{chance.choice(adopted)}/", chance, op="forget")


@define(kw_only=True)
class _LoadRun:
    """Rounds of load, each followed by a checkpoint."""

    deployment: Deployment
    database: Database
    hypervisors: dict[str, Hypervisor] = field(factory=dict)
    host_ids: list[int] = field(factory=list)
    answers: Counter[str] = field(factory=Counter)
    violations: list[str] = field(factory=list)
    checkpoints: int = 0

    async def go(self, operations: int, seed: int) -> int:
        """Returns the number of operations that have ended."""
        await self._add_hosts()
        before = await self._snapshot()
        ended = await self._count(_ENDED)
        while ended < operations and not self.violations:
            await self._load(min(operations, ended + CHECKPOINT_EVERY), seed + self.checkpoints)
            await self._quiesce()
            now = await self._snapshot()
            self.violations += [
                *invariants.after_step(
                    before, now, changed_by_stale_calls=set(), copied=set(), touched=_adoptable(before)
                ),
                *invariants.at_rest(
                    now, changed_by_stale_calls=set(), copied=set(), deleted=invariants.deleted_machines(before, now)
                ),
            ]
            before, ended, self.checkpoints = now, await self._count(_ENDED), self.checkpoints + 1
        return ended

    async def _load(self, until: int, seed: int) -> None:
        load = ConcurrentLoad(deployment=self.deployment, host_ids=self.host_ids, clients=CALLERS, seed=seed)

        async def enough() -> bool:
            return bool(load.has_ended or load.bugs or await self._count(_ENDED) >= until)

        clients = asyncio.create_task(load.run())
        try:
            await eventually(enough, deadline_s=ROUND_S, every_s=0.5)
        finally:
            clients.cancel()
            results = await asyncio.gather(clients, return_exceptions=True)
        self.answers += load.answers
        self.violations += load.bugs
        self.violations += [repr(error) for error in results if isinstance(error, Exception)]

    async def _quiesce(self) -> None:
        """Waits until no operation is open and every host has been refreshed."""

        async def nothing_open() -> bool:
            return await self._count(_OPEN) == 0

        await eventually(nothing_open, deadline_s=QUIET_S, every_s=0.5)
        for _ in range(2):  # the second sees what the first removed
            for host_id in self.host_ids:
                await eventually(
                    partial(self.deployment.refreshed, host_id), deadline_s=QUIET_S
                )  # one call in fifty fails
            await eventually(nothing_open, deadline_s=QUIET_S, every_s=0.5)

    async def _add_hosts(self) -> None:
        for number in range(HOSTS):
            name = f"load-{number}"
            address = f"simulated:{name}?{HARDWARE}&fault_seed={number}"
            added = await self.deployment.add_host(type="simulated", power_address=address, name=name, **OVER_COMMIT)
            self.host_ids.append(added)
            self.hypervisors[name] = Hypervisor.opened(self.deployment.folder / "simulated", name)
            await eventually(partial(self.deployment.refreshed, added))

    async def _snapshot(self) -> invariants.Snapshot:
        held: dict[str, Holdings] = {name: one.holdings() for name, one in self.hypervisors.items()}
        return await invariants.take_snapshot(self.database, held)

    async def _count(self, query: str) -> int:
        async with self.database.connection() as db:
            return int(await db.fetchval(query))


def _adoptable(before: invariants.Snapshot) -> frozenset[str]:
    """Ids of the foreign guests that the load may adopt and forget again."""
    return frozenset(guest.guest_id for _, guest in before.guests() if guest.name in ADOPTED)


async def run(operations: int, seed: int) -> Report:
    """Runs at least `operations` operations of CALLERS clients on a new PostgreSQL."""
    began = time.monotonic()
    with temporary_deployment("innkeeper-load-") as deployment:
        await deployment.start()
        return await _played(deployment, operations, seed, began)


async def _played(deployment: Deployment, operations: int, seed: int, began: float) -> Report:
    database = await Database.open(deployment.dsn, application_name="load", min_size=1, max_size=2)
    play = _LoadRun(deployment=deployment, database=database)
    try:
        async with database.connection() as db:
            await db.execute(AUDIT)
        ended = await play.go(operations, seed)
    finally:
        for one in play.hypervisors.values():
            one.close()
        await database.close()
    logged = [line for name in ("region", "rack") for line in bugs_logged(deployment.folder / f"{name}.log")]
    return Report(
        seed=seed, operations=ended, took_s=time.monotonic() - began, answers=play.answers,
        checkpoints=play.checkpoints, violations=(*play.violations, *logged),
    )  # fmt: skip
