"""The soak on real LXD and libvirt together: one rack reaches both."""

from __future__ import annotations

import asyncio
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from attrs import define, field

from development import postgres
from tests.faults.adding_up import fetch
from tests.faults.daemons import Daemons
from tests.faults.load import Asks, Load
from tests.faults.real.lab_hosts import LabServer, opened, why_none
from tests.faults.soak import SoakReport, Tell, soaked

PLATFORMS = ("LXD", "libvirt")
CALLERS = 8  # software emulation leaves little of the machine to people
MOST_MACHINES = 12
SETTINGS = {"power_off_grace_s": "3"}  # empty guests never shut down by themselves

_MACHINES = "select m.hostname, m.uuid, m.state, h.name as host from machine m join vm_host h on h.id = m.host_id"


@define(kw_only=True)
class RealLoad(Load):
    """Small machines, few of them, named so that what is left over is found."""

    servers: dict[int, LabServer]
    made: int = 0

    @property
    def kinds(self) -> dict[Asks, int]:
        return {self._compose: 4, self._delete: 5, self._power: 1, self._cancel: 1, self._refresh: 1}

    async def _compose(self, chance: random.Random) -> None:
        if len((await self.daemons.api.get("machines/", deadline_s=20.0)).json()) >= MOST_MACHINES:
            return
        host_id = chance.choice(self.host_ids)
        self.made += 1
        fields = {"cores": "1", "memory": "1024", "storage": "1,1"}
        hostname = f"{self.servers[host_id].prefix}{self.made}"
        await self._ask("POST", f"vm-hosts/{host_id}/", chance, op="compose", hostname=hostname, **fields)


@define(kw_only=True)
class _Comparison:
    servers: dict[str, LabServer] = field(factory=dict)

    async def adds_up(self, daemons: Daemons) -> None:
        """Every guest with our mark is a machine, every machine has its guest, and every volume is some guest's.

        A machine is missing whose removal was cancelled when its guest was gone already.
        """
        rows = await fetch(daemons, _MACHINES)
        assert {row["state"] for row in rows} <= {"ready", "missing"}, [dict(row) for row in rows]
        machines = {(row["host"], row["hostname"], str(row["uuid"])) for row in rows if row["state"] == "ready"}
        held = set()
        for name, server in self.servers.items():
            guests = await asyncio.to_thread(server.guests)
            held |= {
                (name, guest, str(UUID(one.machine_id))) for guest, one in guests.items() if one.machine_id is not None
            }
            unused = await asyncio.to_thread(server.unused)
            assert not unused, f"volumes that no guest of {name} has: {sorted(unused)}"
        assert held == machines, f"on the hosts and no machines: {held - machines}; the other way: {machines - held}"
        assert await daemons.ledger_faults() == []


def why_not() -> str | None:
    return next((why for platform in PLATFORMS if (why := why_none(platform)) is not None), None)


async def run(minutes: float, seed: int, tell: Tell) -> SoakReport:
    with ExitStack() as labs:
        folder = Path(labs.enter_context(tempfile.TemporaryDirectory(prefix="innkeeper-soak-")))
        compared = _Comparison()
        for platform in PLATFORMS:
            compared.servers[platform] = labs.enter_context(opened(platform, folder))
        daemons = Daemons(
            folder=folder, server_folder=folder / "server", rack_prefix=compared.servers["libvirt"].rack_prefix,
            settings=SETTINGS,
        )  # fmt: skip
        labs.callback(postgres.stop, folder / "server")
        labs.callback(daemons.stop)
        await daemons.start()
        servers = {
            await daemons.add_host(name=name, **server.adding()): server for name, server in compared.servers.items()
        }
        load = RealLoad(daemons=daemons, host_ids=list(servers), clients=CALLERS, seed=seed, servers=servers)
        where = "real LXD and libvirt"
        return await soaked(daemons, load, minutes, seed, tell, where=where, adds_up=compared.adds_up)
