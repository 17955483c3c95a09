"""The durable engine of one region process: takes operations that are due, holds them by lease, runs them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

import structlog

from common.errors import DatabaseUnavailable
from regiond.db.pool import Database
from regiond.operations import lease_store
from regiond.operations.attempt import Attempt
from regiond.operations.model import Operation, OperationKind, OperationState
from regiond.operations.work import LeaseLost, Work

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_RUNNING = 64
MAX_RUNNING_PER_HOST = 8
POLL_S = 2.0  # the fallback when a notification was lost
IDLE_S = 0.5
BUG_PAUSE_S = 5.0  # what hit a bug outside its own steps would hit it again at once


class Engine:
    """Every region process has one; the leases in the database keep them apart."""

    def __init__(self, database: Database, owner: UUID, works: Iterable[Work]) -> None:
        self._database = database
        self._owner = owner
        self._works: Mapping[OperationKind, Work] = {work.kind: work for work in works}
        self._running: dict[int, tuple[Operation, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._trouble: str | None = None
        self._attempts: set[asyncio.Task[None]] = set()  # those that are being replaced too
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops = [asyncio.create_task(self._take_loop()), asyncio.create_task(self._renew_loop())]

    async def stop(self) -> None:
        """Take nothing more, stop what runs (another process goes on with it) and hand back every lease."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        attempts = tuple(self._attempts)
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        try:
            async with self._database.connection() as db:
                await lease_store.hand_back(db, self._owner)
        except DatabaseUnavailable:
            log.warning("leases_not_handed_back", lapse_in_s=lease_store.LEASE_S)

    def wake(self) -> None:
        """Look for work now: something was queued, or may be tried again."""
        self._wake.set()

    def cancel_asked(self, operation_id: int) -> None:
        """Stop the attempt that runs here, unless it knows of it already; the next one undoes it."""
        held = self._running.get(operation_id)
        if held is not None and not held[0].cancel_requested and held[0].state is not OperationState.UNDOING:
            held[1].cancel()

    @property
    def running(self) -> int:
        return len(self._running)

    async def _take_loop(self) -> None:
        while True:
            self._wake.clear()
            pause_s = POLL_S
            try:
                pause_s = await self._take()
                self._trouble = None
            except DatabaseUnavailable as error:
                if self._trouble != error.message:  # once, not every two seconds for as long as it lasts
                    log.warning("operations_not_taken", because=error.message)
                self._trouble = error.message
            except Exception:
                log.exception("taking_operations_hit_a_bug")  # the next round may do better; none would be worse
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _take(self) -> float:
        """Start what is due; the seconds until it is worth looking again."""
        room = MAX_RUNNING - len(self._running)
        async with self._database.connection() as db:
            await lease_store.hand_back(db, self._owner, but=self._running)  # what ended here without a word
            taken = (
                await lease_store.take(db, self._owner, limit=room, full_hosts=self._full_hosts()) if room > 0 else []
            )
            for operation in taken:
                self._begin(operation)
            due_s = await lease_store.next_due_s(db)
        # What is due and was not taken is another's, or waits for room: whatever ends here wakes us.
        soonest_s = IDLE_S if due_s is not None and due_s <= 0 and not taken else 0.02
        return POLL_S if due_s is None else min(POLL_S, max(soonest_s, due_s))

    def _full_hosts(self) -> list[int]:
        per_host = Counter(operation.host_id or 0 for operation, _ in self._running.values())
        return [host_id for host_id, count in per_host.items() if count >= MAX_RUNNING_PER_HOST]

    def _begin(self, operation: Operation) -> None:
        """An older attempt of this process, whose lease lapsed while it could not renew, is stopped."""
        held = self._running.get(operation.id)
        if held is not None:
            held[1].cancel()
        task = asyncio.create_task(self._attempt(operation))
        self._running[operation.id] = (operation, task)
        self._attempts.add(task)
        task.add_done_callback(lambda ended: self._ended(operation, ended))

    def _ended(self, operation: Operation, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        held = self._running.get(operation.id)
        if held is not None and held[1] is task:
            del self._running[operation.id]
        self.wake()

    async def _attempt(self, operation: Operation) -> None:
        with structlog.contextvars.bound_contextvars(operation=operation.id, attempt=operation.attempt):
            try:
                await Attempt(self._database, self._owner, self._works[operation.kind], operation).go()
            except LeaseLost:
                log.warning("lease_lost", kind=operation.kind.value)
            except DatabaseUnavailable as error:
                log.warning("attempt_left_to_its_lease", kind=operation.kind.value, because=error.message)
            except Exception:
                log.exception("attempt_hit_a_bug", kind=operation.kind.value, again_in_s=BUG_PAUSE_S)
                await asyncio.sleep(BUG_PAUSE_S)

    async def _renew_loop(self) -> None:
        while True:
            await asyncio.sleep(lease_store.LEASE_S / 3)
            try:
                await self.renew()
            except DatabaseUnavailable:
                continue  # the lease outlives two missed renewals; after that the fence keeps us from writing
            except Exception:
                log.exception("renewing_leases_hit_a_bug")

    async def renew(self) -> None:
        """Hold on to what runs here, and stop what another process has taken over meanwhile."""
        held = dict(self._running)
        if not held:
            return
        async with self._database.connection() as db:
            kept = await lease_store.renew(db, self._owner, held)
        for operation_id in held.keys() - kept:  # only those asked about: others were begun meanwhile
            operation, attempt = held[operation_id]
            if not attempt.done():
                log.warning("lease_lost", kind=operation.kind.value, operation=operation_id, attempt=operation.attempt)
                attempt.cancel()
