"""A region with racks, PostgreSQL and hosts, and what tests ask of it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from attrs import define, field

from innkeeper.http import Api
from rackd.drivers.simulated.fault_injection import Call
from regiond.db.pool import connect
from regiond.ledger import consistency
from regiond.reconciler.detection import find_discrepancies
from regiond.reconciler.model import Discrepancy, DiscrepancyKind
from regiond.reconciler.store import use_snapshot
from regiond.requests.caller import Caller
from regiond.service import Region
from tests.deployment.api_calls import ASYNC, ApiCalls
from tests.deployment.runner import RACK, Runner
from tests.deployment.simulated_host import SimulatedHost
from tests.support.waiting import DEADLINE_S, eventually

if TYPE_CHECKING:
    from tests.deployment.in_process import InProcess
    from tests.deployment.processes import Processes

CLOSED_WITHIN_S = 5.0
ENDED = ("succeeded", "failed", "cancelled")
# Whatever a test does to hosts, the ledger may not contradict itself.
_OWN = {
    DiscrepancyKind.MACHINE_WITHOUT_CLAIMS, DiscrepancyKind.WRONG_CLAIMS, DiscrepancyKind.ORPHANED_CLAIM,
    DiscrepancyKind.WRONG_TOTAL, DiscrepancyKind.ORPHANED_ADDRESS, DiscrepancyKind.ADDRESS_OUTSIDE_SUBNET,
}  # fmt: skip


# The longest pause after a failed refresh is 30 s, the periodic refresh of these tests an hour away.
_MAKE_DUE = """
    update vm_host_schedule set next_refresh_at = now()
     where next_refresh_at between now() and now() + interval '1 minute'
    returning host_id
"""


@define(kw_only=True)
class Deployment(ApiCalls):
    """The same calls whether the daemons run in this process or as processes; `runner` starts and kills them."""

    runner: Runner
    other_account: Api | None = None  # replaces the account `admin` in API calls
    hosts: dict[str, int] = field(factory=dict)  # simulated hosts added by `add_simulated`: ids by name

    @property
    def folder(self) -> Path:
        return self.runner.folder

    @property
    def dsn(self) -> str:
        return self.runner.dsn

    @property
    def api(self) -> Api:
        return self.other_account or self.runner.api

    @property
    def admin(self) -> Caller:
        return Caller(account_id=1, username="admin", is_admin=True)

    @property
    def in_process(self) -> InProcess:
        """The runner, with what only daemons in this process have."""
        from tests.deployment.in_process import InProcess

        assert isinstance(self.runner, InProcess), "the daemons run as processes"
        return self.runner

    @property
    def processes(self) -> Processes:
        """The runner, with what only daemons as processes have."""
        from tests.deployment.processes import Processes

        assert isinstance(self.runner, Processes), "the daemons run in this process"
        return self.runner

    @property
    def region(self) -> Region:
        """The running region and its components; only in this process."""
        return self.in_process.region

    # Daemons ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts PostgreSQL, a region and a linked rack, as processes."""
        self.processes.start_postgres()
        await self.start_region_and_rack()

    async def start_region_and_rack(self) -> None:
        await self.runner.start_region()
        await self.runner.start_rack()

    async def start_rack(self, name: str = RACK) -> None:
        await self.runner.start_rack(name)

    async def stop_rack(self, name: str = RACK) -> None:
        await self.runner.stop_rack(name)

    async def is_linked(self, name: str = RACK) -> bool:
        return await self.runner.is_linked(name)

    def kill(self, daemon: str) -> None:
        self.runner.kill(daemon)

    async def restart(self, daemon: str) -> None:
        await self.runner.restart(daemon)

    # Hosts and machines -----------------------------------------------------------------------------------------

    async def add_host(self, **fields: Any) -> int:
        """Returns the host's id."""
        return int((await self.post("vm-hosts/", **fields))["id"])

    async def add_simulated(
        self, name: str = "sim", *, cores: int = 4, memory_mib: int = 12288, host_name: str | None = None, **more: Any
    ) -> Any:
        """Returns the VM host as the API does. Every rack of the deployment reaches it. `host_name`: default `name`."""
        address = f"simulated:{name}?cores={cores}&memory_mib={memory_mib}"
        address += "".join(f"&{key}={value}" for key, value in more.items())
        made = await self.post("vm-hosts/", type="simulated", power_address=address, name=host_name or name)
        self.hosts[host_name or name] = made["id"]
        return made

    def simulated(self, name: str = "sim") -> SimulatedHost:
        return SimulatedHost(folder=self.folder / "simulated", name=name)

    def simulated_guests(self, name: str = "sim") -> list[str]:
        """The names of the guests on the simulated host."""
        return self.simulated(name).guest_names()

    def held(self, *calls: Call, name: str = "sim") -> AbstractContextManager[None]:
        """The simulated host does not answer these calls, or any call if none is named, until the block ends."""
        return self.simulated(name).hold(*calls)

    async def compose(self, host_id: int, **fields: Any) -> Any:
        """Returns the response, when the machine is ready."""
        return await self.post(f"vm-hosts/{host_id}/", op="compose", **fields)

    async def begin(self, path: str, *, op: str | None = None, method: Any = "POST", **fields: Any) -> int:
        """Returns the id of the operation that the request starts."""
        return int((await self.send(method, path, op=op, fields=fields, headers=ASYNC)).json()["id"])

    async def begin_compose(self, host_id: int, **fields: Any) -> int:
        """Returns the id of the operation."""
        return await self.begin(f"vm-hosts/{host_id}/", op="compose", **fields)

    async def refreshed(self, host_id: int) -> bool:
        """Refreshes the host; returns whether that succeeded."""
        return await self.ended(await self.begin(f"vm-hosts/{host_id}/", op="refresh")) == "succeeded"

    async def refresh_due(self) -> None:
        """Runs the refreshes that the region has scheduled for the next minute, and no periodic one.

        The region itself runs none in most tests: see the fixture `rackless`.
        """
        await self.fetch(_MAKE_DUE)
        await self.region.components.schedule.tick()

    async def after_refreshes(self, check: Callable[[], Any]) -> Any:
        """Returns the first truthy result of `check`, which may be async, while scheduled refreshes run."""

        async def checked() -> Any:
            await self.refresh_due()
            found = check()
            return await found if inspect.isawaitable(found) else found

        return await eventually(checked)

    async def ended(self, operation_id: int, *, deadline_s: float = DEADLINE_S) -> str:
        """Returns the state in which the operation ended, once it has."""

        async def state() -> str | None:
            operation = await self.poll(f"operations/{operation_id}/")
            found: str | None = operation["state"] if operation else None
            return found if found in ENDED else None

        return str(await eventually(state, deadline_s=deadline_s))

    # Ledger -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """A connection to the database, past every proxy."""
        db = await connect(self.dsn, application_name="test")
        try:
            yield db
        except BaseException:
            db.terminate()
            raise
        await db.close(timeout=CLOSED_WITHIN_S)  # also if the server was killed meanwhile

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """The rows of a query, by a connection of its own."""
        async with self.connection() as db:
            return await db.fetch(statement, *values)

    async def ledger_problems(self) -> list[str]:
        async with self.connection() as db:
            return await consistency.check(db)

    async def discrepancies(self) -> list[Discrepancy]:
        async with self.connection() as db, db.transaction():
            await use_snapshot(db)
            return list(await find_discrepancies(db))

    async def own_discrepancies(self) -> list[str]:
        """Discrepancies within the ledger."""
        return [one.message for one in await self.discrepancies() if one.kind in _OWN]
