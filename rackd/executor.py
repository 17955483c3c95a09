"""Runs blocking host calls in threads, each with a deadline.

A slow or hung host never delays the event loop or other hosts. Each host has a queue (`rackd/host_queue.py`). A call
that misses its deadline is abandoned: its caller receives DeadlineExceeded, its thread and connection are not touched,
and the queue continues with a new connection. A host with `max_hung_calls` abandoned calls is hung: its calls fail at
once until one of these threads returns. So a host occupies at most `max_hung_calls` abandoned threads and eight
working ones.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog
from attrs import frozen

from common.errors import Busy, Cancelled, DeadlineExceeded, HostHung
from common.rpc.commands.host_method import CallClass
from common.tracing.spans import Kind, below_current
from common.values import DriverType, HostAccess
from rackd.driver_calls import ObserveCall, unobserved
from rackd.drivers.contract import Driver
from rackd.host_queue import Call, Connection, HostQueue, OpenDriver, Slot, close_in_thread

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")


@frozen(kw_only=True)
class ExecutorLoad:
    """The work of an executor at one moment."""

    open_hosts: Counter[DriverType]  # with an open connection
    hung_hosts: int
    running: Counter[CallClass]
    waiting: Counter[CallClass]
    abandoned: int  # calls
    limit: int  # of running calls


class Executor:
    """Create and use it in the event loop's thread.

    `max_calls` limits the running calls of all hosts, without abandoned ones. A cancelled call is abandoned
    after `cancel_grace_s`.
    """

    def __init__(
        self,
        open_driver: OpenDriver,
        *,
        max_calls: int = 200,
        max_hung_calls: int = 3,
        cancel_grace_s: float = 5.0,
        observe: ObserveCall = unobserved,
    ) -> None:
        self._open_driver = open_driver
        self._max_hung_calls = max_hung_calls
        self._cancel_grace_s = cancel_grace_s
        self._observe = observe
        self._max_calls = max_calls
        self._call_limit = asyncio.Semaphore(max_calls)
        self._queues: dict[int, HostQueue] = {}
        self._running: dict[Call, asyncio.Future[Any]] = {}
        self._stopped = False

    async def run(
        self,
        access: HostAccess,
        work: Callable[[Driver], T],
        *,
        what: str,
        deadline_s: float,
        call_class: CallClass = CallClass.ORDERED,
        machine_id: UUID | None = None,
    ) -> T:
        """Returns or raises what `work` does with the host's driver, in a thread. `what` names the call in errors and
        logs.

        Raises DeadlineExceeded after `deadline_s`, which includes waiting in the queue, and HostHung at once. After a
        cancellation or a missed deadline `work` may still finish. Two calls with the same `machine_id` never run at
        once, even if the first was abandoned.
        """

        def on_connection(connection: Connection) -> T:
            return connection.call(access, work)

        with self._observe(access.driver, what), _span(access, what):
            return await self._run(
                access, on_connection, what=what, deadline_s=deadline_s, call_class=call_class, machine_id=machine_id
            )

    async def run_without_driver(self, access: HostAccess, work: Callable[[], T], *, what: str, deadline_s: float) -> T:
        """Runs work that needs no driver, such as reading the key that a host presents. Otherwise as `run`."""
        with self._observe(access.driver, what), _span(access, what):
            return await self._run(
                access, lambda _: work(), what=what, deadline_s=deadline_s, call_class=CallClass.QUICK, machine_id=None
            )

    async def ended(self, machine_id: UUID) -> None:
        """Returns when no call acts on this machine, not even an abandoned one, or through a host that it has left."""
        while calls := [call for queue in self._queues.values() if (call := queue.call_on(machine_id))]:
            await calls[0].finished.wait()

    def disconnect_host(self, host_id: int) -> None:
        """Drops the host's connections and credentials, after its running calls have finished."""
        queue = self._queues.get(host_id)
        if queue is not None:
            queue.is_closing = True
            for slot in queue.slots():
                slot.reset()
            self._remove_if_idle(queue)

    def close_connections(self, host_id: int, call_class: CallClass) -> None:
        """Closes the connections of one call class, and with them their watches."""
        if queue := self._queues.get(host_id):
            for slot in queue.slots(call_class):
                slot.reset()

    def abandoned_calls(self, host_id: int) -> int:
        """Returns the number of abandoned calls of this host whose threads have not returned."""
        queue = self._queues.get(host_id)
        return len(queue.abandoned) if queue else 0

    def queued_calls(self, host_id: int, call_class: CallClass) -> int:
        """Returns the number of calls of this class that run or wait for a slot."""
        queue = self._queues.get(host_id)
        return sum(slot.demand for slot in queue.slots(call_class)) if queue else 0

    def load(self) -> ExecutorLoad:
        """Returns how much this executor has to do now, for all hosts."""
        running: Counter[CallClass] = Counter()
        waiting: Counter[CallClass] = Counter()
        open_hosts: Counter[DriverType] = Counter()
        for queue in self._queues.values():
            for call_class, slot in queue.demanded_slots():
                running[call_class] += slot.running is not None
                waiting[call_class] += slot.demand - (slot.running is not None)
            if (driver := queue.open_driver_type) is not None:
                open_hosts[driver] += 1
        abandoned = [len(queue.abandoned) for queue in self._queues.values()]
        return ExecutorLoad(
            open_hosts=open_hosts,
            hung_hosts=sum(number >= self._max_hung_calls for number in abandoned),
            running=running,
            waiting=waiting,
            abandoned=sum(abandoned),
            limit=self._max_calls,
        )

    async def stop(self, *, grace_s: float = 3.0) -> None:
        """Fails every call with Cancelled and closes the connections, waiting at most `grace_s`. Idempotent.

        Hung threads are daemon threads, which end with the process.
        """
        self._stopped = True
        for call, outcome in self._running.items():
            call.close_when_finished = True
            if not outcome.done():
                outcome.set_exception(Cancelled(f"{call.what} was cancelled: the rack is stopping"))
                outcome.exception()  # retrieved, so that asyncio does not log it
        closing_threads = [slot.reset() for queue in self._queues.values() for slot in queue.slots()]
        self._queues.clear()
        closing = [thread for thread in closing_threads if thread is not None]
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(call.finished.wait()) for call in self._running]
        waits.append(asyncio.ensure_future(asyncio.to_thread(_join, closing, grace_s)))
        await asyncio.wait(waits, timeout=grace_s)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        if self._running:
            log.warning("calls_still_running", calls=sorted(call.what for call in self._running))

    def _queue(self, access: HostAccess) -> HostQueue:
        if self._stopped:
            raise Cancelled("The rack is stopping.")
        queue = self._queues.setdefault(access.host_id, HostQueue(self._open_driver))
        queue.is_closing = False
        return queue

    async def _run(
        self,
        access: HostAccess,
        work: Callable[[Connection], T],
        *,
        what: str,
        deadline_s: float,
        call_class: CallClass,
        machine_id: UUID | None,
    ) -> T:
        loop = asyncio.get_running_loop()
        deadline_at = loop.time() + deadline_s
        queue = self._queue(access)
        try:
            async with asyncio.timeout_at(deadline_at):
                slot = await self._acquire_slot(queue, access, call_class, machine_id)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Host {access.address} did not start {what} within {deadline_s:g} s: "
                "earlier calls to it are still running."
            ) from error
        call = Call(what=what, machine_id=machine_id, connection=slot.connection, started_at=loop.time())
        outcome = self._start(queue, slot, call, work)
        timer = loop.call_at(deadline_at, self._abandon, queue, slot, call, access)
        try:
            return await outcome
        except asyncio.CancelledError:
            timer.cancel()
            last_at = min(deadline_at, loop.time() + self._cancel_grace_s)
            timer = loop.call_at(last_at, self._abandon, queue, slot, call, access)
            raise
        finally:
            if call.finished.is_set():
                timer.cancel()

    async def _acquire_slot(
        self, queue: HostQueue, access: HostAccess, call_class: CallClass, machine_id: UUID | None
    ) -> Slot:
        """Returns an acquired slot, with one unit of `_call_limit`."""
        while True:
            self._check_not_hung(queue, access)
            if earlier := queue.call_on(machine_id):
                await earlier.finished.wait()
                continue
            slot = queue.slot_for(call_class)
            await slot.acquire()
            try:
                await self._call_limit.acquire()
            except BaseException:
                slot.release()
                raise
            if not self._stopped and not queue.call_on(machine_id) and len(queue.abandoned) < self._max_hung_calls:
                return slot
            self._call_limit.release()
            slot.release()
            self._queue(access)

    def _check_not_hung(self, queue: HostQueue, access: HostAccess) -> None:
        if len(queue.abandoned) < self._max_hung_calls:
            return
        oldest = min(queue.abandoned, key=lambda call: call.started_at)
        age_s = asyncio.get_running_loop().time() - oldest.started_at
        since = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="seconds")
        raise HostHung(
            f"Host {access.address} is hung: {len(queue.abandoned)} calls have not returned, the "
            f"oldest ({oldest.what}) since {since}. The rack calls it again when one of them returns.",
            calls=len(queue.abandoned),
            since=since,
        )

    def _start(self, queue: HostQueue, slot: Slot, call: Call, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        context = copy_context()

        def in_thread() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(work, call.connection)
            except BaseException as raised:  # noqa: BLE001  # re-raised to the caller
                error = raised
            if not loop.is_closed():  # otherwise the process is ending
                loop.call_soon_threadsafe(self._finish, queue, slot, call, outcome, result, error)

        try:
            threading.Thread(target=in_thread, name=f"host-{call.what}", daemon=True).start()
        except RuntimeError as error:
            slot.release()
            self._call_limit.release()
            raise Busy(f"The rack cannot start another thread: {error}") from error
        slot.running = call
        self._running[call] = outcome
        return outcome

    def _finish(
        self,
        queue: HostQueue,
        slot: Slot,
        call: Call,
        outcome: asyncio.Future[Any],
        result: Any,
        error: BaseException | None,
    ) -> None:
        del self._running[call]
        call.finished.set()
        if call.abandoned:
            queue.abandoned.discard(call)
            log.info("abandoned_call_finished", call=call.what, took_s=round(self._age_s(call), 1))
        else:
            slot.release()
            self._call_limit.release()
        if call.abandoned or call.close_when_finished:
            close_in_thread(call.connection)
        self._remove_if_idle(queue)
        if outcome.done():
            return
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    def _abandon(self, queue: HostQueue, slot: Slot, call: Call, access: HostAccess) -> None:
        if call.finished.is_set() or call.abandoned:
            return
        call.abandoned = True
        queue.abandoned.add(call)
        if slot.connection is call.connection:
            slot.replace_connection()
        slot.release()
        self._call_limit.release()
        log.warning("call_abandoned", host_id=access.host_id, call=call.what, abandoned=len(queue.abandoned))
        outcome = self._running[call]
        if not outcome.done():
            outcome.set_exception(
                DeadlineExceeded(
                    f"Host {access.address} did not finish {call.what} within "
                    f"{self._age_s(call):.1f} s. It may still finish."
                )
            )

    def _age_s(self, call: Call) -> float:
        return asyncio.get_running_loop().time() - call.started_at

    def _remove_if_idle(self, queue: HostQueue) -> None:
        if queue.is_closing and queue.is_idle:
            for slot in queue.slots():  # a call that was queued when the host was disconnected has connected again
                slot.reset()
            self._queues = {host_id: one for host_id, one in self._queues.items() if one is not queue}


def _span(access: HostAccess, what: str) -> AbstractContextManager[object]:
    """The part of the trace that waits for the host and its driver. `what` is one of the fixed names of calls."""
    facts = {"innkeeper.driver": access.driver.value, "innkeeper.host_id": access.host_id, "innkeeper.call": what}
    return below_current(f"{access.driver.value}: {what}", Kind.CLIENT, facts)


def _join(threads: Iterable[threading.Thread], grace_s: float) -> None:
    ends_at = time.monotonic() + grace_s
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
