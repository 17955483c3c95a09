"""Measures dry runs over many hosts: one query, then a pure decision."""

from __future__ import annotations

from common.guests.compose_request import ComposeRequest
from regiond.machines.values.requests import HostConstraints
from tests.bench.baselines.reading_all import Need, choose
from tests.bench.idle import prefilled_region
from tests.bench.measuring import Bench, Line, Times, timed
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import ADMIN


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(10_000, 1_000, 10)
    dsn = await bench.database()
    async with prefilled_region(bench.new_folder("dry"), dsn, hosts=hosts, machines_each=2) as innkeeper:
        await _check_that_both_choose_alike(innkeeper)
        times = await dry_runs(innkeeper, bench.size(200, 20))
        simple = await reading_all(innkeeper, bench.size(20, 5))
    return [
        Line(
            key="dry",
            what=f"dry run over {hosts} hosts",
            wanted="p99 ≤ 50 ms",
            measured=str(times),
            good=times.p99_ms <= 50,
            numbers=times.numbers,
            against=simple.against("reading all hosts, judged in Python (p50)", times),
        )
    ]


async def dry_runs(innkeeper: Deployment, times: int) -> Times:
    composer = innkeeper.region.components.services.composer
    request, anywhere = ComposeRequest(stock=True, cores=1, memory_mib=1024), HostConstraints()

    async def dry(_: int) -> None:
        placement = (await composer.dry_run(ADMIN, request, anywhere)).placement
        assert placement.chosen is not None

    await dry(0)
    return await timed(dry, times)


async def reading_all(innkeeper: Deployment, times: int) -> Times:
    database, need = innkeeper.region.components.database, Need()

    async def dry(_: int) -> None:
        async with database.connection() as db:
            assert await choose(db, need) is not None

    await dry(0)
    return await timed(dry, times)


async def _check_that_both_choose_alike(innkeeper: Deployment) -> None:
    found = await innkeeper.region.components.services.composer.dry_run(
        ADMIN, ComposeRequest(stock=True, cores=1, memory_mib=1024), HostConstraints()
    )
    ours = found.placement
    async with innkeeper.region.components.database.connection() as db:
        simple = await choose(db, Need())
    chosen = None if ours.chosen is None else ours.chosen.host_id
    if simple is None or simple.host["id"] != chosen:
        raise RuntimeError(f"placement chose host {chosen}, the simple way another: they do not do the same work")
