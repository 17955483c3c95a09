"""This region process among the others: that it lives, and which racks it has links to."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import structlog

from common.errors import DatabaseUnavailable
from regiond.db.pool import Database

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

BEAT_EVERY_S = 10.0  # three are missed before others take us for dead
LEAVE_DEADLINE_S = 5.0

_SEEN = """
    insert into region_process (id, hostname, pid) values ($1, $2, $3)
    on conflict (id) do update set seen_at = now()
"""
_SEEN_AT = """
    insert into region_address (address) values ($1) on conflict (address) do update set seen_at = now()
"""
_ADDRESSES = "select address from region_address where seen_at > now() - interval '7 days' order by address"
_FORGET_ADDRESSES = "delete from region_address where seen_at < now() - interval '7 days'"
_NEIGHBOURS = "select id, pid from region_process where hostname = $1 and id <> $2"
_FORGET_DEAD = "delete from region_process where seen_at < now() - interval '10 minutes'"
_LEAVE = "delete from region_process where id = $1"
_ADD_LINKS = """
    insert into rack_link (rack_id, region_id)
    select id, $1 from rack where id = any($2::uuid[]) and removed_at is null
    on conflict do nothing
"""
_DROP_LINKS = "delete from rack_link where region_id = $1 and not (rack_id = any($2::uuid[]))"
# Other regions do the same: locked in one order, so that nobody waits in a circle.
_SEE_RACKS = """
    with linked as (select id from rack where id = any($1::uuid[]) order by id for no key update)
    update rack set seen_at = now() from linked where rack.id = linked.id
"""


class Presence:
    """Rows that say so, renewed every 10 s by the database's clock from `start` to `stop`.

    They are made again from memory when they are gone (this process was suspended, the database restored).
    """

    def __init__(
        self,
        database: Database,
        *,
        hostname: str,
        pid: int,
        rpc_address: Callable[[], str | None] = lambda: None,
        region_id: UUID | None = None,
    ) -> None:
        self.region_id = region_id or uuid4()
        self._database = database
        self._hostname = hostname
        self._rpc_address = rpc_address
        self._pid = pid
        self._links: dict[UUID, int] = {}
        self._beating = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the database did not take what was written last, every 10 s; None when it did."""
        return self._trouble

    @property
    def linked(self) -> frozenset[UUID]:
        """The racks with a link to this process."""
        return frozenset(self._links)

    async def start(self) -> None:
        """Return when other processes can see this one. Raises DatabaseUnavailable."""
        await self.beat()
        self._task = asyncio.create_task(self._keep_beating(), name="presence")

    async def stop(self) -> None:
        """Take the rows away; when the database is not there, they age. Harmless when not started."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._links.clear()
        try:
            async with asyncio.timeout(LEAVE_DEADLINE_S), self._database.connection() as db:
                await db.execute(_LEAVE, self.region_id)
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("region_left_without_a_word", error=str(error))

    async def addresses(self) -> tuple[str, ...]:
        """Where the regions are, this one and the others, those seen within a week."""
        async with self._database.connection() as db:
            return tuple(row["address"] for row in await db.fetch(_ADDRESSES))

    async def dead_neighbours(self) -> tuple[UUID, ...]:
        """Region processes of this machine that ended without a word: what they held need not wait for its lease.

        A process number that is in use again hides a dead one; then the lease decides, as it does between machines.
        """
        async with self._database.connection() as db:
            found = await db.fetch(_NEIGHBOURS, self._hostname, self.region_id)
        return tuple(row["id"] for row in found if not _lives(row["pid"]))

    async def forget(self, region_id: UUID) -> None:
        """Of a process that is known to be dead: what was linked to it is connected nowhere until it dials again."""
        async with self._database.connection() as db:
            await db.execute(_LEAVE, region_id)

    async def link_up(self, rack_id: UUID) -> None:
        """A link to the rack has come up. Several at once (an old one not yet gone) count as long as one is left."""
        self._links[rack_id] = self._links.get(rack_id, 0) + 1
        await self.beat()

    async def link_down(self, rack_id: UUID) -> None:
        """One link to the rack has gone. What cannot be written now is put right by the next beat."""
        left = self._links.pop(rack_id, 0) - 1
        if left > 0:
            self._links[rack_id] = left
        else:
            await self.beat()

    async def beat(self) -> None:
        """Say that this process lives, put its links right, and forget processes silent for ten minutes."""
        async with self._beating:  # in turn, so that the newest links are the ones that stay
            await self._database.in_transaction(self._write)

    async def _write(self, db: Db) -> None:
        linked = sorted(self._links)
        await db.execute(_SEEN, self.region_id, self._hostname, self._pid)
        address = self._rpc_address()
        if address is not None:
            await db.execute(_SEEN_AT, address)
        await db.execute(_ADD_LINKS, self.region_id, linked)
        await db.execute(_DROP_LINKS, self.region_id, linked)
        await db.execute(_SEE_RACKS, linked)
        await db.execute(_FORGET_DEAD)
        await db.execute(_FORGET_ADDRESSES)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY_S)
            try:
                await self.beat()
                self._trouble = None
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                if self._trouble != str(error):  # once, not every 10 s for as long as it lasts
                    log.warning("region_beat_missed", error=str(error))
                self._trouble = str(error)


def this_machine() -> str:
    """A name that two processes share exactly when each can see the other's process number."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    boot_id = boot.read_text("ascii").strip() if boot.exists() else "unknown"
    return f"{socket.gethostname()} {boot_id} {os.readlink('/proc/self/ns/pid')}"


def _lives(pid: int) -> bool:
    """False for one that ended, also while nobody has collected it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
