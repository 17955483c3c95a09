"""All cells one after the other: each platform's on an installation of its own, in an order that the seed chooses."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol

from development import postgres
from tests.faults.cells import Cell, CellResult
from tests.faults.daemons import Daemons
from tests.faults.real import join_cells, lab_cells, simulated_cells
from tests.faults.real.inn import Inn
from tests.faults.real.join_cells import JoinTrial
from tests.faults.real.lab_cells import LabTrial
from tests.faults.real.lab_hosts import opened, why_none
from tests.faults.real.lab_kinds import LabKind, Visit
from tests.faults.real.link_proxy import LinkProxy
from tests.faults.real.simulated_cells import Trial
from tests.faults.real.simulated_kinds import Kind, Stay

_numbers = count(1)


class _Tried(Protocol):
    @property
    def cell(self) -> Cell: ...
    async def go(self) -> CellResult: ...


_Making = tuple[Cell, Callable[[Inn, str], _Tried]]  # given an installation, and a name that is nobody's there


@asynccontextmanager
async def installed(rack_prefix: tuple[str, ...] = ()) -> AsyncIterator[Inn]:
    """Region, rack and database of this machine, with the rack behind a cable; all end with it."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-faults-") as made:
        folder, server = Path(made), Path(made) / "server"
        daemons = Daemons(folder=folder, server_folder=server, rack_prefix=rack_prefix)
        proxy = LinkProxy(region_port=daemons.rpc_port)
        daemons.settings = {"rpc_address": f"127.0.0.1:{proxy.port}"}
        try:
            async with proxy.listening():
                await daemons.start()
                yield Inn(daemons=daemons, proxy=proxy)
        finally:
            daemons.stop()
            postgres.stop(server)


async def results(is_wanted: Callable[[Cell], bool], seed: int) -> AsyncGenerator[CellResult, None]:
    """Of those that are wanted; the seed chooses their order on each platform."""
    chance = random.Random(seed)  # noqa: S311  # repeatable, no secret
    processes = [each for each in [*_joining(), *_simulated()] if is_wanted(each[0])]
    chance.shuffle(processes)
    while processes:
        async with aclosing(_on_processes(processes)) as found:
            async for result in found:
                yield result
    for platform in lab_cells.PLATFORMS:
        real = [each for each in lab_cells.cells(platform) if is_wanted(each[0])]
        chance.shuffle(real)
        if (why := why_none(platform)) is not None:
            for cell, _, _ in real:
                yield CellResult(cell=cell, outcome="not tried", recovered_s=0.0, skipped=why, real=True)
            continue
        while real:
            async with aclosing(_on_lab(platform, real)) as found:
                async for result in found:
                    yield result


def _simulated() -> Iterator[_Making]:
    for cell, kind, moment in simulated_cells.cells():
        yield cell, partial(_simulated_trial, cell, kind, moment)


def _simulated_trial(cell: Cell, kind: Kind, moment: simulated_cells.Moment, inn: Inn, name: str) -> Trial:
    return Trial(inn=inn, cell=cell, kind=kind, moment=moment, stay=Stay(inn=inn, name=name))


def _joining() -> Iterator[_Making]:
    for cell, moment in join_cells.cells():
        yield cell, partial(_join_trial, cell, moment)


def _join_trial(cell: Cell, moment: join_cells.Moment, inn: Inn, name: str) -> JoinTrial:
    return JoinTrial(inn=inn, cell=cell, moment=moment, name=name)


async def _on_processes(wanted: list[_Making]) -> AsyncGenerator[CellResult, None]:
    """Takes from `wanted` until a cell is red: whatever is wrong with it, the next one begins anew."""
    async with installed() as inn:
        while wanted:
            _, trial = wanted.pop()
            result = await _tried(trial(inn, f"inn{next(_numbers)}"))
            yield result
            if result.faults:
                return


async def _on_lab(
    platform: str, wanted: list[tuple[Cell, LabKind, lab_cells.Moment]]
) -> AsyncGenerator[CellResult, None]:
    """As `_on_processes`, on a hypervisor that holds nothing of ours at first."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-lab-") as made, opened(platform, Path(made)) as server:
        async with installed(server.rack_prefix) as inn:
            while wanted:
                cell, kind, moment = wanted.pop()
                visit = Visit(inn=inn, server=server, name=f"inn{next(_numbers)}")
                result = await _tried(LabTrial(inn=inn, cell=cell, kind=kind, moment=moment, visit=visit))
                yield result
                if result.faults:
                    return


async def _tried(trial: _Tried) -> CellResult:
    try:
        return await trial.go()
    except Exception as error:  # noqa: BLE001  # a cell that breaks off is red, and the next one is tried
        where = traceback.extract_tb(error.__traceback__)
        ours = [f"{frame.name}:{frame.lineno}" for frame in where if "/faults/real/" in frame.filename]
        fault = f"{type(error).__name__} in {' > '.join(ours)}: {error}"
        return CellResult(cell=trial.cell, outcome="unknown", recovered_s=0.0, faults=(fault,), real=True)


def names() -> list[Cell]:
    """Of all cells, whether this machine has what they need or not."""
    real = [cell for platform in lab_cells.PLATFORMS for cell, _, _ in lab_cells.cells(platform)]
    return [*[cell for cell, _ in [*_joining(), *_simulated()]], *real]
