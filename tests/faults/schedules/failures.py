"""Rules for failures: unfinished calls, killed racks and regions, hosts that do not answer, and time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.faults.schedules.scheduled_racks import Activity
from tests.faults.schedules.state_machine import HOSTS, RACKS, WHICH, StateMachine


class Failures(StateMachine):
    """`late`: a lost call still acts on the host later, as a stale call."""

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, runs=st.booleans())
    def periodic_refresh(self, host: int, runs: bool) -> None:
        """Unless it `runs` to its end, its result is out of date when it is applied."""
        name, host_id = self.host(host)

        async def refresh() -> None:
            work = self.region.components.schedule.refresher.refresh(host_id)
            activity = await self.region.activities.begin(f"refresh of {name}", work, host=name)
            if runs:
                await self.region.activities.finish(activity)
            elif activity in self.region.activities.running:
                await self.region.activities.act(activity)

        self.go(refresh())

    @rule(host=st.sampled_from(HOSTS), after_calls=st.integers(0, 4))
    def host_fails(self, host: str, after_calls: int) -> None:
        if host not in self.region.outages.down:
            self.region.outages.calls_left[host] = after_calls

    @precondition(lambda self: self.region.outages.down or self.region.outages.calls_left)
    @rule()
    def hosts_recover(self) -> None:
        self.region.outages.down.clear()
        self.region.outages.calls_left.clear()

    # Racks, the region, time ----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.region.racks) < len(RACKS))
    @rule()
    def rack_joins(self) -> None:
        self.go(self._join_rack(next(name for name in RACKS if name not in self.region.racks)))

    @precondition(lambda self: self.region.racks)
    @rule(which=WHICH, late=st.booleans())
    def rack_is_removed(self, which: int, late: bool) -> None:
        self.go(self.region.remove_rack(self._rack(which), late=late))

    @precondition(lambda self: self.region.racks)
    @rule(which=WHICH)
    def rack_restarts(self, which: int) -> None:
        self.go(self.region.restart_rack(self._rack(which)))

    @precondition(lambda self: self.region.racks)
    @rule(which=WHICH, late=st.booleans())
    def link_is_cut(self, which: int, late: bool) -> None:
        self.go(self.region.cut_link(self._rack(which), late=late))

    @rule(late=st.booleans(), same_computer=st.booleans())
    def region_restarts(self, late: bool, same_computer: bool) -> None:
        self.go(self.region.restart_region(late=late, same_computer=same_computer))

    @precondition(lambda self: self.snapshot.open)
    @rule()
    def time_passes(self) -> None:
        self.go(self.region.pass_time())

    # Activities ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.snapshot.open)
    @rule(which=WHICH)
    def begin(self, which: int) -> None:
        async def begin() -> None:
            if due := await self.region.due():
                await self.region.take(due[which % len(due)])

        self.go(begin())

    @precondition(lambda self: self.region.activities.running)
    @rule(which=WHICH)
    def host_acts_and_answers(self, which: int) -> None:
        self.go(self.region.activities.answer(self._activity(which)))

    @precondition(lambda self: self.region.activities.running)
    @rule(which=WHICH)
    def host_acts(self, which: int) -> None:
        """The answer is not delivered yet."""
        self.go(self.region.activities.act(self._activity(which)))

    @precondition(lambda self: self.region.activities.running)
    @rule(which=WHICH, late=st.booleans())
    def call_is_lost(self, which: int, late: bool) -> None:
        """If the host has acted, only the answer is lost."""
        self.go(self.region.activities.lose(self._activity(which), late=late))

    @precondition(lambda self: self.region.activities.running)
    @rule(which=WHICH)
    def activity_finishes(self, which: int) -> None:
        self.go(self.region.activities.finish(self._activity(which)))

    @precondition(lambda self: any(one.operation_id for one in self.region.activities.running))
    @rule(which=WHICH)
    def lease_expires(self, which: int) -> None:
        attempts = [one for one in self.region.activities.running if one.operation_id]
        self.go(self.region.freeze(attempts[which % len(attempts)]))

    @precondition(lambda self: self.region.activities.stale_calls)
    @rule(which=WHICH)
    def stale_call_acts(self, which: int) -> None:
        calls = self.region.activities.stale_calls
        self.go(self.region.activities.run_stale_call(calls[which % len(calls)]))

    @precondition(lambda self: self.snapshot.open or self.region.activities.running)
    @rule()
    def run_everything_due(self) -> None:
        self.go(self.region.run_all_due())

    def _activity(self, which: int) -> Activity:
        return self.region.activities.running[which % len(self.region.activities.running)]
