"""A whole installation in one process: a real region and real racks over mutual TLS, PostgreSQL, simulated hosts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from attrs import define, field

from common.rpc.connection import Link
from common.systemd_notify import ServiceManager
from innkeeper.http import Answer, Api, Body, api_url
from rackd.drivers.simulated.pace import Call
from rackd.identity import load
from rackd.joining import join
from rackd.service import RackService
from rackd.settings import RackSettings
from regiond.accounts.model import Caller
from regiond.ledger.check import check
from regiond.reconciler.model import Kind
from regiond.reconciler.service import differences
from regiond.reconciler.store import see_one_moment
from regiond.service import API_KEY_FILE, Region, RegionService
from regiond.settings import RegionSettings
from tests.holding import hold
from tests.waiting import eventually


@define(kw_only=True)
class Installation:
    folder: Path
    settings: RegionSettings
    region: Region
    api: Api
    racks: dict[str, asyncio.Task[None]] = field(factory=dict)

    @property
    def admin(self) -> Caller:
        return Caller(account_id=1, username="admin", is_admin=True)

    async def start_rack(self, name: str = "rack") -> None:
        """Join, if it has not, and run until linked."""
        settings = RackSettings(state=self.folder / name, simulated_hosts=self.folder / "simulated")
        if not settings.identity_folder.exists():
            token = await self.region.parts.services.racks.make_token(self.admin, lifetime_s=60)
            await join(token, settings.identity_folder, name)
        await self.run_rack(name)

    async def run_rack(self, name: str) -> None:
        settings = RackSettings(state=self.folder / name, simulated_hosts=self.folder / "simulated")
        service = RackService(settings, load(settings.identity_folder), ServiceManager({}))
        self.racks[name] = asyncio.create_task(service.serve())
        await eventually(lambda: self.is_linked(name))

    async def stop_rack(self, name: str) -> None:
        task = self.racks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: not self.links(name))

    def links(self, name: str) -> list[Link]:
        return [link for link in self.region.parts.listener.links if link.peer.name == name]

    async def is_linked(self, name: str) -> bool:
        found = [rack for rack in await self.region.parts.services.racks.list() if rack.name == name]
        return bool(found and found[0].connected and self.links(name))

    async def post(
        self, path: str, *, op: str | None = None, headers: dict[str, str] | None = None, **fields: Any
    ) -> Any:
        """The JSON of the answer. Raises what the client raises for a refusal; `details["status"]` says which."""
        answer = await self.api.send(
            "POST", path, query=[("op", op)] if op else [], body=_form(fields), headers=headers
        )
        return answer.json()

    async def put(self, path: str, **fields: Any) -> Any:
        return (await self.api.send("PUT", path, body=_form(fields))).json()

    async def get(self, path: str, *, op: str | None = None) -> Any:
        return (await self.api.get(path, op=op)).json()

    async def delete(self, path: str, **query: str) -> Answer:
        return await self.api.send("DELETE", path, query=list(query.items()))

    async def add_simulated(self, name: str = "sim", *, cores: int = 4, memory_mib: int = 12288, **more: Any) -> Any:
        """The VM host as the API answers it; its guests live in a file that every rack here reads."""
        address = f"simulated:{name}?cores={cores}&memory_mib={memory_mib}"
        address += "".join(f"&{key}={value}" for key, value in more.items())
        return await self.post("vm-hosts/", type="simulated", power_address=address, name=name)

    async def compose(self, host_id: int, **fields: Any) -> Any:
        return await self.post(f"vm-hosts/{host_id}/", op="compose", **fields)

    def simulated_guests(self, name: str = "sim") -> list[str]:
        """What the simulated hypervisor really holds."""
        with closing(sqlite3.connect(self.folder / "simulated" / f"{name}.sqlite")) as store:
            return sorted(row[0] for row in store.execute("select name from guest"))

    def held(self, *calls: Call, name: str = "sim") -> AbstractContextManager[None]:
        """The simulated hypervisor answers none of these calls, or none at all, for as long as this lasts."""
        return hold(self.folder / "simulated", name, *calls)

    async def faults_of_ours(self) -> list[str]:
        """What no test may leave, whatever it does to hosts: a ledger that parts from itself."""
        async with self.region.parts.database.transaction() as db:
            await see_one_moment(db)
            return [one.message for one in await differences(db) if one.kind in _FAULTS]

    async def ledger_faults(self) -> list[str]:
        async with self.region.parts.database.connection() as db:
            return await check(db)


_FAULTS = (
    Kind.MACHINE_WITHOUT_CLAIMS, Kind.CLAIMS_DIFFER, Kind.CLAIM_WITHOUT_OWNER, Kind.TOTAL_DIFFERS,
    Kind.ADDRESS_WITHOUT_OWNER, Kind.ADDRESS_OUTSIDE_SUBNET,
)  # fmt: skip


def _form(fields: dict[str, Any]) -> Body:
    """A list is one field for each of its values, as clients send it."""
    values = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    return Body(fields=[(name, str(one)) for name, several in values.items() for one in several])


@asynccontextmanager
async def installed(folder: Path, database_url: str, **changes: Any) -> AsyncIterator[Installation]:
    """A running region without a rack; ends with the ledger checked, racks stopped first.

    What the reconciler finds it only tells, so that no mend hides a fault; `reconciler_mends` turns that round.
    """
    simulated = folder / "simulated"
    simulated.mkdir(exist_ok=True)
    wanted: dict[str, Any] = {"refresh_every_s": 3600.0, "reconciler_mends": False, **changes}
    settings = RegionSettings(
        database=database_url, state=folder / "region", http_port=0, rpc_port=0, simulated_hosts=simulated, **wanted
    )
    async with RegionService(settings, ServiceManager({})).running() as region:
        key = (settings.state / API_KEY_FILE).read_text().strip()
        api = Api(api_url(region.api_url), key)
        made = Installation(folder=folder, settings=settings, region=region, api=api)
        try:
            yield made
            assert await made.ledger_faults() == []
            assert await made.faults_of_ours() == []
        finally:
            for name in tuple(made.racks):
                await made.stop_rack(name)
