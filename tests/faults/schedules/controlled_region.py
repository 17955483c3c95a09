"""A region on a real database whose engine, links and clock advance only when a schedule says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from attrs import define, field

from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.master_key import open_master_key
from regiond.credentials.service import Credentials
from regiond.db.history import ServerHistory
from regiond.db.pool import Database
from regiond.operations import lease_store
from regiond.operations.attempt import Attempt
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.operations.model import Operation
from regiond.process.settings import RegionSettings
from regiond.racks import store as rack_store
from regiond.racks.enrolment.installation import open_authority
from regiond.recovery.fail_over import FailOver
from regiond.requests.caller import Caller
from regiond.wiring.components import Components, Storage
from regiond.wiring.region import wire_components
from tests.faults.schedules import clock
from tests.faults.schedules.activities import MAX_CALLS, STUCK_DEADLINE_S, Activities
from tests.faults.schedules.hypervisors import Hypervisor, Outages
from tests.faults.schedules.scheduled_racks import Activity, ScheduledLink, ScheduledRack
from tests.support.administrators import add_administrator

T = TypeVar("T")

ADMIN = Caller(account_id=1, username="admin", is_admin=True)


@define(eq=False)
class ControlledRegion:
    """The components of a region without its engine: rules take operations and step them through `activities`."""

    settings: RegionSettings
    database: Database
    credentials: Credentials
    key_pairs: KeyPairs
    authority: Any
    installation_id: UUID
    folder: Path
    components: Components = field(init=False)
    outages: Outages = field(factory=Outages)
    racks: dict[str, ScheduledRack] = field(factory=dict)
    links: dict[str, ScheduledLink] = field(factory=dict)
    hypervisors: dict[str, Hypervisor] = field(factory=dict)
    activities: Activities = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.activities = Activities(on_step=self.tick, on_end=self._release_leases)

    # The region -----------------------------------------------------------------------------------------------------

    def wire(self) -> None:
        storage = Storage(
            fail_over=FailOver(ServerHistory()),
            dsn=self.settings.required_database,
            database=self.database,
            credentials=self.credentials,
            key_pairs=self.key_pairs,
            idempotency_keys=IdempotencyKeys(self.database, self.credentials, bytes(32)),
            authority=self.authority,
            installation_id=self.installation_id,
        )
        self.components = wire_components(self.settings, storage)

    @property
    def owner(self) -> UUID:
        return self.components.heartbeat.region_id

    async def restart_region(self, *, late: bool, same_computer: bool) -> None:
        """Kills the region and starts another. If `late`, its calls to hosts become stale calls.

        On the `same_computer` the new region releases the leases of the dead one; otherwise they must expire.
        """
        dead = self.owner
        for activity in self.activities.running:
            self.activities.leave_call(activity, late=late)
        await self.activities.stop(*self.activities.running)
        self.wire()
        async with self.database.connection() as db:
            if same_computer:
                await lease_store.release_leases(db, dead)
                await self.components.heartbeat.delete_region(dead)
        await self.components.heartbeat.write()
        for name in sorted(self.racks):
            await self._link(name)
        await self.tick()

    # Racks ----------------------------------------------------------------------------------------------------------

    async def join_rack(self, name: str, number: int) -> None:
        rack = ScheduledRack(UUID(int=number), name, self.folder, self.outages)
        async with self.database.transaction() as db:
            await rack_store.insert(db, rack.id, name, f"fingerprint of {number}", clock.FAR, None)
        self.racks[name] = rack
        await self._link(name)

    async def restart_rack(self, name: str) -> None:
        """Loses its calls and fencing tokens."""
        old = self.racks[name]
        await self._unlink(name, late=False)
        old.close()
        self.activities.stale_calls = [call for call in self.activities.stale_calls if call.link.rack is not old]
        self.racks[name] = ScheduledRack(old.id, name, self.folder, self.outages)
        await self._link(name)

    async def cut_link(self, name: str, *, late: bool) -> None:
        """The rack continues and reconnects at once."""
        await self._unlink(name, late=late)
        await self._link(name)

    async def remove_rack(self, name: str, *, late: bool) -> None:
        await self.components.services.racks.remove(ADMIN, str(self.racks[name].id))
        await self._unlink(name, late=late)
        del self.racks[name]

    async def _link(self, name: str) -> None:
        link = ScheduledLink(self.racks[name], self.activities.changed)
        self.links[name] = link
        await self.components.link_supervisor.on_connect(link)  # type: ignore[arg-type]  # all that the region uses of a link
        await self._settled_links()

    async def _unlink(self, name: str, *, late: bool) -> None:
        link = self.links.pop(name)
        link.close("")
        cut = [one for one in self.activities.running if one.call is not None and one.call.link is link]
        for activity in cut:
            await self.activities.lose(activity, late=late)
        await self.components.link_supervisor.on_disconnect(link)  # type: ignore[arg-type]  # as above
        await self._settled_links()

    async def _settled_links(self) -> None:
        async with asyncio.timeout(STUCK_DEADLINE_S):
            await self.components.link_supervisor.settled()

    # Operations -----------------------------------------------------------------------------------------------------

    async def due(self) -> list[int]:
        """Ids of the operations that the engine could acquire now."""
        async with self.database.connection() as db:
            return await clock.due(db)

    async def take(self, operation_id: int) -> Activity | None:
        """Acquires this operation as the engine does. None if it cannot be acquired."""
        async with self.database.connection() as db:
            await clock.first(db, operation_id)
            taken = (await lease_store.acquire(db, self.owner, limit=1, full_hosts=[])).operations
        if not taken:
            return None
        (operation,) = taken
        for held in self.activities.running:
            held.frozen = held.frozen or held.operation_id == operation.id
        name = f"{operation.kind} {operation.id}"
        return await self.activities.begin(name, self._attempt(operation), operation_id=operation.id)

    async def _attempt(self, operation: Operation) -> None:
        work = self.components.engine.handler(operation.kind)
        await Attempt(self.database, self.owner, work, operation).run()

    async def cancel(self, operation_id: int, *, late: bool) -> None:
        """Cancels the operation and stops its attempt."""
        held = self._attempts_at(operation_id)
        before = await self.components.services.operations.read(operation_id)
        await self.components.services.operations.cancel(ADMIN, operation_id)
        if before.state == "running" and not before.cancel_requested:
            for activity in held:
                self.activities.leave_call(activity, late=late)
            await self.activities.stop(*held)
            await self._release_leases()
        await self.tick()

    def _attempts_at(self, operation_id: int) -> list[Activity]:
        """The attempts that hold the operation's lease."""
        return [one for one in self.activities.running if one.operation_id == operation_id and not one.frozen]

    async def _release_leases(self) -> None:
        """Releases the leases of attempts that ended, as the engine does."""
        running = [one.operation_id for one in self.activities.running if one.operation_id is not None]
        async with self.database.connection() as db:
            await lease_store.release_leases(db, self.owner, except_ids=running)

    async def freeze(self, activity: Activity) -> None:
        """Its lease expires and is not renewed: another attempt can take over while this one continues."""
        async with self.database.connection() as db:
            await clock.expire_lease(db, activity.operation_id or 0)
        activity.frozen = True

    async def awaited(self, work: Awaitable[T]) -> T:
        """Returns what `work` returns; runs the operations that it waits for."""
        task = asyncio.ensure_future(work)
        while not task.done():
            for operation_id in self.components.services.operations.awaited:
                await self.run_now(operation_id)
                self.components.services.operations.on_state_changed(operation_id, "succeeded")
            await asyncio.wait({task}, timeout=0.001)
        await self.tick()
        return task.result()

    async def run_now(self, operation_id: int) -> None:
        """Runs the operation to its end, whichever attempt has it."""
        for activity in self._attempts_at(operation_id):
            await self.activities.finish(activity)
        while not (await self.components.services.operations.read(operation_id)).state.ended:
            async with self.database.connection() as db:
                await clock.expire_lease(db, operation_id)
            taken = await self.take(operation_id)
            if taken is not None:
                await self.activities.finish(taken)

    async def run_all_due(self) -> None:
        """Finishes all activities, then runs due operations until there are none."""
        for activity in tuple(self.activities.running):
            await self.activities.finish(activity)  # does nothing if it has ended meanwhile
        for _ in range(MAX_CALLS):
            due = await self.due()
            taken = await self.take(due[0]) if due else None
            if taken is None:
                return
            await self.activities.finish(taken)
        raise AssertionError(f"operations never stop being due: {await self.due()}")

    # Time -----------------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Cancels the effect of real time that has passed. Freezes attempts whose operation another one has ended."""
        async with self.database.connection() as db:
            await clock.hold(db, self.owner)
            ended = await clock.ended(db, [one.operation_id or 0 for one in self.activities.running])
        for activity in self.activities.running:
            activity.frozen |= activity.operation_id in ended

    async def pass_time(self) -> None:
        """Ends all pauses, waits for older calls, and the leases and links of dead regions."""
        async with self.database.connection() as db:
            renewed = [one.operation_id or 0 for one in self.activities.running if not one.frozen]
            await clock.pass_time(db, self.owner, renewed)
        await self.components.heartbeat.write()
        await self.tick()

    async def close(self) -> None:
        await self.activities.stop(*self.activities.running)
        for rack in self.racks.values():
            rack.close()
        for hypervisor in self.hypervisors.values():
            hypervisor.close()


async def open_region(folder: Path, dsn: str, database: Database) -> ControlledRegion:
    """Returns a region on the freshly reset `database`. The caller closes it."""
    simulated = folder / "simulated" / uuid4().hex
    simulated.mkdir(parents=True)
    settings = RegionSettings(
        database=dsn, state=folder / "region", http_port=0, rpc_port=0, metrics_host="", simulated_hosts=simulated
    )
    settings.state.mkdir(parents=True, exist_ok=True)
    master_key = open_master_key(settings.state, {}, create=True)
    credentials = Credentials(master_key)
    async with database.transaction() as db:
        await credentials.check(db)
        authority = await open_authority(db, settings.state)
        installation_id = await rack_store.installation_id(db)
    region = ControlledRegion(
        settings=settings,
        database=database,
        credentials=credentials,
        key_pairs=KeyPairs(master_key, installation_id=installation_id, server_name="schedule"),
        authority=authority,
        installation_id=installation_id,
        folder=simulated,
    )
    region.wire()
    await add_administrator(database)
    await region.components.heartbeat.write()
    return region
