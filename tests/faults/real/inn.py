"""One installation of real processes for many cells: whoever dies in one is back for the next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from attrs import define

from common.errors import InnkeeperError
from innkeeper.http import Body
from regiond.db.pool import connect
from tests.faults.cells import Victim
from tests.faults.daemons import Daemons, links_made
from tests.faults.real.link_proxy import LinkProxy
from tests.waiting import eventually

PROCESS = {Victim.REGION: "region", Victim.RACK: "rack", Victim.DATABASE: "postgres"}
_WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
_BACK_S = 60.0


@define(kw_only=True)
class Inn:
    """Region, rack and database as processes, the rack behind a cable that can be cut."""

    daemons: Daemons
    proxy: LinkProxy
    _links: int = 0  # that the rack had made when the last one was cut

    async def post(self, path: str, op: str | None = None, **fields: str) -> Any:
        """The JSON of the answer, when it is 2xx."""
        body = Body(fields=list(fields.items())) if fields else None
        answer = await self.daemons.api.send("POST", path, query=[("op", op)] if op else [], body=body)
        return answer.json() if answer.body else None

    async def look_at(self, host_id: int) -> None:
        """Refreshes the host; asks again while the way to it is just coming back, as people do."""
        await eventually(lambda: self._looks_at(host_id), deadline_s=_BACK_S, every_s=0.2)

    async def _looks_at(self, host_id: int) -> bool:
        try:
            await self.post(f"vm-hosts/{host_id}/", "refresh")
        except InnkeeperError as error:
            if error.details.get("status") != 503:
                raise
            return False
        return True

    async def get(self, path: str) -> Any:
        return (await self.daemons.api.get(path)).json()

    async def newest_operation(self) -> int:
        return max((one["id"] for one in await self.get("operations/")), default=0)

    def acts_for(self, after: int) -> list[str]:
        """What the rack has begun on hosts for operations newer than `after`."""
        lines = [line for line in self._rack_log.read_text().splitlines() if '"acting_on_host"' in line]
        return [told["what"] for told in map(json.loads, lines) if told["operation"] > after]

    @asynccontextmanager
    async def locked(self, *tables: str) -> AsyncIterator[asyncpg.Connection[Any]]:
        """Nobody can write to these tables: whoever tries waits, in the middle of a transaction."""
        db = await connect(self.daemons.dsn, application_name="test")
        try:
            await db.execute("begin")
            for table in tables:
                await db.execute(f"lock table {table} in share mode")
            yield db
        finally:
            db.terminate()  # and with it the lock; the server may be dead

    async def kill(self, victim: Victim, db: asyncpg.Connection[Any] | None = None) -> None:
        """With SIGKILL, but for what is no process: the link is cut, and of the region's connections those that wait
        for `db` are terminated."""
        if victim in PROCESS:
            self.daemons.kill(PROCESS[victim])
        elif victim in (Victim.LINK, Victim.ANSWER):
            self._links = links_made(self._rack_log)
            self.proxy.cut()
        elif victim is Victim.CONNECTION and db is not None:
            for row in await db.fetch(_WAITING):
                await db.execute("select pg_terminate_backend($1)", row["pid"])
        else:
            raise AssertionError(f"nothing here kills {victim}")

    async def heal(self, victim: Victim) -> None:
        """Returns when all are there and linked."""
        self.proxy.release()
        if victim in PROCESS:
            await self.daemons.start_again(PROCESS[victim])
        if victim in (Victim.LINK, Victim.ANSWER):  # the region may not have missed it yet
            await eventually(lambda: links_made(self._rack_log) > self._links, deadline_s=_BACK_S)
        await eventually(self._is_whole, deadline_s=_BACK_S)

    @property
    def _rack_log(self) -> Path:
        return self.daemons.folder / "rack.log"

    async def _is_whole(self) -> bool:
        try:
            ready = await self.daemons.region_is_ready()
            return ready and any(rack["connected"] for rack in await self.get("racks/"))
        except InnkeeperError:
            return False

    async def differences(self) -> list[str]:
        """What the ledger itself says, and what the reconciler sees."""
        told = [f"{one['kind']}: {one['name']}: {one['found']}" for one in await self.get("differences/")]
        return [*await self.daemons.ledger_faults(), *told]


async def waits(db: asyncpg.Connection[Any]) -> bool:
    """Whether somebody waits for what `db` has locked."""
    return bool(await db.fetch(_WAITING))


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
