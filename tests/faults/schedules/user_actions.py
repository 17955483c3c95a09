"""Rules for requests of users: machines and hosts."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from common.guests.compose_request import ComposeRequest
from common.values import PowerAction
from regiond.hosts.model import HostChange
from regiond.hosts.removal_model import HostRemoval
from regiond.machines.values.requests import AdoptRequest, AllocateRequest
from tests.faults.schedules.controlled_region import ADMIN
from tests.faults.schedules.state_machine import HOSTS, WHICH, StateMachine

MEMORY_MIB = st.sampled_from((1024, 2048, 6144))
STORAGE = st.sampled_from(("root:4", "root:4,data:8(fast)", "root:30"))
INTERFACES = st.sampled_from(("", "eth0:name=lan;eth1:name=lan"))
ADDRESSES = st.sampled_from(("10.1.0.5", "10.1.0.6"))
RATIOS = st.sampled_from((0.5, 1.0, 2.0))
THEN = st.sampled_from(("left", "begun", "runs"))
POWER = st.sampled_from((PowerAction.ON, PowerAction.OFF, PowerAction.CYCLE))


class UserActions(StateMachine):
    """`then`: the operation is left for later, begun, or run to its end before the next step."""

    @rule(
        host=st.none() | WHICH, cores=st.integers(1, 5), memory_mib=MEMORY_MIB, storage=STORAGE, interfaces=INTERFACES,
        power_on=st.booleans(), then=THEN,
    )  # fmt: skip
    def compose(
        self, host: int | None, cores: int, memory_mib: int, storage: str, interfaces: str, power_on: bool, then: str
    ) -> None:
        request = ComposeRequest(stock=True,
            host_id=self._host_id(host), hostname=self._name("m"), cores=cores, memory_mib=memory_mib, storage=storage,
            interfaces=interfaces, power_on=power_on,
        )  # fmt: skip
        self._compose(request, then=then)

    @rule(host=st.none() | WHICH, cores=st.integers(1, 3), huge_pages=st.booleans(), then=THEN)
    def compose_pinned(self, host: int | None, cores: int, huge_pages: bool, then: str) -> None:
        request = ComposeRequest(stock=True,
            host_id=self._host_id(host), hostname=self._name("p"), pin_cores=cores, memory_mib=1024,
            huge_pages_backed=huge_pages, storage="root:4",
        )  # fmt: skip
        self._compose(request, then=then)

    @rule(address=ADDRESSES, then=THEN)
    def compose_with_address(self, address: str, then: str) -> None:
        interfaces = f"eth0:subnet=10.1.0.0/24,ip={address}"
        self._compose(
            ComposeRequest(stock=True, hostname=self._name("a"), storage="root:4", interfaces=interfaces), then=then
        )

    @precondition(lambda self: self.composed)
    @rule(which=WHICH)
    def compose_again_with_its_key(self, which: int) -> None:
        request = self.composed[which % len(self.composed)]
        self._compose_with_key(request, then="left")

    def _compose(self, request: ComposeRequest, *, then: str) -> None:
        self.composed.append(request)
        self._compose_with_key(request, then=then)

    def _compose_with_key(self, request: ComposeRequest, *, then: str) -> None:
        key = self.services.idempotency_keys.key_of(ADMIN, request.hostname or "", repr(request).encode())
        self.request(self.services.composer.start_compose(ADMIN, request, idempotency_key=key), then=then)

    @precondition(lambda self: self.snapshot.machines)
    @rule(which=WHICH, then=THEN)
    def delete(self, which: int, then: str) -> None:
        self.request(self.services.machines.start_delete(ADMIN, self.machine(which).system_id), then=then)

    @precondition(lambda self: self.snapshot.machines)
    @rule(which=WHICH, action=POWER, then=THEN)
    def power(self, which: int, action: PowerAction, then: str) -> None:
        self.request(self.services.machines.start_power(ADMIN, self.machine(which).system_id, action), then=then)

    @rule(cores=st.integers(1, 4), then=THEN)
    def allocate(self, cores: int, then: str) -> None:
        request = AllocateRequest(cores=cores, memory_mib=1024, storage="root:4", agent_name="agent")
        self.request(self.services.allocation.start(ADMIN, request), then=then)

    @precondition(lambda self: self.snapshot.machines)
    @rule(which=WHICH, then=THEN)
    def release(self, which: int, then: str) -> None:
        self.request(self.services.releases.start(ADMIN, self.machine(which).system_id), then=then)

    @precondition(lambda self: self.snapshot.machines)
    @rule(which=WHICH, broken=st.booleans())
    def mark_broken_or_fixed(self, which: int, broken: bool) -> None:
        system_id, ownership = self.machine(which).system_id, self.services.ownership
        self.request(
            ownership.mark_broken(ADMIN, system_id, "smoke") if broken else ownership.mark_fixed(ADMIN, system_id)
        )

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, which=WHICH, everything=st.booleans(), then=THEN)
    def adopt(self, host: int, which: int, everything: bool, then: str) -> None:
        name, host_id = self.host(host)
        foreign = sorted(one.name for one in self.snapshot.hosts[name].guests.values() if one.machine is None)
        if everything or foreign:
            guests = () if everything else (foreign[which % len(foreign)],)
            request = AdoptRequest(guests=guests, everything=everything)
            self.request(self.services.adoption.start_adopt(ADMIN, host_id, request), then=then)

    @precondition(lambda self: self.snapshot.machines)
    @rule(which=WHICH, then=THEN)
    def forget(self, which: int, then: str) -> None:
        self.request(self.services.adoption.start_forget(ADMIN, self.machine(which).system_id), then=then)

    @precondition(lambda self: self.snapshot.open)
    @rule(which=WHICH, late=st.booleans())
    def cancel(self, which: int, late: bool) -> None:
        operation = self.snapshot.open[which % len(self.snapshot.open)]
        self.request(self.region.cancel(operation.id, late=late))

    @precondition(lambda self: len(self.hosts) < len(HOSTS))
    @rule()
    def add_host(self) -> None:
        self.go(self._add_host(next(name for name in HOSTS if name not in self.snapshot.host_ids)))

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, cores=RATIOS, memory=RATIOS)
    def change_ratios(self, host: int, cores: float, memory: float) -> None:
        change = HostChange(cpu_over_commit_ratio=cores, memory_over_commit_ratio=memory)
        self.request(self.region.awaited(self.services.hosts.update(ADMIN, self.host(host)[1], change)))

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, decompose=st.booleans(), destroy_adopted=st.booleans(), then=THEN)
    def remove_host(self, host: int, decompose: bool, destroy_adopted: bool, then: str) -> None:
        removal = HostRemoval(decompose=decompose, destroy_adopted=decompose and destroy_adopted)
        self.request(self.services.hosts.start_remove(ADMIN, self.host(host)[1], removal), then=then)

    @precondition(lambda self: self.hosts)
    @rule(host=WHICH, then=THEN)
    def refresh(self, host: int, then: str) -> None:
        self.request(self.services.hosts.start_refresh(ADMIN, self.host(host)[1]), then=then)
