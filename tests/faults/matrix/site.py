"""The deployment of many cells of the matrix, in this process, with two shared simulated hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from attrs import define, field

from common.rpc.backoff import Backoff
from common.words.operation_kinds import OperationKind
from rackd.region_link import Environment
from regiond.db.pool import set_json_codecs
from tests.deployment.db_proxy import DbProxy
from tests.deployment.in_process import deployed
from tests.deployment.runner import RACK
from tests.faults.matrix.host_instrumentation import Instrumentation
from tests.faults.scenarios.cell_hosts import CellHost, SimulatedCellHost
from tests.faults.scenarios.disks import OTHER_POOL
from tests.faults.scenarios.hosts.lxd import FakeLxdHost
from tests.faults.scenarios.rescheduling import STORAGE_GB
from tests.faults.scenarios.site import SimulatedSite
from tests.support.waiting import eventually

HOSTS = ("sim-a", "sim-b")
# Guests report after their deployment has begun to wait: otherwise its points vary.
HARDWARE: Mapping[str, Any] = {
    "boot_ms": 1000, "cores": 64, "memory_mib": 262144, "pools": f"default:{STORAGE_GB},{OTHER_POOL}:3",
    "guests": 1, "hugepages_mib": 65536,
    "networks": "lan:10.1.0.0/24,dmz:10.2.0.0/24",
}  # fmt: skip
FAST_RECONNECT = Environment(backoff=Backoff(first_s=0.04, longest_s=0.3, rejected_s=0.3))
NOT_READY = """
    select id, name from vm_host h where state <> 'ready'
        or not exists (select from rack_reach r where r.host_id = h.id and r.reaches)
"""
_HOST_OF_NEWEST = "select host_name from operation where id > $1 order by id limit 1"


@define(kw_only=True)
class MatrixSite(SimulatedSite):
    """`db` are connections past the proxy, which no fault cuts. `shared` are the hosts that no cell removes."""

    instrumentation: Instrumentation
    db: asyncpg.Pool[Any]
    shared: dict[str, SimulatedCellHost] = field(factory=dict)

    @property
    def db_proxy(self) -> DbProxy:
        proxy = self.deployment.in_process.proxy
        assert proxy is not None
        return proxy

    async def host(self) -> SimulatedCellHost:
        return self.shared[HOSTS[0]]

    async def other_host(self) -> SimulatedCellHost:
        return self.shared[HOSTS[1]]

    async def hosts(self) -> list[SimulatedCellHost]:
        return list(self.shared.values())

    def new_host(self) -> SimulatedCellHost:
        host = SimulatedCellHost.new(self.deployment, self.new_name("temporary"))
        self.temporary[host.name] = host
        return host

    def new_lxd_host(self) -> CellHost:
        host = FakeLxdHost.new(self.new_name("lxd"))
        self.instrumentation.lxd_servers[host.name] = host.server
        self.temporary[host.name] = host
        return host

    async def remove(self, host: CellHost) -> None:
        await super().remove(host)
        servers = self.instrumentation.lxd_servers
        for name in [name for name, server in servers.items() if server.name == host.name]:
            del servers[name]

    def fail_call(self, host: CellHost, call: str) -> None:
        self.instrumentation.failing_calls.add((host.name, call))

    def end_host(self, host: CellHost) -> None:
        self.instrumentation.dead.add(host.name)

    def restore_calls(self) -> None:
        self.instrumentation.failing_calls.clear()
        self.instrumentation.dead.clear()

    def call_fails(self, host: CellHost, call: str) -> bool:
        return (host.name, call) in self.instrumentation.failing_calls

    def name_server(self, host: CellHost, name: str) -> None:
        self.instrumentation.lxd_servers[name] = self.instrumentation.lxd_servers[host.name]

    def attempts_held(self, kind: OperationKind) -> AbstractContextManager[None]:
        return self.instrumentation.attempts_held(kind)

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        return list(await self.db.fetch(statement, *values))

    async def refresh_all(self) -> None:
        """Refreshes the shared hosts, and others that are not ready; a link that was cut may be noticed only now."""
        away = [row["id"] for row in await self.fetch(NOT_READY)]
        for host_id in sorted({*(host.host_id for host in self.shared.values()), *away}):
            await eventually(partial(self._is_refreshed, host_id))

    async def _is_refreshed(self, host_id: int) -> bool:
        return await self.refresh_failure(f"vm-hosts/{host_id}/") is None

    async def until_linked(self) -> None:
        await eventually(self.is_linked)

    async def is_linked(self) -> bool:
        return await self.deployment.is_linked(RACK)

    async def host_of_newest(self) -> str | None:
        """The host of the operation in progress; None if the request has not created it yet."""
        after = self.instrumentation.trace.after if self.instrumentation.trace is not None else 0
        found: str | None = await self.fetchval(_HOST_OF_NEWEST, after)
        return found


@asynccontextmanager
async def matrix_site(folder: Path, dsn: str, instrumentation: Instrumentation) -> AsyncIterator[MatrixSite]:
    """A region, a linked rack and the shared hosts on the empty database `dsn`."""
    deploying = deployed(
        folder, dsn, drivers=instrumentation.drivers, environment=FAST_RECONNECT, killable=True, checked=False
    )
    async with deploying as deployment:
        instrumentation.region_url = lambda: deployment.region.api_url
        await deployment.start_rack()
        db = await asyncpg.create_pool(dsn, min_size=1, max_size=4, init=set_json_codecs)
        site = MatrixSite(deployment=deployment, instrumentation=instrumentation, db=db)
        try:
            for name in HOSTS:
                host_id = (await deployment.add_simulated(name, **HARDWARE))["id"]
                site.shared[name] = SimulatedCellHost(name=name, host_id=host_id, file=deployment.simulated(name))
            yield site
        finally:
            await db.close()
