"""The soak test on LXD and libvirt together: one rack reaches both."""

from __future__ import annotations

import asyncio
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from attrs import define, field

from development import postgres
from tests.deployment.deployment import Deployment
from tests.deployment.processes import as_processes
from tests.faults.real.lab_hosts import LabServer, opened, why_none
from tests.faults.soak.load import Load, RequestKind
from tests.faults.soak.soak import Show, SoakReport, soak_on

PLATFORMS = ("LXD", "libvirt")
CALLERS = 8  # software emulation leaves little CPU time
MAX_MACHINES = 12
SETTINGS = {"power_off_grace_s": "3"}  # empty guests never shut down by themselves

_MACHINES = "select m.hostname, m.uuid, m.state, h.name as host from machine m join vm_host h on h.id = m.host_id"


@define(kw_only=True)
class RealLoad(Load):
    """Few and small machines, with a name prefix by which leftovers are found."""

    servers: dict[int, LabServer]
    made: int = 0

    @property
    def kinds(self) -> dict[RequestKind, int]:
        return {self._compose: 4, self._delete: 5, self._power: 1, self._cancel: 1, self._refresh: 1}

    async def _compose(self, chance: random.Random) -> None:
        if len((await self.deployment.api.get("machines/", deadline_s=20.0)).json()) >= MAX_MACHINES:
            return
        host_id = chance.choice(self.host_ids)
        self.made += 1
        fields = {"cores": "1", "memory": "1024", "storage": "1,1"}
        hostname = f"{self.servers[host_id].prefix}{self.made}"
        await self._send("POST", f"vm-hosts/{host_id}/", chance, op="compose", hostname=hostname, **fields)


@define(kw_only=True)
class _Servers:
    servers: dict[str, LabServer] = field(factory=dict)

    async def check(self, deployment: Deployment) -> None:
        """Every marked guest has its machine, every machine its guest, and a guest uses every volume.

        A machine is missing if its deletion was cancelled after its guest was removed.
        """
        rows = await deployment.fetch(_MACHINES)
        assert {row["state"] for row in rows} <= {"ready", "missing"}, [dict(row) for row in rows]
        machines = {(row["host"], row["hostname"], str(row["uuid"])) for row in rows if row["state"] == "ready"}
        held = set()
        for name, server in self.servers.items():
            guests = await asyncio.to_thread(server.guests)
            held |= {
                (name, guest, str(UUID(one.machine_id))) for guest, one in guests.items() if one.machine_id is not None
            }
            unused = await asyncio.to_thread(server.unused)
            assert not unused, f"orphaned volumes on {name}: {sorted(unused)}"
        assert held == machines, f"guests without machine: {held - machines}; machines without guest: {machines - held}"
        assert await deployment.ledger_problems() == []


def why_not() -> str | None:
    return next((why for platform in PLATFORMS if (why := why_none(platform)) is not None), None)


async def run(minutes: float, seed: int, show: Show) -> SoakReport:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="innkeeper-soak-")))
        lab = _Servers()
        for platform in PLATFORMS:
            lab.servers[platform] = stack.enter_context(opened(platform, folder))
        deployment = as_processes(
            folder=folder, server_folder=folder / "server", rack_prefix=lab.servers["libvirt"].rack_prefix,
            settings=SETTINGS,
        )  # fmt: skip
        stack.callback(postgres.stop, folder / "server")
        stack.callback(deployment.processes.kill_all)
        await deployment.start()
        servers = {
            await deployment.add_host(name=name, **server.adding()): server for name, server in lab.servers.items()
        }
        load = RealLoad(deployment=deployment, host_ids=list(servers), clients=CALLERS, seed=seed, servers=servers)
        where = "real LXD and libvirt"
        return await soak_on(deployment, load, minutes, seed, show, where=where, check=lab.check)
