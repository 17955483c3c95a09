"""Rules for maintenance, locks, affinity groups, changed addresses and removals by force."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from common.guests.compose_request import ComposeRequest
from regiond.hosts.model import HostChange
from regiond.hosts.removal_model import HostRemoval
from regiond.machines.values.requests import AllocateRequest
from tests.faults.schedules.controlled_region import ADMIN
from tests.faults.schedules.state_machine import HARDWARE, WHICH
from tests.faults.schedules.user_actions import THEN, UserActions

LARGER = HARDWARE.replace("cores=8", "cores=12")
STRENGTH = st.sampled_from(("", ":soft"))


class FleetActions(UserActions):
    """What an operator does with hosts, and what separates and protects machines."""

    @rule(separate=st.booleans(), strength=STRENGTH, by_allocation=st.booleans(), then=THEN)
    def compose_in_group(self, separate: bool, strength: str, by_allocation: bool, then: str) -> None:
        """One group of each policy, so that its machines meet."""
        apart = (f"apart{strength}",) if separate else ()
        together = () if separate else (f"together{strength}",)
        if by_allocation:
            request = AllocateRequest(
                cores=1, memory_mib=1024, storage="root:4", agent_name="agent", affinity=together, anti_affinity=apart
            )
            self.request(self.services.allocation.start(ADMIN, request), then=then)
            return
        compose = ComposeRequest(
            stock=True, hostname=self._name("g"), storage="root:4", affinity=together, anti_affinity=apart
        )
        self._compose(compose, then=then)

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, begins=st.booleans())
    def maintenance(self, host: int, begins: bool) -> None:
        hosts, host_ids = self.services.hosts, [self.host(host)[1]]
        self.request(
            hosts.begin_maintenance(ADMIN, host_ids, "smoke") if begins else hosts.end_maintenance(ADMIN, host_ids)
        )

    @precondition(lambda self: self.snapshot.machines)
    @rule(which=WHICH, locked=st.booleans())
    def lock_or_unlock(self, which: int, locked: bool) -> None:
        self.request(self.services.ownership.set_locked(ADMIN, self.machine(which).system_id, locked=locked))

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, dies=st.sampled_from(("first", "later", "not")), then=THEN)
    def remove_host_by_force(self, host: int, dies: str, then: str) -> None:
        """A host that answers is not removed; one that `dies` first may answer again before the removal ends."""
        name, host_id = self.host(host)
        if dies == "first":
            self.region.outages.down.add(name)
        elif dies == "later":
            self.region.outages.calls_left[name] = 1
        self.request(self.services.hosts.start_remove(ADMIN, host_id, HostRemoval(force=True)), then=then)

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, hardware=st.sampled_from((HARDWARE, LARGER)))
    def change_address(self, host: int, hardware: str) -> None:
        """Of the same server, which has more cores at one of its addresses."""
        name, host_id = self.host(host)
        change = HostChange(address=f"simulated:{name}?{hardware}")
        self.request(self.region.awaited(self.services.hosts.update(ADMIN, host_id, change)))

    @precondition(lambda self: self.snapshot.machines)
    @rule(which=WHICH)
    def change_address_to_another_server(self, which: int) -> None:
        """It is refused: the host has machines."""
        host_id = self.snapshot.host_ids[self.machine(which).host]
        change = HostChange(address=f"simulated:elsewhere?{HARDWARE}")
        self.request(self.region.awaited(self.services.hosts.update(ADMIN, host_id, change)))
