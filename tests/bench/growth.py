"""Measures how figures grow with the number of hosts, for the product and the baseline."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from attrs import asdict, field, frozen

from regiond.reconciler.detection import find_discrepancies
from regiond.reconciler.store import use_snapshot
from tests.bench.baselines.all_machines import page
from tests.bench.figures.claims import CALLERS, claims, claims_with_one_lock
from tests.bench.figures.dry import dry_runs, reading_all
from tests.bench.idle import prefilled_region
from tests.bench.measuring import Bench, Times, timed
from tests.bench.prefilled import oversubscribed
from tests.deployment.deployment import Deployment

MACHINES_EACH = 5
LISTED_HOSTS = 4  # in the list: every response has the same number of machines


@frozen(kw_only=True)
class Curve:
    """Median milliseconds by number of hosts. `simple` is the baseline, if there is one."""

    key: str
    what: str
    simple_way: str = ""
    ours: Mapping[int, float] = field(factory=dict)
    simple: Mapping[int, float] = field(factory=dict)

    @property
    def text(self) -> str:
        """Formats the curve as one line for a terminal."""
        cells = [
            f"{hosts} hosts {ms:.1f}" + (f" ({self.simple[hosts]:.1f})" if hosts in self.simple else "")
            for hosts, ms in self.ours.items()
        ]
        return f"{self.what}, ms{f' ({self.simple_way})' if self.simple_way else ''}: {', '.join(cells)}"

    def plain(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        return asdict(self)


CURVES = (
    Curve(key="claim", what=f"place + claim, host chosen, {CALLERS} callers, per claim", simple_way="one global lock"),
    Curve(key="dry", what="dry run", simple_way="reading all hosts, judged in Python"),
    Curve(key="list", what="list the machines of 4 hosts, over HTTP", simple_way="reading all machines, without HTTP"),
    Curve(key="sweep", what="a sweep of the reconciler"),
)


async def measure(bench: Bench) -> tuple[Curve, ...]:
    """Uses a new database for each size, with the same number of machines on each host."""
    ours: dict[str, dict[int, float]] = {curve.key: {} for curve in CURVES}
    simple: dict[str, dict[int, float]] = {curve.key: {} for curve in CURVES}
    for hosts in _sizes(bench):
        print(f"  … {hosts} hosts", file=sys.stderr, flush=True)
        for key, (its, other) in (await _at(bench, hosts)).items():
            ours[key][hosts] = round(its, 2)
            if other is not None:
                simple[key][hosts] = round(other, 2)
    return tuple(
        Curve(
            key=curve.key, what=curve.what, simple_way=curve.simple_way, ours=ours[curve.key], simple=simple[curve.key]
        )
        for curve in CURVES
    )


def _sizes(bench: Bench) -> tuple[int, ...]:
    if bench.toy:
        return (4,)
    return (10, 100, 1000) if bench.quick else (10, 100, 1000, 10_000)


async def _at(bench: Bench, hosts: int) -> dict[str, tuple[float, float | None]]:
    dsn = await bench.database()
    async with prefilled_region(bench.new_folder("growth"), dsn, hosts=hosts, machines_each=MACHINES_EACH) as innkeeper:
        times, few = bench.size(400, 100), bench.size(20, 5)
        dry, all_hosts = await dry_runs(innkeeper, few), await reading_all(innkeeper, few)
        listed, all_machines = await _lists(innkeeper, hosts, few)
        swept = await _sweeps(innkeeper, few)
        claimed = await claims(innkeeper, hosts, times, is_named=False)
        locked = await claims_with_one_lock(innkeeper, dsn, hosts, times, is_named=False)
        if too_much := await oversubscribed(dsn):
            raise RuntimeError(f"{too_much} servers or storage pools of {hosts} hosts are overcommitted")
    return {
        "claim": (1000 / claimed.rate, 1000 / locked.rate),
        "dry": (dry.p50_ms, all_hosts.p50_ms),
        "list": (listed.p50_ms, all_machines.p50_ms),
        "sweep": (swept.p50_ms, None),
    }


async def _lists(innkeeper: Deployment, hosts: int, times: int) -> tuple[Times, Times]:
    names = [f"host-{number}" for number in range(1, min(hosts, LISTED_HOSTS) + 1)]
    path = "machines/?" + "&".join(f"pod={name}" for name in names)
    database = innkeeper.region.components.database

    async def ours(_: int) -> None:
        assert len(await innkeeper.get(path)) == MACHINES_EACH * len(names)

    async def simple(_: int) -> None:
        async with database.connection() as db:
            assert len(await page(db, hosts=frozenset(names), size=100)) == MACHINES_EACH * len(names)

    return await timed(ours, times), await timed(simple, min(times, 5))


async def _sweeps(innkeeper: Deployment, times: int) -> Times:
    async def sweep(_: int) -> None:
        async with innkeeper.region.components.database.transaction() as db:
            await use_snapshot(db)
            found = await find_discrepancies(db)
        assert not found, f"a sweep of the prefilled database finds {found[:3]}"

    return await timed(sweep, min(times, 5))
