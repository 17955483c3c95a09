"""A region on a real database with scheduled racks and hosts: nothing happens in it but what it is told to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from attrs import define, field

from common.errors import InnkeeperError, InternalError
from common.systemd_notify import ServiceManager
from regiond.accounts.model import Caller
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.master_key import open_master_key
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.installation import open_authority
from regiond.operations import lease_store
from regiond.operations.attempt import Attempt
from regiond.operations.model import Operation
from regiond.operations.work import LeaseLost
from regiond.racks import store as rack_store
from regiond.service import Parts, RegionService
from regiond.settings import RegionSettings
from tests.faults.schedules import clock
from tests.faults.schedules.hypervisors import Hypervisor, Outages
from tests.faults.schedules.links import CURRENT, Activity, Call, ScheduledLink, ScheduledRack

T = TypeVar("T")

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
HUNG_S = 60.0  # of real time, in which nothing that was let go on has come anywhere
MOST_CALLS = 200  # that one activity may make until it counts as endless


@define(eq=False)
class World:
    """`activities` are under way, each waiting for its call; `stragglers` are calls that nobody waits for any more."""

    settings: RegionSettings
    database: Database
    credentials: Credentials
    key_pairs: KeyPairs
    authority: Any
    installation_id: UUID
    folder: Path
    parts: Parts = field(init=False)
    outages: Outages = field(factory=Outages)
    racks: dict[str, ScheduledRack] = field(factory=dict)
    links: dict[str, ScheduledLink] = field(factory=dict)
    hypervisors: dict[str, Hypervisor] = field(factory=dict)
    activities: list[Activity] = field(factory=list)
    stragglers: list[Call] = field(factory=list)
    straggled: set[UUID] = field(factory=set)  # machines on which something acted that nobody waited for
    changed: asyncio.Event = field(factory=asyncio.Event)

    # The region -----------------------------------------------------------------------------------------------------

    def put_together(self) -> None:
        service = RegionService(self.settings, ServiceManager({}))
        dsn = self.settings.required_database
        self.parts = service._put_together(
            dsn, self.database, self.credentials, self.key_pairs, self.authority, self.installation_id
        )

    @property
    def owner(self) -> UUID:
        return self.parts.presence.region_id

    async def restart_region(self, *, late: bool, told: bool) -> None:
        """It dies with all that it was doing, and another starts. `late`: what it had asked of hosts happens later.

        `told`: on the same machine, where the new one knows that the old one is dead; else leases have to lapse.
        """
        dead = self.owner
        for activity in self.activities:
            self._leave_call(activity, late=late)
            activity.task.cancel()
        await asyncio.gather(*(activity.task for activity in self.activities), return_exceptions=True)
        self.activities.clear()
        self.put_together()
        async with self.database.connection() as db:
            if told:
                await lease_store.hand_back(db, dead)
                await self.parts.presence.forget(dead)
        await self.parts.presence.beat()
        for name in sorted(self.racks):
            await self._link(name)
        await self.tick()

    # Racks ----------------------------------------------------------------------------------------------------------

    async def join_rack(self, name: str, number: int) -> None:
        rack = ScheduledRack(UUID(int=number), name, self.folder, self.outages)
        async with self.database.transaction() as db:
            await rack_store.insert(db, rack.id, name, f"fingerprint of {number}", clock.FAR)
        self.racks[name] = rack
        await self._link(name)

    async def restart_rack(self, name: str) -> None:
        """What it was doing is lost, and so is what it remembers of attempts."""
        old = self.racks[name]
        await self._unlink(name, late=False)
        old.close()
        self.stragglers = [call for call in self.stragglers if call.link.rack is not old]
        self.racks[name] = ScheduledRack(old.id, name, self.folder, self.outages)
        await self._link(name)

    async def cut_link(self, name: str, *, late: bool) -> None:
        """The rack lives on, and dials again at once."""
        await self._unlink(name, late=late)
        await self._link(name)

    async def remove_rack(self, name: str, *, late: bool) -> None:
        await self.parts.services.racks.remove(ADMIN, str(self.racks[name].id))
        await self._unlink(name, late=late)
        del self.racks[name]

    async def _link(self, name: str) -> None:
        link = ScheduledLink(self.racks[name], self.changed)
        self.links[name] = link
        await self.parts.attendance.arrived(link)  # type: ignore[arg-type]  # all that the region asks of a link
        await self._attended()

    async def _unlink(self, name: str, *, late: bool) -> None:
        link = self.links.pop(name)
        link.close("")
        cut = [one for one in self.activities if one.call is not None and one.call.link is link]
        for activity in cut:
            await self.lose(activity, late=late)
        await self.parts.attendance.left(link)  # type: ignore[arg-type]  # as above
        await self._attended()

    async def _attended(self) -> None:
        while tasks := tuple(self.parts.attendance._tasks):
            await asyncio.wait(tasks, timeout=HUNG_S)

    # What is under way ----------------------------------------------------------------------------------------------

    async def begin(self, name: str, work: Coroutine[Any, Any, None], **told: Any) -> Activity:
        """Until its first call to a host, or its end."""
        activity = Activity(name, **told)
        before = CURRENT.set(activity)
        activity.task = asyncio.create_task(work)
        CURRENT.reset(before)
        self.activities.append(activity)
        await self._settled(activity)
        return activity

    async def act(self, activity: Activity) -> None:
        """The host acts; the answer stays on its way."""
        if activity.call is not None and activity.call.outcome is None:
            await self._go(activity.call, late=activity.frozen)

    async def answer(self, activity: Activity) -> None:
        """The host acts, unless it has, and the region hears of it."""
        if activity.call is not None:
            await self.act(activity)
            activity.call.tell()
        await self._settled(activity)

    async def lose(self, activity: Activity, *, late: bool) -> None:
        """The region hears that the link was lost. What was asked for does not happen, or happens `late`."""
        self._leave_call(activity, late=late)
        if activity.call is not None:
            activity.call.lose()
        await self._settled(activity)

    async def finish(self, activity: Activity) -> None:
        for _ in range(MOST_CALLS):
            if activity not in self.activities:
                return
            await self.answer(activity)
        raise AssertionError(f"{activity.name} made {MOST_CALLS} calls and did not end")

    async def straggle(self, call: Call) -> None:
        self.stragglers.remove(call)
        await self._go(call, late=True)

    async def _go(self, call: Call, *, late: bool) -> None:
        if late and call.machine is not None:
            self.straggled.add(call.machine)
        await call.go()

    def _leave_call(self, activity: Activity, *, late: bool) -> None:
        call = activity.call
        if late and call is not None and call.outcome is None and call.changes_host:
            self.stragglers.append(call)

    async def _settled(self, activity: Activity) -> None:
        """Until it waits for its next call, or has ended."""
        while not activity.task.done() and not activity.waits:
            self.changed.clear()
            heard = asyncio.ensure_future(self.changed.wait())
            ended, _ = await asyncio.wait({activity.task, heard}, timeout=HUNG_S, return_when=asyncio.FIRST_COMPLETED)
            heard.cancel()
            if not ended:
                raise AssertionError(f"{activity.name} came nowhere within {HUNG_S:.0f} s")
        if activity.task.done():
            self.activities.remove(activity)
            _check_end(activity)
            await self._hand_back()
        await self.tick()

    async def _hand_back(self) -> None:
        """As the engine does with what ended in it without a word."""
        running = [one.operation_id for one in self.activities if one.operation_id is not None]
        async with self.database.connection() as db:
            await lease_store.hand_back(db, self.owner, but=running)

    # Operations -----------------------------------------------------------------------------------------------------

    async def due(self) -> list[int]:
        """Operations that the engine could take now, by id."""
        async with self.database.connection() as db:
            return await clock.due(db)

    async def take(self, operation_id: int) -> Activity | None:
        """As the engine would, this one first. None when it may not be taken here."""
        async with self.database.connection() as db:
            await clock.first(db, operation_id)
            taken = await lease_store.take(db, self.owner, limit=1, full_hosts=[])
        if not taken:
            return None
        (operation,) = taken
        for held in self.activities:
            held.frozen = held.frozen or held.operation_id == operation.id
        return await self.begin(f"{operation.kind} {operation.id}", self._attempt(operation), operation_id=operation.id)

    async def _attempt(self, operation: Operation) -> None:
        work = self.parts.engine._works[operation.kind]
        await Attempt(self.database, self.owner, work, operation).go()

    async def cancel(self, operation_id: int, *, late: bool) -> None:
        """Asked for, and heard by the engine, which stops the attempt."""
        held = [one for one in self.activities if one.operation_id == operation_id and not one.frozen]
        before = await self.parts.operations.read(operation_id)
        await self.parts.operations.cancel(ADMIN, operation_id)
        if before.state == "running" and not before.cancel_requested:
            for activity in held:
                self._leave_call(activity, late=late)
                activity.task.cancel()
                await asyncio.gather(activity.task, return_exceptions=True)
                self.activities.remove(activity)
            await self._hand_back()
        await self.tick()

    async def freeze(self, activity: Activity) -> None:
        """Its region renews no lease: whoever comes takes the operation over, and this attempt knows nothing of it."""
        async with self.database.connection() as db:
            await clock.lapse(db, activity.operation_id or 0)
        activity.frozen = True

    async def straight(self, work: Awaitable[T]) -> T:
        """What `work` returns or raises; operations that it waits for are run to their ends."""
        task = asyncio.ensure_future(work)
        while not task.done():
            waited_for = [number for number, waiting in self.parts.operations._ended.items() if waiting]
            for operation_id in waited_for:
                await self.run_now(operation_id)
                self.parts.operations.told(operation_id, "succeeded")
            await asyncio.wait({task}, timeout=0.001)
        await self.tick()
        return task.result()

    async def run_now(self, operation_id: int) -> None:
        """To its end, whoever holds it."""
        for activity in [one for one in self.activities if one.operation_id == operation_id and not one.frozen]:
            await self.finish(activity)
        while not (await self.parts.operations.read(operation_id)).state.ended:
            async with self.database.connection() as db:
                await clock.lapse(db, operation_id)
            taken = await self.take(operation_id)
            if taken is not None:
                await self.finish(taken)

    async def run_all_due(self) -> None:
        """What is under way ends, and then all that is due is run, and what that opens."""
        for activity in tuple(self.activities):
            if activity in self.activities:
                await self.finish(activity)
        for _ in range(MOST_CALLS):
            due = await self.due()
            taken = await self.take(due[0]) if due else None
            if taken is None:
                return
            await self.finish(taken)
        raise AssertionError(f"there is always something due: {await self.due()}")

    # Time -----------------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """No real time passes between two steps, however long they take."""
        async with self.database.connection() as db:
            await clock.hold(db, self.owner)

    async def pass_time(self) -> None:
        """As much as makes all pauses end, and whoever does not live lose leases and links."""
        async with self.database.connection() as db:
            await clock.pass_time(db, self.owner, [one.operation_id or 0 for one in self.activities if not one.frozen])
        await self.parts.presence.beat()
        await self.tick()

    async def close(self) -> None:
        for activity in self.activities:
            activity.task.cancel()
        await asyncio.gather(*(activity.task for activity in self.activities), return_exceptions=True)
        for rack in self.racks.values():
            rack.close()
        for hypervisor in self.hypervisors.values():
            hypervisor.close()


def _check_end(activity: Activity) -> None:
    """Raises what was a bug: refusals of hosts are part of life, and so is a lease that was really lost."""
    if activity.task.cancelled():
        raise AssertionError(f"{activity.name} was cancelled by nobody")
    error = activity.task.exception()
    if isinstance(error, LeaseLost) and activity.frozen:
        return
    if isinstance(error, InnkeeperError) and not isinstance(error, InternalError) and activity.operation_id is None:
        return
    if error is not None:
        raise error


async def open_world(folder: Path, dsn: str, database: Database) -> World:
    """A region on `database`, migrated and as new; `folder` may have served others. Closed by who opens it."""
    simulated = folder / "simulated" / uuid4().hex
    simulated.mkdir(parents=True)
    settings = RegionSettings(database=dsn, state=folder / "region", http_port=0, rpc_port=0, simulated_hosts=simulated)
    settings.state.mkdir(parents=True, exist_ok=True)
    master_key = open_master_key(settings.state, {})
    credentials = Credentials(master_key)
    async with database.transaction() as db:
        await credentials.check(db)
        authority = await open_authority(db, settings.state)
        installation_id = await rack_store.installation_id(db)
    world = World(
        settings=settings,
        database=database,
        credentials=credentials,
        key_pairs=KeyPairs(master_key, installation_id=installation_id, server_name="schedule"),
        authority=authority,
        installation_id=installation_id,
        folder=simulated,
    )
    world.put_together()
    await world.parts.accounts.ensure_admin()
    await world.parts.presence.beat()
    return world
