"""The operation engine of one region process: leases due operations and runs them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any
from uuid import UUID

import structlog

from common.errors import DatabaseUnavailable
from common.process.periodic import NextRoundIn, PeriodicTask
from common.tracing.spans import NO_TRACES, Kind, Span, Tracer, active
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database
from regiond.operations import lease_store
from regiond.operations.attempt import Attempt, OnEnded, ignore_end
from regiond.operations.handler import LeaseLost, OperationHandler
from regiond.operations.model import LEASE_S, Operation, OperationState
from regiond.operations.own_operations import NO_OWN_OPERATIONS, OwnOperations

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_RUNNING = 64
MAX_RUNNING_PER_HOST = 8
POLL_S = 2.0  # the fallback if a notification was lost
IDLE_S = 0.5
MIN_PAUSE_S = 0.02
CHECK_S = 0.1  # until what is new, and not begun here, is searched for while requests of this process open operations
REMEMBERED = 4 * MAX_RUNNING  # operations that have ended here; notifications of their end follow at once
OWN_EVENTS_S = 10.0  # after the end of an operation, within which the hypervisor's events of it arrive
BUG_PAUSE_S = 5.0  # a bug outside the handler would otherwise recur at once


class Engine:
    """The engine of one region process. Leases in the database ensure that only one engine runs an operation.

    `on_ended` is called for each operation that ends here. It runs what `own_operations` opens.
    """

    def __init__(
        self,
        database: Database,
        owner: UUID,
        handlers: Iterable[OperationHandler],
        *,
        on_ended: OnEnded = ignore_end,
        tracer: Tracer = NO_TRACES,
        own_operations: OwnOperations = NO_OWN_OPERATIONS,
    ) -> None:
        self._database = database
        self.owner = owner
        self._own_operations = own_operations
        self._opening = self._expecting = 0
        self._changed: set[int] = set()  # which may be begun here in a moment, or be others' work
        self._checking: asyncio.TimerHandle | None = None
        self._handlers: Mapping[OperationKind, OperationHandler] = {handler.kind: handler for handler in handlers}
        self._on_ended = on_ended
        self._tracer = tracer
        self._running: dict[int, tuple[Operation, asyncio.Task[bool | None]]] = {}
        self._released: set[tuple[int, int]] = set()  # operations and attempts that nobody held at the last renewal
        self._attempts: set[asyncio.Task[bool | None]] = set()  # includes cancelled attempts that have not ended yet
        self._may_hold_leases = False  # of operations that do not run here
        self._others_wait = False  # for a place here: at the last try, one was due that was not acquired
        self._ended: deque[tuple[Operation, float]] = deque(maxlen=REMEMBERED)  # with the time
        self._context = Context()
        self._acquiring = PeriodicTask("operation_acquire", self._acquire, every_s=POLL_S)
        renew_every_s = LEASE_S / 3  # the lease outlives two failed renewals
        self._renewing = PeriodicTask("lease_renewal", self.renew, every_s=renew_every_s, first_after_s=renew_every_s)

    def start(self) -> None:
        self._context = copy_context()
        self._own_operations.serve(self)
        self._acquiring.start()
        self._renewing.start()

    async def stop(self) -> None:
        """Cancels all attempts and releases their leases, so that another process continues them at once."""
        self._own_operations.serve(None)
        if self._checking is not None:
            self._checking.cancel()
        await self._acquiring.stop()
        await self._renewing.stop()
        attempts = tuple(self._attempts)
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        try:
            async with self._database.connection() as db:
                await lease_store.release_leases(db, self.owner)
        except DatabaseUnavailable:
            log.warning("leases_not_released", lapse_in_s=LEASE_S)

    def wake(self) -> None:
        """Checks for due operations now."""
        self._acquiring.wake()

    def on_changed(self, operation_id: int, *, cancel_requested: bool) -> None:
        """Handles a notification: another operation may be due, unless this process has made the change itself.

        What requests of this process open they begin themselves, if it has a place here. So while some do, it searches
        for others' work `CHECK_S` later.
        """
        if cancel_requested:
            self._stop_attempt(operation_id)
            self.wake()
        elif not self._is_own(operation_id):
            self._changed.add(operation_id)
            if not (self._opening or self._expecting):
                self._check_changed()
            elif self._checking is None:
                self._checking = asyncio.get_running_loop().call_later(CHECK_S, self._check_changed)

    def _check_changed(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None
        changed, self._changed = self._changed, set()
        if not all(map(self._is_own, changed)):
            self.wake()

    def _is_own(self, operation_id: int) -> bool:
        return operation_id in self._running or any(one.id == operation_id for one, _ in self._ended)

    def _stop_attempt(self, operation_id: int) -> None:
        """Stops the attempt that runs here; the next attempt undoes the operation. Idempotent."""
        running = self._running.get(operation_id)
        if running is None:
            return
        operation, attempt = running
        if not operation.cancel_requested and operation.state is not OperationState.UNDOING:
            attempt.cancel()

    @property
    def running(self) -> int:
        """Returns the number of attempts that run in this process."""
        return len(self._running)

    @property
    def problem(self) -> str | None:
        """Why due operations could not be begun, or leases not be renewed, at the last try; None if they were."""
        return self._acquiring.problem or self._renewing.problem

    def handler(self, kind: OperationKind) -> OperationHandler:
        return self._handlers[kind]

    async def _acquire(self) -> NextRoundIn:
        """Starts due operations. Returns the time until the next check is worthwhile."""
        # An attempt that fails meanwhile sets it. What is being opened is leased, and does not run yet.
        may_hold_leases = self._may_hold_leases and not self._opening
        self._may_hold_leases = self._may_hold_leases and not may_hold_leases
        try:
            async with self._database.connection() as db:
                if may_hold_leases:
                    await lease_store.release_leases(db, self.owner, except_ids=self._running)
                free = max(0, MAX_RUNNING - len(self._running))
                acquired = await lease_store.acquire(db, self.owner, limit=free, full_hosts=self._full_hosts())
        except BaseException:
            self._may_hold_leases = True  # of operations that it has acquired and not answered
            raise
        for operation in acquired.operations:
            self.begin(operation)
        due_s = acquired.due_in_s
        self._others_wait = due_s is not None and due_s <= 0
        if due_s is None:
            return NextRoundIn(POLL_S)
        # A due operation that was not acquired is leased by another process or waits for a free place here; an
        # attempt that ends wakes this task then.
        soonest_s = IDLE_S if due_s <= 0 and not acquired.operations else MIN_PAUSE_S
        return NextRoundIn(min(POLL_S, max(soonest_s, due_s)))

    def _full_hosts(self) -> list[int]:
        return [host_id for host_id, count in self._running_per_host().items() if count >= MAX_RUNNING_PER_HOST]

    def _running_per_host(self) -> Counter[int]:
        return Counter(operation.host_id or 0 for operation, _ in self._running.values())

    def places(self, host_ids: Sequence[int]) -> Sequence[bool]:
        """Returns for each of new operations on these hosts whether it could begin now. Older ones come first."""
        running, free = self._running_per_host(), 0 if self._others_wait else MAX_RUNNING - len(self._running)
        found = []
        for host_id in host_ids:
            found.append(free > 0 and running[host_id] < MAX_RUNNING_PER_HOST)
            free -= found[-1]
            running[host_id] += found[-1]
        return found

    def full_hosts(self) -> Sequence[int] | None:
        """Returns the hosts on which no new operation could begin now; None: on none. Older ones come first."""
        return None if self._others_wait or len(self._running) >= MAX_RUNNING else self._full_hosts()

    def runs(self, operation_id: int) -> bool:
        return operation_id in self._running

    def acts_on(self, host_id: int, guest_name: str) -> bool:
        since = time.monotonic() - OWN_EVENTS_S
        recent = (operation for operation, ended_at in self._ended if ended_at > since)
        subjects = (*(operation for operation, _ in self._running.values()), *recent)
        return any(one.host_id == host_id and one.hostname == guest_name for one in subjects)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """In the block, operations are inserted with a lease and begun. After an error some may be leased and unknown.

        Whoever asks for work in the block keeps leases of operations that do not run.
        """
        self._opening += 1
        try:
            yield
        except BaseException:
            self._may_hold_leases = True
            raise
        finally:
            self._opening -= 1
            self._end_of_opening()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """In the block, operations are inserted, then taken."""
        self._expecting += 1
        try:
            yield
        finally:
            self._expecting -= 1
            self._end_of_opening()

    def _end_of_opening(self) -> None:
        if not (self._opening or self._expecting):
            self._check_changed()

    def begin(self, operation: Operation) -> None:
        """Starts an attempt. Cancels an older one of this process, whose lease lapsed because no renewal succeeded."""
        older = self._running.get(operation.id)
        if older is not None:
            older[1].cancel()
        task = asyncio.create_task(self.run_attempt(operation), context=self._context.copy())  # not that of a request
        self._running[operation.id] = (operation, task)
        self._attempts.add(task)
        task.add_done_callback(lambda ended: self._on_attempt_ended(operation, ended))

    def _on_attempt_ended(self, operation: Operation, task: asyncio.Task[bool | None]) -> None:
        self._attempts.discard(task)
        running = self._running.get(operation.id)
        if running is not None and running[1] is task:
            del self._running[operation.id]
        ended = None if task.cancelled() else task.result()
        if ended is None:
            self._may_hold_leases = True
        elif ended:
            self._ended.append((operation, time.monotonic()))
        # The next attempt is due soon, or the parent is.
        if not ended or operation.parent_id is not None or self._others_wait:
            self.wake()

    async def run_attempt(self, operation: Operation) -> bool | None:
        """Runs one attempt at an operation that this process has leased. Raises only CancelledError.

        Returns whether the operation has ended; None if the lease may not be released.
        """
        ids: dict[str, Any] = {"operation": operation.id, "attempt": operation.attempt}
        if operation.request_id is not None:
            ids["request_id"] = operation.request_id
        with structlog.contextvars.bound_contextvars(**ids), active(self._span(operation)):
            if operation.attempt == 1:
                log.info(
                    "operation_started",
                    kind=operation.kind.value,
                    host_id=operation.host_id,
                    system_id=operation.system_id,
                    username=operation.username,
                )
            try:
                handler = self._handlers[operation.kind]
                return await Attempt(self._database, self.owner, handler, operation, self._on_ended).run()
            except LeaseLost:
                log.warning("lease_lost", kind=operation.kind.value)
            except DatabaseUnavailable as error:
                log.warning("attempt_abandoned", kind=operation.kind.value, reason=error.message)
            except Exception:
                log.exception("attempt_failed", kind=operation.kind.value, retry_in_s=BUG_PAUSE_S)
                await asyncio.sleep(BUG_PAUSE_S)
            return None

    def _span(self, operation: Operation) -> Span | None:
        """The first attempt is a part of the trace of the request; later ones can be in another region and at any time.

        They begin traces of their own, with a link: a trace that goes on for hours is complete for no collector.
        """
        attempt, traceparent = operation.attempt, operation.traceparent
        if operation.request_id is not None and traceparent is None:
            return None  # the request was not sampled, or came when nothing was traced
        first = attempt == 1
        facts: dict[str, str | int] = {
            "innkeeper.operation.id": operation.id,
            "innkeeper.operation.kind": operation.kind.value,
            "innkeeper.operation.attempt": attempt,
        }
        if operation.request_id is not None:
            facts["innkeeper.request_id"] = operation.request_id
        return self._tracer.serve(
            f"operation {operation.kind.value}",
            Kind.INTERNAL,
            traceparent=(traceparent or "") if first else "",
            trusted=True,
            links=() if traceparent is None or first else [traceparent],
            attributes=facts,
        )

    async def renew(self) -> None:
        """Renews the leases of the running attempts and cancels those that another process has taken over or ended.

        An operation that nobody holds was ended by its attempt, which learns it at once, or by somebody else, such as
        the removal of its host: then the next renewal cancels the attempt.
        """
        running = dict(self._running)
        if not running:
            return
        async with self._database.connection() as db:
            renewed = await lease_store.renew(db, self.owner, running)
            missing = running.keys() - renewed  # attempts that started during the query are not in `running`
            released = await lease_store.released(db, missing) if missing else {}
        before, self._released = self._released, set(released.items())
        for operation_id in missing:
            operation, attempt = running[operation_id]
            number = (operation_id, operation.attempt)
            may_have_ended = number in self._released and number not in before
            if not attempt.done() and not may_have_ended:
                log.warning("lease_lost", kind=operation.kind.value, operation=operation_id, attempt=operation.attempt)
                attempt.cancel()
