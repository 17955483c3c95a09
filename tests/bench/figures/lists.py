"""Measures pages and long lists over HTTP, with the region as a process."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.db.pool import Database
from tests.bench.baselines.all_machines import page
from tests.bench.daemons import prefilled_region_alone
from tests.bench.measuring import Bench, Line, Times, timed
from tests.deployment.deployment import Deployment

PAGE = 100
LISTED_HOSTS = 20
EACH = 50


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(1000, 100)
    machines = hosts * EACH
    async with prefilled_region_alone(bench, hosts=hosts, machines_each=EACH) as deployment:
        simple = await _reading_all(deployment, bench.size(5, 3))
        of_some = await _pages(deployment, _hosts(), bench.size(200, 20))
        ready = await _pages(deployment, _ready(range(1, hosts + 1)), bench.size(200, 20))
        tenth = f"machines/?{_pods(hosts // 10)}"
        return [
            _page(f"{machines} machines, of {LISTED_HOSTS} hosts", "hosts", of_some, simple),
            _page(f"{machines} machines, ready", "ready", ready, simple),
            await _list(deployment, tenth, f"{machines // 10} of {machines} machines, by host", bench),
            await _list(deployment, "vm-hosts/", f"all {hosts} VM hosts", bench),
        ]


def _pods(number: int) -> str:
    return "&".join(f"pod=host-{host}" for host in range(1, number + 1))


def _hosts() -> tuple[str, ...]:
    """Pages of the machines of a few hosts: the first page, and one that starts at each machine.

    In the order of host names, machines of many other hosts lie between two of them.
    """
    path = f"machines/?limit={PAGE}&{_pods(LISTED_HOSTS)}"
    return (path, *(f"{path}&after=vm-{host}-1" for host in range(2, 8)))


def _ready(hosts: Sequence[int]) -> tuple[str, ...]:
    """Pages of all ready machines, from the first to almost the last."""
    path = f"machines/?limit={PAGE}&status=ready"
    return (path, *(f"{path}&after=vm-{host}-1" for host in hosts[:: max(1, len(hosts) // 20)][:-2]))


async def _pages(deployment: Deployment, paths: Sequence[str], times: int) -> Times:
    api = deployment.api

    async def ask(number: int) -> None:
        await api.get(paths[number % len(paths)])

    for path in paths:
        found = len((await api.get(path)).json())
        if found != PAGE:
            raise RuntimeError(f"{path} returned {found} machines, not {PAGE}")
    return await timed(ask, times)


async def _reading_all(deployment: Deployment, times: int) -> Times:
    names = frozenset(f"host-{host}" for host in range(1, LISTED_HOSTS + 1))
    database = await Database.open(deployment.dsn, application_name="bench-all-machines")

    async def read(_: int) -> None:
        async with database.connection() as db:
            if len(await page(db, hosts=names, size=PAGE)) != PAGE:
                raise RuntimeError("the baseline found another page")

    try:
        return await timed(read, times)
    finally:
        await database.close()


def _page(what: str, key: str, found: Times, simple: Times) -> Line:
    return Line(
        key=f"list.page.{key}",
        what=f"list page of {PAGE} out of {what}, by hostname",
        wanted="p99 ≤ 50 ms",
        measured=str(found),
        good=found.p99_ms <= 50,
        numbers=found.numbers,
        against=simple.against("reading all machines, without HTTP (p50)", found),
    )


async def _list(deployment: Deployment, path: str, what: str, bench: Bench) -> Line:
    api = deployment.api
    size = len((await api.get(path)).body)
    found = await timed(lambda _: api.get(path), bench.size(20, 5))
    return Line(
        key=f"list.{path.partition('/')[0]}",
        what=f"list {what}",
        wanted="",
        measured=f"{found}, {size / 1e6:.1f} MB",
        numbers={**found.numbers, "size_mb": round(size / 1e6, 1)},
    )
