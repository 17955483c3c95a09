"""Runs the cells of the real sample, each platform on its own deployment, in an order that the seed decides."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol

from attrs import frozen

from tests.faults.cells import Cell, CellResult
from tests.faults.real.join_trial import JoinTrial
from tests.faults.real.lab_hosts import LabCellHost, Lxd, opened, why_none
from tests.faults.real.moments import join_cells, lab_cells, simulated_cells
from tests.faults.real.observations import PLATFORMS
from tests.faults.real.site import RealSite, real_site
from tests.faults.real.trial import LabTrial, SimulatedTrial
from tests.faults.scenarios.cell_hosts import GuestHost, SimulatedCellHost
from tests.lab.support.early_reports import reporting_early


class _Trial(Protocol):
    async def run(self) -> CellResult: ...


class _MakeTrial(Protocol):
    def __call__(self, *, site: RealSite) -> _Trial: ...


@frozen
class _Planned:
    """A cell, and what makes its trial on a site."""

    cell: Cell
    make_trial: _MakeTrial


_OpenSite = Callable[[], AbstractAsyncContextManager[RealSite]]


def cells() -> list[Cell]:
    """All cells, also those whose platform this machine lacks."""
    planned = [_on_processes(), *(_on_platform(platform) for platform in PLATFORMS)]
    return [one.cell for one in chain.from_iterable(planned)]


async def results(is_wanted: Callable[[Cell], bool], seed: int) -> AsyncGenerator[CellResult, None]:
    order = random.Random(seed)  # noqa: S311  # repeatable, no secret
    async with aclosing(_tried(order, _on_processes(), is_wanted, _simulated_site)) as found:
        async for result in found:
            yield result
    for platform in PLATFORMS:
        planned = _on_platform(platform)
        if (why := why_none(platform)) is not None:
            for one in planned:
                if is_wanted(one.cell):
                    yield CellResult(cell=one.cell, outcome="not tried", recovered_s=0.0, skipped=why, real=True)
            continue
        async with aclosing(_tried(order, planned, is_wanted, partial(_lab_site, platform))) as found:
            async for result in found:
                yield result


def _on_processes() -> list[_Planned]:
    return [
        *(_Planned(cell, partial(JoinTrial, cell=cell, moment=moment)) for cell, moment in join_cells()),
        *(
            _Planned(cell, partial(SimulatedTrial, cell=cell, observation=observation, moment=moment))
            for cell, observation, moment in simulated_cells()
        ),
    ]


def _on_platform(platform: str) -> list[_Planned]:
    return [
        _Planned(cell, partial(LabTrial, cell=cell, observation=observation, moment=moment))
        for cell, observation, moment in lab_cells(platform)
    ]


def _simulated_site() -> AbstractAsyncContextManager[RealSite]:
    def make_host(site: RealSite) -> GuestHost:
        name = site.new_name("host")
        allocation = {"pod": name, "storage": "root:4,data:8"}
        return SimulatedCellHost.new(site.deployment, name, allocation=allocation)

    return real_site(make_host)


@asynccontextmanager
async def _lab_site(platform: str) -> AsyncIterator[RealSite]:
    with tempfile.TemporaryDirectory(prefix="innkeeper-lab-") as made, opened(platform, Path(made)) as server:

        def make_host(site: RealSite) -> GuestHost:
            return LabCellHost.new(server, site.new_name("host"))

        async with real_site(make_host, server.rack_prefix) as site, AsyncExitStack() as stack:
            if isinstance(server, Lxd):  # its guests boot nothing that could report
                url = f"http://127.0.0.1:{site.deployment.processes.http_port}"
                await stack.enter_async_context(reporting_early(server.server, url))
            yield site


async def _tried(
    order: random.Random, planned: list[_Planned], is_wanted: Callable[[Cell], bool], open_site: _OpenSite
) -> AsyncGenerator[CellResult, None]:
    """Opens a new site after each red cell."""
    wanted = [one for one in planned if is_wanted(one.cell)]
    order.shuffle(wanted)
    while wanted:
        async with open_site() as site:
            while wanted:
                result = await _result(wanted.pop(), site)
                yield result
                if result.faults:
                    break


async def _result(planned: _Planned, site: RealSite) -> CellResult:
    try:
        return await planned.make_trial(site=site).run()
    except Exception as error:  # noqa: BLE001  # a trial that cannot be finished is red
        frames = traceback.extract_tb(error.__traceback__)
        where = " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames if "/tests/faults/" in frame.filename)
        fault = f"{type(error).__name__} in {where}: {error}"
        return CellResult(cell=planned.cell, outcome="unknown", recovered_s=0.0, faults=(fault,), real=True)
