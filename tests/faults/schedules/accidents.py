"""What befalls an installation: looks and attempts that are left under way, racks and regions that die, time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.faults.schedules.links import Activity
from tests.faults.schedules.stage import HOSTS, RACKS, WHICH, Stage


class Accidents(Stage):
    """`late`: what was asked of a host happens when nobody waits for it any more."""

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, runs=st.booleans())
    def look(self, host: int, runs: bool) -> None:
        """The periodic one; left under way, its answer is of an earlier moment when it comes."""
        name, host_id = self.host(host)

        async def look() -> None:
            work = self.world.parts.schedule._refresher.refresh(host_id)
            activity = await self.world.begin(f"look at {name}", work, host=name)
            if runs:
                await self.world.finish(activity)
            elif activity in self.world.activities:
                await self.world.act(activity)

        self.go(look())

    @rule(host=st.sampled_from(HOSTS), after_calls=st.integers(0, 4))
    def host_dies(self, host: str, after_calls: int) -> None:
        if host not in self.world.outages.down:
            self.world.outages.calls_left[host] = after_calls

    @precondition(lambda self: self.world.outages.down or self.world.outages.calls_left)
    @rule()
    def hosts_come_back(self) -> None:
        self.world.outages.down.clear()
        self.world.outages.calls_left.clear()

    # Racks, the region, time ----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.racks) < len(RACKS))
    @rule()
    def rack_joins(self) -> None:
        self.go(self._join_rack(next(name for name in RACKS if name not in self.world.racks)))

    @precondition(lambda self: self.world.racks)
    @rule(which=WHICH, late=st.booleans())
    def rack_is_removed(self, which: int, late: bool) -> None:
        self.go(self.world.remove_rack(self._rack(which), late=late))

    @precondition(lambda self: self.world.racks)
    @rule(which=WHICH)
    def rack_restarts(self, which: int) -> None:
        self.go(self.world.restart_rack(self._rack(which)))

    @precondition(lambda self: self.world.racks)
    @rule(which=WHICH, late=st.booleans())
    def link_is_cut(self, which: int, late: bool) -> None:
        self.go(self.world.cut_link(self._rack(which), late=late))

    @rule(late=st.booleans(), told=st.booleans())
    def region_restarts(self, late: bool, told: bool) -> None:
        self.go(self.world.restart_region(late=late, told=told))

    @precondition(lambda self: self.seen.open)
    @rule()
    def time_passes(self) -> None:
        self.go(self.world.pass_time())

    # What is under way ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.seen.open)
    @rule(which=WHICH)
    def begin(self, which: int) -> None:
        async def begin() -> None:
            if due := await self.world.due():
                await self.world.take(due[which % len(due)])

        self.go(begin())

    @precondition(lambda self: self.world.activities)
    @rule(which=WHICH)
    def host_acts_and_answers(self, which: int) -> None:
        self.go(self.world.answer(self._activity(which)))

    @precondition(lambda self: self.world.activities)
    @rule(which=WHICH)
    def host_acts(self, which: int) -> None:
        """Its answer stays on its way."""
        self.go(self.world.act(self._activity(which)))

    @precondition(lambda self: self.world.activities)
    @rule(which=WHICH, late=st.booleans())
    def call_is_lost(self, which: int, late: bool) -> None:
        """Or its answer, where the host has acted."""
        self.go(self.world.lose(self._activity(which), late=late))

    @precondition(lambda self: self.world.activities)
    @rule(which=WHICH)
    def what_is_under_way_ends(self, which: int) -> None:
        self.go(self.world.finish(self._activity(which)))

    @precondition(lambda self: any(one.operation_id for one in self.world.activities))
    @rule(which=WHICH)
    def lease_lapses(self, which: int) -> None:
        attempts = [one for one in self.world.activities if one.operation_id]
        self.go(self.world.freeze(attempts[which % len(attempts)]))

    @precondition(lambda self: self.world.stragglers)
    @rule(which=WHICH)
    def straggler_acts(self, which: int) -> None:
        self.go(self.world.straggle(self.world.stragglers[which % len(self.world.stragglers)]))

    @precondition(lambda self: self.seen.open or self.world.activities)
    @rule()
    def all_that_is_due_runs(self) -> None:
        self.go(self.world.run_all_due())

    def _activity(self, which: int) -> Activity:
        return self.world.activities[which % len(self.world.activities)]
