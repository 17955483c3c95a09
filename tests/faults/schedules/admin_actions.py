"""Rules for what administrators do on the hosts, without Innkeeper."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import rule

from common.values import PowerState
from tests.faults.schedules.hypervisors import HeldGuest, Hypervisor
from tests.faults.schedules.state_machine import WHICH, StateMachine

MEMORY_MIB = st.sampled_from((1024, 2048, 6144))
POWERS = st.sampled_from((PowerState.ON, PowerState.OFF))
NAMED = st.sampled_from(("new", "as_machine", "as_next"))
PINS = st.sampled_from(((), (0, 1), (6,)))


class AdminActions(StateMachine):
    """`which` selects a guest of the host, in the order of their names."""

    @rule(
        host=WHICH, cores=st.integers(1, 3), memory_mib=MEMORY_MIB, disk_gb=st.sampled_from((2, 20)), pins=PINS,
        named=NAMED, which=WHICH,
    )  # fmt: skip
    def foreign_guest_comes(
        self, host: int, cores: int, memory_mib: int, disk_gb: int, pins: tuple[int, ...], named: str, which: int
    ) -> None:
        """Its name may be new, that of a machine, or that of the next machine."""
        names = {
            "as_machine": self.machine(which).hostname if self.snapshot.machines else "",
            "as_next": self.next_name("m"),
        }
        self._hypervisor(host).add_foreign(
            names.get(named) or self._name("f"), cores=len(pins) or cores, memory_mib=memory_mib, disk_gb=disk_gb,
            pins=pins,
        )  # fmt: skip
        self.check()

    @rule(host=WHICH, which=WHICH, cores=st.integers(1, 12), memory_mib=MEMORY_MIB)
    def guest_is_resized(self, host: int, which: int, cores: int, memory_mib: int) -> None:
        def resize(at: Hypervisor, guest: HeldGuest) -> None:
            at.resize(guest, cores=cores, memory_mib=memory_mib)

        self._as_administrator(host, which, resize, settled=True)

    @rule(host=WHICH, which=WHICH, with_volumes=st.booleans())
    def guest_is_removed(self, host: int, which: int, with_volumes: bool) -> None:
        def remove(at: Hypervisor, guest: HeldGuest) -> None:
            at.remove(guest, with_volumes=with_volumes or guest.machine is None)

        self._as_administrator(host, which, remove)

    @rule(host=WHICH, which=WHICH)
    def guest_is_renamed(self, host: int, which: int) -> None:
        self._as_administrator(host, which, lambda at, guest: at.rename(guest, self._name("renamed")))

    @rule(host=WHICH, which=WHICH, power=POWERS)
    def guest_is_switched(self, host: int, which: int, power: PowerState) -> None:
        self._as_administrator(host, which, lambda at, guest: at.switch(guest, power))

    @rule(host=WHICH, which=WHICH, to=WHICH)
    def guest_is_copied_with_its_marker(self, host: int, which: int, to: int) -> None:
        def copy(at: Hypervisor, guest: HeldGuest) -> None:
            other = self._hypervisor(to)
            if guest.machine is not None and other is not at and other.copy_from(at, guest):
                self.copied.add(guest.machine)

        self._as_administrator(host, which, copy)

    def _as_administrator(
        self, host: int, which: int, change: Callable[[Hypervisor, HeldGuest], None], *, settled: bool = False
    ) -> None:
        """`settled` excludes guests whose machine is being composed or adopted."""
        at = self._hypervisor(host)
        found = sorted(self.snapshot.hosts[at.name].guests.values(), key=lambda guest: guest.name)
        if settled:
            making = {row.uuid for row in self.snapshot.machines.values() if row.state in ("composing", "adopting")}
            found = [guest for guest in found if guest.machine not in making]
        if found:
            guest = found[which % len(found)]
            change(at, guest)
            self.check(touched=frozenset({guest.guest_id}))
