"""Runs many cells in an order that the seed decides, in this process or in worker processes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from attrs import define, field, frozen

from common.errors import InnkeeperError
from tests.faults.cells import Cell, CellResult
from tests.faults.matrix.databases import Databases
from tests.faults.matrix.host_instrumentation import Instrumentation
from tests.faults.matrix.instrumentation import instrumented
from tests.faults.matrix.points import cells_of
from tests.faults.matrix.site import MatrixSite, matrix_site
from tests.faults.matrix.trial import points_of, try_cell
from tests.faults.scenarios import SCENARIOS

CELLS_PER_SITE = 40
_PROBLEMS = (InnkeeperError, AssertionError, TimeoutError)


@frozen
class Filter:
    """Selects the cells whose name starts with one of `prefixes`; all cells if there are none."""

    prefixes: tuple[str, ...] = ()

    def __call__(self, cell: Cell) -> bool:
        return not self.prefixes or cell.name.startswith(self.prefixes)

    def may_select(self, kind: str) -> bool:
        """False if it selects no cell of this kind."""
        whole = f"{kind}/"
        return not self.prefixes or any(
            whole.startswith(prefix) or prefix.startswith(whole) for prefix in self.prefixes
        )


ALL = Filter()
Workers = Callable[[Sequence[Cell]], AsyncIterator[CellResult]]


@define(eq=False)
class Sites:
    """Shares a site between cells; makes a new one after a red cell and after CELLS_PER_SITE cells."""

    databases: Databases
    folder: Path
    instrumentation: Instrumentation
    _site: MatrixSite | None = None
    _tried: int = 0
    _open: AsyncExitStack = field(factory=AsyncExitStack)

    async def get(self) -> MatrixSite:
        if self._site is None or self._tried >= CELLS_PER_SITE:
            await self.discard()
            dsn = await self._open.enter_async_context(self.databases.copy())
            made = matrix_site(self.folder / uuid4().hex[:8], dsn, self.instrumentation)
            self._site = await self._open.enter_async_context(made)
        self._tried += 1
        return self._site

    async def discard(self) -> None:
        opened, self._open = self._open, AsyncExitStack()
        self._site, self._tried = None, 0
        await opened.aclose()


async def run(
    databases: Databases,
    folder: Path,
    *,
    wanted: Filter = ALL,
    seed: int = 0,
    done: Collection[str] = (),
    planned: list[str] | None = None,
    workers: Workers | None = None,
) -> AsyncIterator[CellResult]:
    """The result of every wanted cell except those in `done`; first the impossible cells, with the reason.

    `planned` receives the names of all wanted cells, in the order of scenarios and points. `workers` tries the cells
    instead of this process. Raises AssertionError at the end for scenarios that fail even without a fault: their
    points are unknown.
    """
    with instrumented() as instrumentation:
        sites = Sites(databases, folder, instrumentation)
        try:
            to_try, impossible = [], []
            broken: list[str] = []
            async for cell, why_not in _cells(sites, wanted, broken):
                if planned is not None:
                    planned.append(cell.name)
                if why_not is not None:
                    impossible.append(CellResult(cell=cell, outcome="not tried", recovered_s=0.0, skipped=why_not))
                elif cell.name not in done:
                    to_try.append(cell)
            for result in impossible:
                yield result
            random.Random(seed).shuffle(to_try)  # noqa: S311  # repeatable, guards nothing
            if workers is not None:
                await sites.discard()
            async for result in _in_this_process(sites, to_try) if workers is None else workers(to_try):
                yield result
            if broken:
                raise AssertionError("\n".join(broken))
        finally:
            await sites.discard()


async def _cells(sites: Sites, wanted: Filter, broken: list[str]) -> AsyncIterator[tuple[Cell, str | None]]:
    """The cells of every scenario that the filter may select; runs each scenario once without a fault."""
    for kind, scenario in SCENARIOS.items():
        if not wanted.may_select(kind):
            continue
        try:
            points = await points_of(await sites.get(), scenario)
        except _PROBLEMS as error:
            broken.append(f"{kind}: {type(error).__name__} {error}")
            await sites.discard()
            continue
        for cell, why_not in cells_of(kind, points):
            if wanted(cell):
                yield cell, why_not


async def _in_this_process(sites: Sites, cells: Sequence[Cell]) -> AsyncIterator[CellResult]:
    for cell in cells:
        yield await try_on(sites, cell)


async def try_on(sites: Sites, cell: Cell) -> CellResult:
    """A trial that cannot be finished is red."""
    try:
        result = await try_cell(await sites.get(), SCENARIOS[cell.kind], cell)
    except _PROBLEMS as error:
        fault = f"the trial was interrupted: {type(error).__name__} {error}"
        result = CellResult(cell=cell, outcome="unknown", recovered_s=0.0, faults=(fault,))
    if result.faults:
        await sites.discard()
    return result
