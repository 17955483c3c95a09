"""The base of the state machine: a deployment, how rules act on it, and the checks after each step."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from common.errors import InnkeeperError, InternalError
from common.guests.compose_request import ComposeRequest
from common.values import DriverType
from regiond.hosts.model import NewHost
from tests.faults.schedules import invariants
from tests.faults.schedules.controlled_region import ADMIN, ControlledRegion
from tests.faults.schedules.database_reset import ResettableDatabase
from tests.faults.schedules.hypervisors import Hypervisor
from tests.faults.schedules.invariants import MachineRow, Snapshot

T = TypeVar("T")

HOSTS = ("ant", "bee", "cow")
RACKS = ("r1", "r2")
HARDWARE = (
    "cores=8&memory_mib=16384&numa_nodes=2&hugepages_mib=4096&pools=default:60,fast:40&guests=1"
    "&networks=lan:10.1.0.0/24&virtual_functions=1x2"
)
SECRET = "secret-7Q-password"  # noqa: S105  # the test searches for it everywhere
WHICH = st.integers(0, 5)  # selects one of a list, modulo its length


class StateMachine(RuleBasedStateMachine):
    """Each example has a new region on `databases`. Async work runs in `loop`, in another thread."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    databases: ClassVar[ResettableDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.region: ControlledRegion = self.do(self.databases.open())
        self.names = 0
        self.copied: set[UUID] = set()  # machines whose guest was copied with its marker
        self.absent: set[UUID] = set()  # machines whose guest was ever absent
        self.deleted: set[UUID] = set()  # machines that were ever deleted
        self.composed: list[ComposeRequest] = []
        self.broken = False
        self.racks_made = 0
        self.snapshot: Snapshot = self.do(self._snapshot())

    @initialize(machines=st.integers(0, 4), racks=st.integers(1, 2))
    def a_deployment(self, machines: int, racks: int) -> None:
        self.go(self._install(machines, racks))

    async def _install(self, machines: int, racks: int) -> None:
        for name in RACKS[:racks]:
            await self._join_rack(name)
        for name in HOSTS[:2]:
            await self._add_host(name)
        secret = NewHost(
            driver=DriverType.LIBVIRT, address="qemu+ssh://user@far.example/system", name="far", power_pass=SECRET
        )
        await self.region.awaited(self.services.hosts.create(ADMIN, secret))
        for _ in range(machines):
            request = ComposeRequest(stock=True, hostname=self._name("m"), cores=2, storage="root:4,data:8(fast)")
            operation = await self.services.composer.start_compose(ADMIN, request)
            await self.region.run_now(operation.id)

    def teardown(self) -> None:
        try:
            if not self.broken:
                self.do(self._bring_to_rest())
        finally:
            self.do(self.region.close())

    async def _bring_to_rest(self) -> None:
        """Ends all outages and activities, refreshes the hosts and checks the final invariants."""
        region = self.region
        region.outages.down.clear()
        region.outages.calls_left.clear()
        if not region.racks:
            await self._join_rack("r1")
        for _ in range(40):
            await region.run_all_due()
            await region.pass_time()
            if not await region.due() and not region.activities.running:
                break
        for call in tuple(region.activities.stale_calls):  # stale calls that act last
            await region.activities.run_stale_call(call)
        for _ in range(2):  # the second sees what the first removed
            for host_id in (await self._snapshot()).host_ids.values():
                activity = await region.activities.begin(
                    "refresh", region.components.schedule.refresher.refresh(host_id)
                )
                await region.activities.finish(activity)
            await region.run_all_due()
        now = await self._snapshot()
        self.deleted |= invariants.deleted_machines(self.snapshot, now)
        stale = region.activities.changed_by_stale_calls
        faults = [
            *invariants.at_rest(now, changed_by_stale_calls=stale, copied=self.copied, deleted=self.deleted),
            *await _leaked_secrets(region),
        ]
        assert not faults, "\n".join(faults)

    # Helpers --------------------------------------------------------------------------------------------------------

    @property
    def services(self) -> Any:
        return self.region.components.services

    @property
    def hosts(self) -> list[tuple[str, int]]:
        return [(name, self.snapshot.host_ids[name]) for name in HOSTS if name in self.snapshot.host_ids]

    def host(self, which: int) -> tuple[str, int]:
        return self.hosts[which % len(self.hosts)]

    def machine(self, which: int) -> MachineRow:
        machines = sorted(self.snapshot.machines.values(), key=lambda row: row.id)
        return machines[which % len(machines)]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def go(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs one step and checks the invariants."""
        try:
            self.do(work)
        except BaseException:
            self.broken = True
            raise
        self.check()

    def request(self, work: Coroutine[Any, Any, Any], *, then: str = "left") -> None:
        """Sends a request; error responses are expected. `then`: its operation is left, begun, or runs to its end."""

        async def sent() -> None:
            before = await self.region.due()
            try:
                await work
            except InternalError:
                raise
            except InnkeeperError:
                return
            await self.region.tick()
            for operation_id in await self.region.due() if then != "left" else ():
                taken = await self.region.take(operation_id) if operation_id not in before else None
                if taken is not None and then == "runs":
                    await self.region.activities.finish(taken)

        self.go(sent())

    def check(self, *, touched: frozenset[str] = frozenset()) -> None:
        before, self.snapshot = self.snapshot, self.do(self._snapshot())
        self.deleted = (
            self.deleted | invariants.deleted_machines(before, self.snapshot)
        ) - self.snapshot.machines.keys()
        self.absent |= invariants.absent(before) | invariants.absent(self.snapshot)
        faults = [
            *invariants.after_step(
                before,
                self.snapshot,
                changed_by_stale_calls=self.region.activities.changed_by_stale_calls,
                copied=self.copied,
                touched=touched,
            ),
            *invariants.wrongly_missing(self.snapshot, self.absent),
        ]
        if faults:
            self.broken = True
            raise AssertionError("\n".join(faults))

    async def _snapshot(self) -> Snapshot:
        holdings = {name: one.holdings() for name, one in self.region.hypervisors.items()}
        return await invariants.take_snapshot(self.region.database, holdings)

    async def _add_host(self, name: str) -> None:
        self.region.hypervisors.setdefault(name, Hypervisor.opened(self.region.folder, name))
        new = NewHost(driver=DriverType.SIMULATED, address=f"simulated:{name}?{HARDWARE}", name=name)
        await self.region.awaited(self.services.hosts.create(ADMIN, new))

    async def _join_rack(self, name: str) -> None:
        self.racks_made += 1
        await self.region.join_rack(name, self.racks_made)

    def _host_id(self, host: int | None) -> int | None:
        return None if host is None or not self.hosts else self.host(host)[1]

    def _hypervisor(self, host: int) -> Hypervisor:
        known = sorted(self.region.hypervisors)
        return self.region.hypervisors[known[host % len(known)]]

    def _rack(self, which: int) -> str:
        return sorted(self.region.racks)[which % len(self.region.racks)]

    def next_name(self, kind: str) -> str:
        return f"{kind}{self.names + 1}"

    def _name(self, kind: str) -> str:
        name = self.next_name(kind)
        self.names += 1
        return name


async def _leaked_secrets(region: ControlledRegion) -> list[str]:
    """Checks invariant 8: searches the one password of the deployment in everything that users can read."""
    async with region.database.connection() as db:
        found = await db.fetch(
            "select 'an event' as place, message || details::text as text from event"
            " union all select 'an operation', row_to_json(operation)::text from operation"
            " union all select 'a log line', row_to_json(operation_log)::text from operation_log"
            " union all select 'a host', row_to_json(vm_host)::text from vm_host"
        )
    return [f"{row['place']} contains a password" for row in found if SECRET in row["text"]]
