"""The reconciler sweeps and mends what is ours, and a person approves the rest: at once, or what was shown long ago."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from regiond.reconciler.model import By, Standing
from regiond.reconciler.service import Reconciler
from tests.faults.schedules.people import THEN
from tests.faults.schedules.stage import WHICH, Stage
from tests.faults.schedules.world import ADMIN


class Mending(Stage):
    """`shown` is what somebody has on the screen, true or not by now."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Standing] = []

    @rule(sweeps=st.integers(1, 2), then=THEN)
    def reconciler_sweeps(self, sweeps: int, then: str) -> None:
        """The second in a row mends what the first has seen."""
        self.ask(self._sweep(sweeps), then=then)

    async def _sweep(self, times: int) -> None:
        reconciler = Reconciler(self.world.database, every_s=0.0)
        for _ in range(times):
            await reconciler.sweep()

    @rule()
    def person_looks_at_differences(self) -> None:
        self.go(self._look())

    async def _look(self) -> None:
        found = await self.services.reconciler.check()
        self.shown = [one for one in found if one.difference.mended_by is not By.NOBODY]

    @precondition(lambda self: self.shown)
    @rule(which=WHICH, then=THEN)
    def person_approves(self, which: int, then: str) -> None:
        shown = self.shown[which % len(self.shown)]
        self.ask(self.services.reconciler.approve(ADMIN, shown.id, etag=shown.difference.etag), then=then)
