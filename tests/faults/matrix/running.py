"""Many cells, in an order that the seed decides: one after the other, or as whoever tries them elsewhere likes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import structlog
from attrs import define, field, frozen

from common.errors import InnkeeperError
from tests.faults.cells import Cell, CellResult
from tests.faults.matrix.databases import Databases
from tests.faults.matrix.inn import STORAGE_GB, Inn, inn
from tests.faults.matrix.newcomers import newcomers
from tests.faults.matrix.points import cells_of
from tests.faults.matrix.scenarios import SCENARIOS
from tests.faults.matrix.seams import Watched, seams
from tests.faults.matrix.trial import points_of, try_cell

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CELLS_AN_INN = 40
HOSTS = ("sim-a", "sim-b")
HARDWARE = {
    "cores": 64, "memory_mib": 262144, "storage_gb": STORAGE_GB, "guests": 1,
    "networks": "lan:10.1.0.0/24,dmz:10.2.0.0/24",
}  # fmt: skip


@frozen
class Wanted:
    """Cells whose name begins with one of `beginnings`; all, when there are none."""

    beginnings: tuple[str, ...] = ()

    def __call__(self, cell: Cell) -> bool:
        return not self.beginnings or cell.name.startswith(self.beginnings)

    def may_be_of(self, kind: str) -> bool:
        """False when no cell of this kind can be one of them."""
        whole = f"{kind}/"
        return not self.beginnings or any(
            whole.startswith(beginning) or beginning.startswith(whole) for beginning in self.beginnings
        )


ALL = Wanted()
Elsewhere = Callable[[Sequence[Cell]], AsyncIterator[CellResult]]


@define(eq=False)
class Inns:
    """One inn for many cells: a new one when the last cell was red, or when it has seen enough."""

    databases: Databases
    folder: Path
    watched: Watched
    _now: Inn | None = None
    _tried: int = 0
    _open: AsyncExitStack = field(factory=AsyncExitStack)

    async def get(self) -> Inn:
        if self._now is None or self._tried >= CELLS_AN_INN:
            await self.leave()
            dsn = await self._open.enter_async_context(self.databases.copy())
            made = await self._open.enter_async_context(inn(self.folder / uuid4().hex[:8], dsn, self.watched))
            for name in HOSTS:
                await made.add_host(name, **HARDWARE)
            self._now = made
        self._tried += 1
        return self._now

    async def leave(self) -> None:
        opened, self._open = self._open, AsyncExitStack()
        self._now, self._tried = None, 0
        await opened.aclose()


async def run(
    databases: Databases,
    folder: Path,
    *,
    wanted: Wanted = ALL,
    seed: int = 0,
    done: Collection[str] = (),
    planned: list[str] | None = None,
    elsewhere: Elsewhere | None = None,
) -> AsyncIterator[CellResult]:
    """The result of every wanted cell but those in `done`: first those that cannot be tried, with the reason.

    `planned` gets the names of all that were wanted, in the order of the scenarios and their points. `elsewhere` tries
    the cells, when it is given; otherwise they are tried here. In the end it raises AssertionError for the scenarios
    that go wrong even without a fault: their points are not known.
    """
    with seams() as watched, newcomers(watched):
        inns = Inns(databases, folder, watched)
        try:
            todo, skipped = [], []
            broken: list[str] = []
            async for cell, why_not in _cells(inns, wanted, broken):
                if planned is not None:
                    planned.append(cell.name)
                if why_not is not None:
                    skipped.append(CellResult(cell=cell, outcome="not tried", recovered_s=0.0, skipped=why_not))
                elif cell.name not in done:
                    todo.append(cell)
            for result in skipped:
                yield result
            random.Random(seed).shuffle(todo)  # noqa: S311  # repeatable, guards nothing
            if elsewhere is not None:
                await inns.leave()
            async for result in _here(inns, todo) if elsewhere is None else elsewhere(todo):
                yield result
            if broken:
                raise AssertionError("\n".join(broken))
        finally:
            await inns.leave()


async def _cells(inns: Inns, wanted: Wanted, broken: list[str]) -> AsyncIterator[tuple[Cell, str | None]]:
    """Those of every scenario that may have wanted ones, which is run for it without a fault."""
    for kind, scenario in SCENARIOS.items():
        if not wanted.may_be_of(kind):
            continue
        try:
            points = await points_of(await inns.get(), scenario)
        except (InnkeeperError, AssertionError, TimeoutError) as error:
            broken.append(f"{kind}: {type(error).__name__} {error}")
            await inns.leave()
            continue
        for cell, why_not in cells_of(kind, points):
            if wanted(cell):
                yield cell, why_not


async def _here(inns: Inns, cells: Sequence[Cell]) -> AsyncIterator[CellResult]:
    for cell in cells:
        yield await try_in(inns, cell)


async def try_in(inns: Inns, cell: Cell) -> CellResult:
    """What breaks the trial itself is a fault of the cell too: the next one has a new inn."""
    try:
        result = await try_cell(await inns.get(), SCENARIOS[cell.kind], cell)
    except (InnkeeperError, AssertionError, TimeoutError) as error:
        broke = f"the trial broke off: {type(error).__name__} {error}"
        result = CellResult(cell=cell, outcome="unknown", recovered_s=0.0, faults=(broke,))
    if result.faults:
        await inns.leave()
    return result
