"""One look at a host and what follows. Reads only on the host; the same for asked-for and periodic refreshes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import structlog
from attrs import frozen

from common.discovery import Discovery
from common.errors import Busy, DatabaseUnavailable, InnkeeperError, PeerChanged, RackUnreachable
from common.rpc.commands import HOST_IDENTIFY, HostCall
from common.values import DriverType, HostFacts, Mark
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import addresses, schedule_store, store, view_store
from regiond.hosts.intake import Changes, Finding, Leftover
from regiond.hosts.intake_store import take_in
from regiond.hosts.trust import Trust
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DISCOVER_DEADLINE_S = 100.0
IDENTIFY_DEADLINE_S = 15.0
AGAIN_S = 1.0  # until the next look, where what the last one found may be over already


@frozen(kw_only=True)
class Look:
    """A discovery, and the database's time just before it began."""

    began_at: datetime
    found: Discovery


class CleanUp(Protocol):
    """Opens the operation that removes a guest whose machine was given up."""

    async def __call__(self, db: Db, host_id: int, host_name: str, guest_name: str, mark: Mark) -> None: ...


class Refresher:
    def __init__(
        self,
        database: Database,
        calls: HostCalls,
        clean_up: CleanUp,
        on_back: Callable[[Db, int], Awaitable[None]],
        on_facts: Callable[[Db, int, HostFacts], Awaitable[None]],
        trust: Trust,
        *,
        restore: Callable[[Db, int], Awaitable[frozenset[UUID]]],
    ) -> None:
        """`on_facts` hears of every discovery, `on_back` of a host that answers again; each in the transaction.

        So is `restore`, after them: it tells which forgotten machines have come back with the host.
        """
        self._database = database
        self._calls = calls
        self._clean_up = clean_up
        self._on_back = on_back
        self._on_facts = on_facts
        self._trust = trust
        self._restore = restore

    async def refresh(self, host_id: int) -> None:
        """A whole refresh on its own: look, take in. Raises what the host or the way to it raised, recorded before.

        Busy when others changed the same rows again and again: that says nothing of the host, and nothing is recorded.
        """
        look = await self.look(host_id)
        try:
            await self._database.in_transaction(lambda db: self.take_in(db, host_id, look))
        except (DatabaseUnavailable, Busy):
            raise
        except InnkeeperError as error:
            await self._keep(host_id, error)
            raise

    async def look(self, host_id: int) -> Look:
        """Pins the host's identity at first trust. An error is kept on the host, and told once as an event."""
        async with self._database.connection() as db:
            link = await store.link(db, host_id)
        try:
            await self._pin(host_id, link)
            if link.driver is DriverType.LXD:
                await self._trust.admit(host_id)
            async with self._database.connection() as db:
                began_at: datetime = await db.fetchval("select clock_timestamp()")
            found = await self._trust.discover(host_id, link, deadline_s=DISCOVER_DEADLINE_S)
            return Look(began_at=began_at, found=found)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            explained = self._trust.explained(await self._link(host_id), error)
            await self._keep(host_id, explained)
            raise explained from error

    async def _link(self, host_id: int) -> store.Link:
        async with self._database.connection() as db:
            return await store.link(db, host_id)

    async def take_in(self, db: Db, host_id: int, look: Look) -> Changes:
        """Write what is new, and say so; inside the caller's transaction."""
        await store.keep(db, host_id)
        link = await store.link(db, host_id)
        changes = await take_in(db, host_id, link.driver.value, look.found, look.began_at)
        await self._on_facts(db, host_id, look.found.facts)
        restored = await self._restore(db, host_id)
        await schedule_store.set_refreshed(db, host_id)
        for machine in changes.machines:
            level = Level.WARNING if machine.finding in _WARNED else Level.INFO
            message = f"{machine.hostname}: {_SAYS[machine.finding]} on {link.name}"
            await Events.record(db, machine.finding.value, message, level=level, host_id=host_id)
        for leftover in changes.leftovers:
            if leftover.machine_uuid not in restored:
                await self._leftover(db, host_id, link, leftover)
        if link.state == "unreachable":
            await Events.record(db, "host_back", f"{link.name} answers again", host_id=host_id)
            await self._on_back(db, host_id)  # on this connection: a second one for each of many could use up the pool
        return changes

    async def _pin(self, host_id: int, link: store.Link) -> None:
        if link.pinned is not None:
            return
        if not addresses.parse(link.driver, link.address, simulated_allowed=True).has_identity:
            return
        identity = await self._calls.call(
            host_id, HOST_IDENTIFY, lambda access: HostCall(access=access), deadline_s=IDENTIFY_DEADLINE_S
        )
        await self._trust.check_token(host_id, link, identity.material)
        async with self._database.transaction() as db:
            await store.pin(db, host_id, identity.material, identity.fingerprint)
            await self._trust.pinned(db, host_id, link, identity)
            message = f"{link.name} is trusted by its {identity.kind} {identity.fingerprint}, seen for the first time"
            details = {"fingerprint": identity.fingerprint}
            await Events.record(db, "host_pinned", message, host_id=host_id, details=details)

    async def _leftover(self, db: Db, host_id: int, link: store.Link, found: Leftover) -> None:
        mark = Mark(installation_id=await db.fetchval("select id from installation"), machine_id=found.machine_uuid)
        if found.finding is Finding.LEFTOVER:
            await self._clean_up(db, host_id, link.name, found.guest_name, mark)
            message = f"{found.guest_name} on {link.name} belongs to a machine that was given up; it is removed"
        else:
            why = _LEFT_ALONE[found.finding]
            message = f"{found.guest_name} on {link.name} carries our mark, but {why}; it is left alone"
        await Events.record(db, found.finding.value, message, level=Level.WARNING, host_id=host_id)

    async def _keep(self, host_id: int, error: InnkeeperError) -> None:
        """Say on the host why it cannot be refreshed; an event tells when that is news."""
        async with self._database.transaction() as db:
            link = await store.link(db, host_id)
            known = (await view_store.read(db, host_id)).error_code
            await store.set_unreachable(db, host_id, error.code, error.message)
            await self._trust.keep_looking(db, host_id, link, error)
            if known != error.code and not isinstance(error, RackUnreachable):
                level = Level.ERROR if isinstance(error, PeerChanged) else Level.WARNING
                kind, message = f"host_{error.code}", f"{link.name}: {error.message}"
                await Events.record(db, kind, message, level=level, host_id=host_id, details=error.details)
        if isinstance(error, RackUnreachable):
            await self._look_again_if_reached(host_id)

    async def _look_again_if_reached(self, host_id: int) -> None:
        """A rack that came in before this was written down has taken the host for ready, and left it at that."""
        try:
            await self._calls.require(host_id)
        except RackUnreachable:
            return  # the one that comes in later sees that nobody reaches it, and has it looked at
        async with self._database.connection() as db:
            await schedule_store.refresh_soon(db, host_id, AGAIN_S)


_LEFT_ALONE = {
    Finding.UNKNOWN_MARK: "no such machine is known",
    Finding.SECOND_MARK: "another guest is that machine (a copy?)",
}
_WARNED = (Finding.MISSING, Finding.RESIZED, Finding.RECOUNTED)
_SAYS = {
    Finding.MISSING: "its guest is missing",
    Finding.MOVED: "its guest was moved by its cluster and is now",
    Finding.RETURNED: "its guest is back",
    Finding.POWER: "its power state has changed",
    Finding.RESIZED: "its cores or memory were changed",
    Finding.RECOUNTED: "its pinned cores, huge pages or virtual functions were changed",
}
