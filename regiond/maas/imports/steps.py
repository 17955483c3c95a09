"""Operation handler that carries a plan out. What is done exists, so that it can begin again at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from attrs import frozen

from common.errors import Busy, DriverFailed, NotAllowed, NotFound, RackUnreachable, WrongState
from common.words.operation_kinds import OperationKind
from common.words.phrases import number_of
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.hosts.maintenance.changes import end_maintenance
from regiond.hosts.model import HostState, HostView
from regiond.hosts.views.view_store import read_host
from regiond.maas.imports import store, watched_store
from regiond.maas.imports.apply_groups import bring_groups, bring_users
from regiond.maas.imports.apply_hosts import bring_hosts, finish_hosts, hosts_here
from regiond.maas.imports.apply_machines import AT_ONCE, claim_addresses, open_adoptions
from regiond.maas.imports.apply_networks import bring_networks
from regiond.maas.imports.inventories import Inventories
from regiond.maas.imports.model import KINDS, PARALLEL_RUN, ImportRequest, ItemState, read_choices
from regiond.maas.imports.plan import make_plan
from regiond.maas.imports.region_state import RegionState, read_state
from regiond.maas.imports.work import Rooms, Work
from regiond.operations import store as operation_store
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation, Parent
from regiond.requests.caller import Caller

POLL_S = 2.0  # for refreshes, which are no children, and to open more adoptions; the last that ends wakes the import
_MOST_REFRESHES = 10  # a region that has just started waits for its racks
CurrentCaller = Callable[[int], Awaitable[Caller | None]]


@frozen(kw_only=True)
class ImportMaas:
    """Brings groups, networks, users and hosts, waits for the first refreshes, and adopts the machines."""

    rooms: Rooms
    inventories: Inventories
    current_caller: CurrentCaller
    simulated_allowed: bool

    @property
    def kind(self) -> OperationKind:
        return OperationKind.IMPORT

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        open_now = await self._open_children(operation)
        if open_now > AT_ONCE // 2:
            return self._until_adopted(operation)
        work = await self._work(operation)
        brings_hosts = bool(work.to_do("hosts"))
        await self._bring(operation, journal, work)
        if brings_hosts:
            await journal.step("await_refreshes")
            return Outcome(resumes_within_s=POLL_S)
        state = await self._state(work)
        here = await hosts_here(work, state, simulated_allowed=self.simulated_allowed)
        await self._watch(work, here)
        asked = here if not work.host else {one: host for one, host in here.items() if one == work.host}
        if await self._refreshing(asked) or await self._begin_refreshes(work, asked):
            if operation.step != "await_refreshes":  # it looks again every two seconds
                await journal.step("await_refreshes")
            return Outcome(resumes_within_s=POLL_S)
        # A refresh may have ended since: what is read after its end shows what it found.
        here = await hosts_here(work, state, simulated_allowed=self.simulated_allowed)
        await self._note_failed_adoptions(operation, work)
        if work.to_do("machines"):
            await journal.step("adopt_machines")
            await open_adoptions(work, here, room=AT_ONCE - open_now)
            await self._write_failures(operation, work)
            return self._until_adopted(operation)
        if open_now:
            return self._until_adopted(operation)
        await journal.step("claim_addresses")
        present = {one.source_id: one for one in work.concerned("machines") if one.state is ItemState.EXISTS}
        await claim_addresses(work, present, {cidr: one.id for cidr, one in state.subnets.items()})
        await finish_hosts(work, here)
        for item in work.plan.undecided:  # somebody has used its name since
            if item in work.concerned(item.kind):
                work.fail(item, item.reason)
        await self._write_failures(operation, work)
        return await self._outcome(operation, work)

    async def _bring(self, operation: Operation, journal: Journal, work: Work) -> None:
        """Brings what needs no host, and the hosts, in the order in which they need each other."""
        if any(work.to_do(kind) for kind in ("zones", "pools", "tags")):
            await journal.step("import_groups")
            await bring_groups(work)
        if work.to_do("networks"):
            await journal.step("import_networks")
            await bring_networks(work)
        if work.to_do("users"):
            await journal.step("import_users")
            await bring_users(work)
        if work.to_do("hosts"):
            await journal.step("import_hosts")
            await bring_hosts(work, simulated_allowed=self.simulated_allowed)
        await self._write_failures(operation, work)

    async def _watch(self, work: Work, here: Mapping[str, HostView]) -> None:
        """Records which hosts can be taken over later."""
        if work.state.taken_hosts is not None:
            async with self.rooms.database.transaction() as db:
                ids = {source_id: host.id for source_id, host in here.items()}
                await watched_store.add_hosts(db, work.plan.import_id, ids)

    async def _outcome(self, operation: Operation, work: Work) -> Outcome:
        plan = (await self._work(operation)).plan
        present = {kind: plan.counts[kind][ItemState.EXISTS.value] for kind in KINDS}
        failed = len(work.obstacles)
        result = {"present": present, "failed": failed}
        if not failed:
            return Outcome(result=result, record=partial(self._take_over, operation, work))
        first = work.obstacles[0]
        message = f"{number_of(failed, 'object')} could not be imported. The first, {first.name}: {first.reason}"
        return Outcome(result=result, rejection=DriverFailed(message))

    async def _take_over(self, operation: Operation, work: Work, db: Db) -> None:
        """Innkeeper is in charge of the host from now on. A maintenance for another reason goes on."""
        host_id = operation.request_as(ImportRequest).host
        if host_id is None:
            return
        await watched_store.take(db, host_id)
        await end_maintenance(db, work.caller, [host_id], holder=PARALLEL_RUN)
        host = await read_host(db, host_id)
        message = f"{host.name} was taken over from the MAAS at {work.plan.origin.label}"
        await Events.record(db, "maas_host_taken_over", message, caller=work.caller, host_id=host_id)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Waits until adoptions that have begun end; what has been imported stays."""
        async with self.rooms.database.transaction() as db:
            await operation_store.cancel_children(db, operation.id)
        if await self._open_children(operation):
            return Outcome(resumes_within_s=POLL_S)
        return Outcome(result=operation.result, undone=("what was imported stays; another import continues",))

    async def _work(self, operation: Operation) -> Work:
        """Raises NotAllowed if the account that began it is no administrator any more."""
        request = operation.request_as(ImportRequest)
        import_id = request.import_
        caller = None if operation.account_id is None else await self.current_caller(operation.account_id)
        if caller is None:
            raise NotAllowed("The account that began this import has been deleted or disabled.")
        caller.require_admin()
        inventory = await self.inventories.read(import_id)
        async with self.rooms.database.connection() as db:
            state = await read_state(db, import_id, inventory.origin.uuid)
            found = await store.read(db, import_id)
            failures = await store.read_failures(db, import_id, operation.id)
        state = state.taking(request.source_host)
        make = partial(make_plan, simulated_allowed=self.simulated_allowed)
        plan = await asyncio.to_thread(make, import_id, inventory, state, read_choices(request.choices))
        return Work(
            rooms=self.rooms, caller=caller, inventory=inventory, plan=plan, state=state,
            in_charge="" if found is None else found.in_charge,
            parent=Parent(id=operation.id, attempt=operation.attempt), began_at=operation.created_at,
            host=request.source_host,
            failed={(one.kind, one.source_id): one for one in failures},
        )  # fmt: skip

    async def _state(self, work: Work) -> RegionState:
        async with self.rooms.database.connection() as db:
            return await read_state(db, work.plan.import_id, work.plan.origin.uuid)

    def _until_adopted(self, operation: Operation) -> Outcome:
        """Resumes when all adoptions have ended, or soon, to open more of them."""

        async def all_ended(db: Db) -> bool:
            return await store.open_children(db, operation.id) == 0

        return Outcome(resumes_within_s=POLL_S, resumes_at_once=all_ended)

    async def _open_children(self, operation: Operation) -> int:
        async with self.rooms.database.connection() as db:
            return await store.open_children(db, operation.id)

    async def _refreshing(self, here: Mapping[str, HostView]) -> bool:
        async with self.rooms.database.connection() as db:
            new = [one.id for one in here.values() if one.state is not HostState.READY]
            return bool(new) and await store.refreshing(db, new) > 0

    async def _begin_refreshes(self, work: Work, here: Mapping[str, HostView]) -> bool:
        """Refreshes hosts that are not ready once in each import, and again while no rack has come back.

        Returns whether it began any.
        """
        waiting = [one for one in here.values() if one.state is not HostState.READY]
        async with self.rooms.database.connection() as db:
            counts = await store.refreshes_since(db, [one.id for one in waiting], work.began_at)
        begun = [
            one
            for one in waiting
            if counts.get(one.id, 0) < (_MOST_REFRESHES if one.error_code == RackUnreachable.code else 1)
        ]
        for host in begun:
            with suppress(Busy, NotFound, WrongState):  # it is being removed
                await self.rooms.hosts.start_refresh(work.caller, host.id)
        return bool(begun)

    async def _note_failed_adoptions(self, operation: Operation, work: Work) -> None:
        async with self.rooms.database.connection() as db:
            reasons = await store.failed_children(db, operation.id)
        for item in work.to_do("machines"):
            if item.source_id in reasons:
                work.fail(item, reasons[item.source_id])

    async def _write_failures(self, operation: Operation, work: Work) -> None:
        found = list(work.failed.values())
        async with self.rooms.database.transaction() as db:
            await store.write_failures(db, work.plan.import_id, operation.id, found)
