"""Excludes older calls on a machine from all racks that may still run one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from common.errors import Busy, DeadlineExceeded, InnkeeperError, RackUnreachable, StaleAttempt
from common.rpc.commands.host_commands import HOST_FENCE, MAX_CALL_S, Fence, FenceCall
from common.rpc.link import Link
from common.rpc.session import IDLE_TIMEOUT_S
from common.words.phrases import first_of
from regiond.racks.reach_model import AwaitedRack, RackCandidate, WaitLimits

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

# Added to the idle timeout of links; as long as a lease. By then a region has cancelled an attempt whose lease it lost,
# and a rack has ended a link that its region had lost before, with the calls that were queued on it.
LOST_RACK_MARGIN_S = 15.0
_RACKS_NAMED = 5
ASK_DEADLINE_S = 5.0  # for one question: a rack that does not answer in time is named, not waited for


class SeenRacks(Protocol):
    async def racks_to_wait_for(
        self, host_id: int, waits: WaitLimits, *, ended: Collection[UUID], running: Collection[UUID]
    ) -> Sequence[AwaitedRack]:
        """See `RackReach`."""

    async def racks_that_may_have_called(
        self, host_id: int, *, since: datetime, until: datetime | None, ended: Collection[UUID]
    ) -> Sequence[str]:
        """See `RackReach`."""


async def exclude_older_calls(
    asked: Sequence[tuple[RackCandidate, Link]],
    seen: SeenRacks,
    host_id: int,
    fence: Fence,
    *,
    since: datetime,
    link_idle_timeout_s: float,
) -> tuple[str, ...]:
    """Returns when no rack runs a call of an older attempt on the machine; racks reject older calls that arrive later.

    Raises Busy while a rack that has a link to this process runs one, at most MAX_CALL_S after `since`; returns
    the names of the racks that still do then. Raises RackUnreachable while another rack may run one, at most
    LOST_RACK_MARGIN_S longer than the idle timeout of its links after `since`. Raises StaleAttempt after a newer
    attempt. `link_idle_timeout_s` is the timeout of this region.
    """
    call = FenceCall(fence=fence)
    deadline_s = link_idle_timeout_s + LOST_RACK_MARGIN_S
    errors = await asyncio.gather(*(_ask(rack.name, link, call, deadline_s=deadline_s) for rack, link in asked))
    answers = {rack.rack_id: error for (rack, _), error in zip(asked, errors, strict=True)}
    ended = [rack_id for rack_id, error in answers.items() if error is None]
    # Any other error, such as a lost link, says nothing about calls.
    running = [rack_id for rack_id, error in answers.items() if isinstance(error, DeadlineExceeded)]
    waits = WaitLimits(
        since=since, running_s=MAX_CALL_S, lost_margin_s=LOST_RACK_MARGIN_S,
        idle_timeout_s=max(link_idle_timeout_s, IDLE_TIMEOUT_S),
    )  # fmt: skip
    found = await seen.racks_to_wait_for(host_id, waits, ended=ended, running=running)
    if still := [rack.name for rack in found if rack.rack_id in running]:
        raise Busy(f"An earlier command to the machine still runs in rack {first_of(still, _RACKS_NAMED)}.")
    if found:
        names = first_of([rack.name for rack in found], _RACKS_NAMED)
        lost_s = max(rack.lost_s for rack in found)
        raise RackUnreachable(
            f"An earlier command to the machine may still run in rack {names}, which this region cannot ask. It is "
            f"waited for at most {lost_s:.0f} s.",
            host=host_id,
        )
    return tuple(rack.name for rack, _ in asked if rack.rack_id in running)


async def racks_with_older_calls(
    asked: Sequence[tuple[RackCandidate, Link]],
    seen: SeenRacks,
    host_id: int,
    fence: Fence,
    *,
    since: datetime,
    until: datetime | None = None,
) -> tuple[str, ...]:
    """Returns the names of the racks that may still run a call of an older attempt, which began after `since`.

    Such a rack had a link after `since` and does not answer that it runs none: its process may be frozen, for any
    time. After `until` no rack is named. Racks that answer reject older calls from now on. Raises StaleAttempt after a
    newer attempt.
    """
    call = FenceCall(fence=fence)
    errors = await asyncio.gather(*(_ask(rack.name, link, call, deadline_s=ASK_DEADLINE_S) for rack, link in asked))
    ended = [rack.rack_id for (rack, _), error in zip(asked, errors, strict=True) if error is None]
    return tuple(await seen.racks_that_may_have_called(host_id, since=since, until=until, ended=ended))


async def _ask(rack: str, link: Link, call: FenceCall, *, deadline_s: float) -> InnkeeperError | None:
    """Returns None if the rack has ended all older calls, otherwise the error of the question.

    The deadline is longer than the idle timeout of links: a rack that responds to nothing loses its link first.
    """
    try:
        await link.call(HOST_FENCE, call, deadline_s=deadline_s)
    except StaleAttempt:
        raise
    except InnkeeperError as error:
        log.info("older_calls_not_ended", rack=rack, machine_id=call.fence.machine_id, code=error.code)
        return error
    return None
