"""Runs the calls to the hosts, which block, in threads; whatever a host does, the event loop and other hosts go on.

Each host has a lane (`rackd/lanes.py`). A call that is not back at its deadline is given up: its caller hears
DeadlineExceeded, its thread and connection are left to themselves, and the lane goes on with a new connection. A host
with `hung_after` such threads is hung: calls fail at once until one of the threads comes back. So a host costs at most
`hung_after` threads for nothing, and seven for work.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog

from common.errors import Busy, Cancelled, DeadlineExceeded, HostHung
from common.values import HostAccess
from rackd.drivers.contract import Driver
from rackd.lanes import Call, Connection, Lane, Line, OpenDriver, Track, close_apart

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")


class Executor:
    """Made and used in the event loop's thread.

    `max_calls` limits the calls under way on all hosts together (given-up ones not counted). `linger_s` is how long a
    call that was cancelled may still take until it is given up.
    """

    def __init__(
        self, open_driver: OpenDriver, *, max_calls: int = 200, hung_after: int = 3, linger_s: float = 5.0
    ) -> None:
        self._open_driver = open_driver
        self._hung_after = hung_after
        self._linger_s = linger_s
        self._room = asyncio.Semaphore(max_calls)
        self._lanes: dict[int, Lane] = {}
        self._under_way: dict[Call, asyncio.Future[Any]] = {}
        self._stopped = False

    async def run(
        self,
        access: HostAccess,
        work: Callable[[Driver], T],
        *,
        what: str,
        deadline_s: float,
        track: Track = Track.ORDERED,
        machine_id: UUID | None = None,
    ) -> T:
        """What `work` returns or raises, given the host's driver in a thread; `what` names it in errors and logs.

        Raises DeadlineExceeded after `deadline_s`, waiting for its turn included, and HostHung at once. When this
        is cancelled or too late, `work` may still finish. Two calls with the same `machine_id` never run at once,
        not even when the first was given up.
        """

        def on_connection(connection: Connection) -> T:
            return connection.call(access, work)

        return await self._run(
            access, on_connection, what=what, deadline_s=deadline_s, track=track, machine_id=machine_id
        )

    async def run_apart(self, access: HostAccess, work: Callable[[], T], *, what: str, deadline_s: float) -> T:
        """As `run`, for a look at the host that needs no driver: what it presents before anybody trusts it."""
        return await self._run(
            access, lambda _: work(), what=what, deadline_s=deadline_s, track=Track.QUICK, machine_id=None
        )

    def forget(self, host_id: int) -> None:
        """Drop the host's connections and credentials; calls under way end first, their callers are not disturbed."""
        lane = self._lanes.get(host_id)
        if lane is not None:
            lane.forgotten = True
            for line in lane.lines():
                line.retire()
            self._tidy(lane)

    def drop(self, host_id: int, track: Track) -> None:
        """Drop the connections of one track, and with them what was watched on them."""
        if lane := self._lanes.get(host_id):
            for line in lane.lines(track):
                line.retire()

    def given_up(self, host_id: int) -> int:
        """How many threads of this host have not come back."""
        lane = self._lanes.get(host_id)
        return len(lane.given_up) if lane else 0

    async def stop(self, *, grace_s: float = 3.0) -> None:
        """Fail every call with Cancelled and close the connections, waiting `grace_s` at most: hung threads are left.

        They are daemon threads, so they end with the process. Harmless to repeat.
        """
        self._stopped = True
        for call, outcome in self._under_way.items():
            call.retired = True
            if not outcome.done():
                outcome.set_exception(Cancelled(f"{call.what}: the rack is stopping"))
                outcome.exception()  # seen, even when its caller is gone
        retired = [line.retire() for lane in self._lanes.values() for line in lane.lines()]
        self._lanes.clear()
        closing = [thread for thread in retired if thread is not None]
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(call.finished.wait()) for call in self._under_way]
        waits.append(asyncio.ensure_future(asyncio.to_thread(_join, closing, grace_s)))
        await asyncio.wait(waits, timeout=grace_s)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        if self._under_way:
            log.warning("calls_left_behind", calls=sorted(call.what for call in self._under_way))

    def _lane(self, access: HostAccess) -> Lane:
        if self._stopped:
            raise Cancelled("the rack is stopping")
        lane = self._lanes.setdefault(access.host_id, Lane(self._open_driver))
        lane.forgotten = False
        return lane

    async def _run(
        self,
        access: HostAccess,
        work: Callable[[Connection], T],
        *,
        what: str,
        deadline_s: float,
        track: Track,
        machine_id: UUID | None,
    ) -> T:
        loop = asyncio.get_running_loop()
        deadline_at = loop.time() + deadline_s
        lane = self._lane(access)
        try:
            async with asyncio.timeout_at(deadline_at):
                line = await self._turn(lane, access, track, machine_id)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"host {access.host_id} ({access.address}): {what} did not get its turn within {deadline_s:g} s; "
                f"earlier calls to this host were not done."
            ) from error
        call = Call(what=what, machine_id=machine_id, connection=line.connection, started_at=loop.time())
        outcome = self._start(lane, line, call, work)
        timer = loop.call_at(deadline_at, self._give_up, lane, line, call, access)
        try:
            return await outcome
        except asyncio.CancelledError:
            timer.cancel()
            last_at = min(deadline_at, loop.time() + self._linger_s)
            timer = loop.call_at(last_at, self._give_up, lane, line, call, access)
            raise
        finally:
            if call.finished.is_set():
                timer.cancel()

    async def _turn(self, lane: Lane, access: HostAccess, track: Track, machine_id: UUID | None) -> Line:
        """The line, held, with room for one more call in `_room`."""
        while True:
            self._refuse_hung(lane, access)
            if earlier := lane.acting_on(machine_id):
                await earlier.finished.wait()
                continue
            line = lane.line_for(track)
            await line.enter()
            try:
                await self._room.acquire()
            except BaseException:
                line.leave()
                raise
            if not self._stopped and not lane.acting_on(machine_id) and len(lane.given_up) < self._hung_after:
                return line
            self._room.release()
            line.leave()
            self._lane(access)

    def _refuse_hung(self, lane: Lane, access: HostAccess) -> None:
        if len(lane.given_up) < self._hung_after:
            return
        oldest = min(lane.given_up, key=lambda call: call.started_at)
        age_s = asyncio.get_running_loop().time() - oldest.started_at
        since = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="seconds")
        raise HostHung(
            f"host {access.host_id} ({access.address}) is hung: {len(lane.given_up)} calls have not come back, the "
            f"oldest ({oldest.what}) since {since}. It is tried again when one of them does.",
            calls=len(lane.given_up),
            since=since,
        )

    def _start(self, lane: Lane, line: Line, call: Call, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        context = copy_context()

        def in_thread() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(work, call.connection)
            except BaseException as raised:  # noqa: BLE001  # it is raised again where the call was made
                error = raised
            if not loop.is_closed():  # when it is, the process is ending and nobody waits
                loop.call_soon_threadsafe(self._finish, lane, line, call, outcome, result, error)

        try:
            threading.Thread(target=in_thread, name=f"host-{call.what}", daemon=True).start()
        except RuntimeError as error:
            line.leave()
            self._room.release()
            raise Busy(f"the rack cannot start one more thread: {error}") from error
        line.running = call
        self._under_way[call] = outcome
        return outcome

    def _finish(
        self,
        lane: Lane,
        line: Line,
        call: Call,
        outcome: asyncio.Future[Any],
        result: Any,
        error: BaseException | None,
    ) -> None:
        del self._under_way[call]
        call.finished.set()
        if call.given_up:
            lane.given_up.discard(call)
            log.info("given_up_call_came_back", call=call.what, took_s=round(self._age_s(call), 1))
        else:
            line.leave()
            self._room.release()
        if call.given_up or call.retired:
            close_apart(call.connection)
        self._tidy(lane)
        if outcome.done():
            return
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    def _give_up(self, lane: Lane, line: Line, call: Call, access: HostAccess) -> None:
        if call.finished.is_set() or call.given_up:
            return
        call.given_up = True
        lane.given_up.add(call)
        if line.connection is call.connection:
            line.replace_connection()
        line.leave()
        self._room.release()
        log.warning("call_given_up", host_id=access.host_id, call=call.what, given_up=len(lane.given_up))
        outcome = self._under_way[call]
        if not outcome.done():
            outcome.set_exception(
                DeadlineExceeded(
                    f"host {access.host_id} ({access.address}) did not finish {call.what} within "
                    f"{self._age_s(call):.1f} s; it may finish still."
                )
            )

    def _age_s(self, call: Call) -> float:
        return asyncio.get_running_loop().time() - call.started_at

    def _tidy(self, lane: Lane) -> None:
        if lane.forgotten and lane.is_idle:
            self._lanes = {host_id: one for host_id, one in self._lanes.items() if one is not lane}


def _join(threads: Iterable[threading.Thread], grace_s: float) -> None:
    ends_at = time.monotonic() + grace_s
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
