"""The activities of a controlled region: each stops at its next call to a host until the schedule continues it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID

from attrs import define, field

from common.errors import InnkeeperError, InternalError
from regiond.operations.handler import LeaseLost
from tests.faults.schedules.scheduled_racks import CURRENT, Activity, Call

STUCK_DEADLINE_S = 60.0  # real time in which an activity must reach its next call or end
MAX_CALLS = 200  # of one activity; more count as an endless loop


@define(eq=False)
class Activities:
    """Those in `running` each wait for a call; `stale_calls` were lost by their callers and can still act on a host.

    `on_step` is called after each step of an activity, `on_end` before that if the activity has ended.
    """

    on_step: Callable[[], Awaitable[None]]
    on_end: Callable[[], Awaitable[None]]
    running: list[Activity] = field(factory=list)
    stale_calls: list[Call] = field(factory=list)
    changed_by_stale_calls: set[UUID] = field(factory=set)  # machines on whose guests a stale call acted
    changed: asyncio.Event = field(factory=asyncio.Event)  # set when a call begins to wait

    async def begin(self, name: str, work: Coroutine[Any, Any, None], **context: Any) -> Activity:
        """Runs until the first call to a host, or the end."""
        activity = Activity(name, **context)
        before = CURRENT.set(activity)
        activity.task = asyncio.create_task(work)
        CURRENT.reset(before)
        self.running.append(activity)
        await self._settled(activity)
        return activity

    async def act(self, activity: Activity) -> None:
        """The host acts; the answer is not delivered."""
        if activity.call is not None and activity.call.outcome is None:
            await self._go(activity.call, late=activity.frozen)

    async def answer(self, activity: Activity) -> None:
        """Delivers the answer; the host acts first, unless it has."""
        if activity.call is not None:
            await self.act(activity)
            activity.call.deliver()
        await self._settled(activity)

    async def lose(self, activity: Activity, *, late: bool) -> None:
        """Reports a lost link to the region. The call is dropped, or becomes a stale call if `late`."""
        self.leave_call(activity, late=late)
        if activity.call is not None:
            activity.call.lose()
        await self._settled(activity)

    async def finish(self, activity: Activity) -> None:
        """Delivers every answer until the activity ends."""
        for _ in range(MAX_CALLS):
            if activity not in self.running:
                return
            await self.answer(activity)
        raise AssertionError(f"{activity.name} made {MAX_CALLS} calls and did not end")

    async def stop(self, *activities: Activity) -> None:
        """Cancels the activities, whose calls are dropped."""
        for activity in activities:
            activity.task.cancel()
        await asyncio.gather(*(activity.task for activity in activities), return_exceptions=True)
        self.running = [one for one in self.running if one not in activities]

    async def run_stale_call(self, call: Call) -> None:
        """The host acts on a call whose caller has lost it."""
        self.stale_calls.remove(call)
        await self._go(call, late=True)

    async def _go(self, call: Call, *, late: bool) -> None:
        if late and call.machine is not None:
            self.changed_by_stale_calls.add(call.machine)
        await call.go()

    def leave_call(self, activity: Activity, *, late: bool) -> None:
        """Makes the activity's call a stale call if it is `late` and has not acted; otherwise it is dropped."""
        call = activity.call
        if late and call is not None and call.outcome is None and call.changes_host:
            self.stale_calls.append(call)

    async def _settled(self, activity: Activity) -> None:
        """Waits until the activity waits for its next call, or has ended."""
        while not activity.task.done() and not activity.waits:
            self.changed.clear()
            changed = asyncio.ensure_future(self.changed.wait())
            ended, _ = await asyncio.wait(
                {activity.task, changed}, timeout=STUCK_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED
            )
            changed.cancel()
            if not ended:
                raise AssertionError(f"{activity.name} made no progress within {STUCK_DEADLINE_S:.0f} s")
        if activity.task.done():
            self.running.remove(activity)
            _check_end(activity)
            await self.on_end()
        await self.on_step()


def _check_end(activity: Activity) -> None:
    """Raises errors that are bugs; errors of hosts and a lease that was lost are expected."""
    if activity.task.cancelled():
        raise AssertionError(f"{activity.name} was cancelled unexpectedly")
    error = activity.task.exception()
    if isinstance(error, LeaseLost) and activity.frozen:
        return
    if isinstance(error, InnkeeperError) and not isinstance(error, InternalError) and activity.operation_id is None:
        return
    if error is not None:
        raise error
