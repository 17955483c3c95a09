"""What every part of the state machine stands on: an installation, steps in it, and what is judged after each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from common.errors import InnkeeperError, InternalError
from common.values import DriverType
from regiond.hosts.model import NewHost
from regiond.machines.model import ComposeRequest
from tests.faults.schedules import invariants
from tests.faults.schedules.ground import Ground
from tests.faults.schedules.hypervisors import Hypervisor
from tests.faults.schedules.invariants import MachineRow, Seen
from tests.faults.schedules.world import ADMIN, World

T = TypeVar("T")

HOSTS = ("ant", "bee", "cow")
RACKS = ("r1", "r2")
HARDWARE = (
    "cores=8&memory_mib=16384&numa_nodes=2&hugepages_mib=4096&pools=default:60,fast:40&guests=1"
    "&networks=lan:10.1.0.0/24&virtual_functions=1x2"
)
SECRET = "never-told-7Q"  # noqa: S105  # the test looks for it everywhere
WHICH = st.integers(0, 5)  # of those that there are, in their order: the one so far from the first, around


class Stage(RuleBasedStateMachine):
    """Each example has an installation of its own on `ground`; what is async runs in `loop`, of another thread."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    ground: ClassVar[Ground]

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.do(self.ground.open())
        self.names = 0
        self.copied: set[UUID] = set()  # marks of which somebody made a second guest
        self.absent: set[UUID] = set()  # machines whose guest was gone for a while
        self.over: set[UUID] = set()  # machines that were given up
        self.composed: list[ComposeRequest] = []
        self.broken = False
        self.racks_made = 0
        self.seen: Seen = self.do(self._see())

    @initialize(machines=st.integers(0, 4), racks=st.integers(1, 2))
    def an_installation(self, machines: int, racks: int) -> None:
        self.go(self._install(machines, racks))

    async def _install(self, machines: int, racks: int) -> None:
        for name in RACKS[:racks]:
            await self._join_rack(name)
        for name in HOSTS[:2]:
            await self._add_host(name)
        secret = NewHost(
            driver=DriverType.LIBVIRT, address="qemu+ssh://user@far.example/system", name="far", power_pass=SECRET
        )
        await self.world.straight(self.services.hosts.create(ADMIN, secret))
        for _ in range(machines):
            request = ComposeRequest(hostname=self._name("m"), cores=2, storage="root:4,data:8(fast)")
            operation = await self.services.machines.start_compose(ADMIN, request)
            await self.world.run_now(operation.id)

    def teardown(self) -> None:
        try:
            if not self.broken:
                self.do(self._to_rest())
        finally:
            self.do(self.world.close())

    async def _to_rest(self) -> None:
        """Everything comes back, all that is under way ends, and hosts are looked at: then everything adds up."""
        world = self.world
        world.outages.down.clear()
        world.outages.calls_left.clear()
        if not world.racks:
            await self._join_rack("r1")
        for _ in range(40):
            await world.run_all_due()
            await world.pass_time()
            if not await world.due() and not world.activities:
                break
        for call in tuple(world.stragglers):  # when nobody thinks of them any more
            await world.straggle(call)
        for _ in range(2):  # the second sees what the first had removed
            for host_id in (await self._see()).host_ids.values():
                activity = await world.begin("look", world.parts.schedule._refresher.refresh(host_id))
                await world.finish(activity)
            await world.run_all_due()
        now = await self._see()
        self.over |= invariants.given_up(self.seen, now)
        faults = [*invariants.at_rest(now, copied=self.copied, over=self.over), *await _secrets_told(world)]
        assert not faults, "\n".join(faults)

    # How ------------------------------------------------------------------------------------------------------------

    @property
    def services(self) -> Any:
        return self.world.parts.services

    @property
    def hosts(self) -> list[tuple[str, int]]:
        return [(name, self.seen.host_ids[name]) for name in HOSTS if name in self.seen.host_ids]

    def host(self, which: int) -> tuple[str, int]:
        return self.hosts[which % len(self.hosts)]

    def machine(self, which: int) -> MachineRow:
        machines = sorted(self.seen.machines.values(), key=lambda row: row.id)
        return machines[which % len(machines)]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def go(self, work: Coroutine[Any, Any, Any]) -> None:
        """One step of the schedule, and what holds after it."""
        try:
            self.do(work)
        except BaseException:
            self.broken = True
            raise
        self.check()

    def ask(self, work: Coroutine[Any, Any, Any], *, then: str = "left") -> None:
        """What a person asks for; a refusal is an answer. `then` what was opened is left, begun, or runs to its end."""

        async def asked() -> None:
            before = await self.world.due()
            try:
                await work
            except InternalError:
                raise
            except InnkeeperError:
                return
            await self.world.tick()
            for operation_id in await self.world.due() if then != "left" else ():
                taken = await self.world.take(operation_id) if operation_id not in before else None
                if taken is not None and then == "runs":
                    await self.world.finish(taken)

        self.go(asked())

    def check(self, *, touched: frozenset[str] = frozenset()) -> None:
        before, self.seen = self.seen, self.do(self._see())
        self.over = (self.over | invariants.given_up(before, self.seen)) - self.seen.machines.keys()
        self.absent |= invariants.absent(before) | invariants.absent(self.seen)
        faults = [
            *invariants.after_step(
                before, self.seen, straggled=self.world.straggled, copied=self.copied, touched=touched
            ),
            *invariants.missed(self.seen, self.absent),
        ]
        if faults:
            self.broken = True
            raise AssertionError("\n".join(faults))

    async def _see(self) -> Seen:
        holdings = {name: one.holdings() for name, one in self.world.hypervisors.items()}
        return await invariants.see(self.world.database, holdings)

    async def _add_host(self, name: str) -> None:
        self.world.hypervisors.setdefault(name, Hypervisor.opened(self.world.folder, name))
        new = NewHost(driver=DriverType.SIMULATED, address=f"simulated:{name}?{HARDWARE}", name=name)
        await self.world.straight(self.services.hosts.create(ADMIN, new))

    async def _join_rack(self, name: str) -> None:
        self.racks_made += 1
        await self.world.join_rack(name, self.racks_made)

    def _host_id(self, host: int | None) -> int | None:
        return None if host is None or not self.hosts else self.host(host)[1]

    def _hypervisor(self, host: int) -> Hypervisor:
        known = sorted(self.world.hypervisors)
        return self.world.hypervisors[known[host % len(known)]]

    def _rack(self, which: int) -> str:
        return sorted(self.world.racks)[which % len(self.world.racks)]

    def next_name(self, kind: str) -> str:
        return f"{kind}{self.names + 1}"

    def _name(self, kind: str) -> str:
        name = self.next_name(kind)
        self.names += 1
        return name


async def _secrets_told(world: World) -> list[str]:
    """Invariant 8, cheaply: the one password that there is, looked for in all that people may read."""
    async with world.database.connection() as db:
        found = await db.fetch(
            "select 'an event' as place, message || details::text as told from event"
            " union all select 'an operation', row_to_json(operation)::text from operation"
            " union all select 'a log line', row_to_json(operation_log)::text from operation_log"
            " union all select 'a host', row_to_json(vm_host)::text from vm_host"
        )
    return [f"{row['place']} tells a password" for row in found if SECRET in row["told"]]
