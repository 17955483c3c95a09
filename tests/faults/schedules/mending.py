"""The reconciler sweeps and mends what is ours, and a person approves the rest: at once, or what was shown long ago."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from regiond.reconciler.model import By, Standing
from regiond.reconciler.service import Reconciler
from tests.faults.schedules.accidents import Accidents
from tests.faults.schedules.hands import Hands
from tests.faults.schedules.people import THEN
from tests.faults.schedules.stage import WHICH
from tests.faults.schedules.world import ADMIN


class Mending(Hands, Accidents):
    """`shown` is what somebody has on the screen, true or not by now."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Standing] = []

    @rule(host=WHICH, sweeps=st.integers(1, 2), then=THEN)
    def reconciler_sweeps(self, host: int, sweeps: int, then: str) -> None:
        """After a look at a host. The second in a row mends what the first has seen."""
        if self.hosts:
            self.look(host=host, runs=True)
        self.ask(self._sweep(sweeps), then=then)

    async def _sweep(self, times: int) -> None:
        reconciler = Reconciler(self.world.database, every_s=0.0)
        for _ in range(times):
            await reconciler.sweep()

    @rule()
    def person_looks_at_differences(self) -> None:
        self.go(self._look())

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, which=WHICH, done=st.sampled_from(("nothing", "removed", "copied")), then=THEN)
    def person_looks_and_approves(self, host: int, which: int, done: str, then: str) -> None:
        """Of what is so already, or of what an administrator has just `done` to a guest."""
        if done == "removed":
            self.guest_is_removed(host=host, which=which, with_volumes=False)
        elif done == "copied":
            self.guest_is_copied_with_its_mark(host=host + 1, which=which, to=host)
        self.look(host=host, runs=True)
        self.person_looks_at_differences()
        if self.shown:
            self.person_approves(which=which, then=then)

    async def _look(self) -> None:
        found = await self.services.reconciler.check()
        self.shown = [one for one in found if one.difference.mended_by is not By.NOBODY]

    @precondition(lambda self: self.shown)
    @rule(which=WHICH, then=THEN)
    def person_approves(self, which: int, then: str) -> None:
        shown = self.shown[which % len(self.shown)]
        self.ask(self.services.reconciler.approve(ADMIN, shown.id, etag=shown.difference.etag), then=then)
