"""Calls hosts through the connected racks that reach them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from common.errors import (
    Busy,
    DatabaseUnavailable,
    DeadlineExceeded,
    HostHung,
    HostUnreachable,
    InnkeeperError,
    LinkLost,
    NotTrusted,
    RackUnreachable,
    ResponseRejected,
    UnsupportedByPeer,
)
from common.hosts.discovery import Discovery
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import HOST_REACH, NOTHING_BEGAN, Fence, HostCall
from common.rpc.link import Link
from common.rpc.session import IDLE_TIMEOUT_S
from common.values import HostAccess
from common.words.hidden_text import hidden
from regiond.racks.calls.access_guard import AccessGuard, HostRequest, NotServed, greet
from regiond.racks.calls.connected_racks import NEXT_RACK, ConnectedRacks, KnownReach, disconnect, lacks_command
from regiond.racks.calls.discovery_parts import gather_discovery
from regiond.racks.calls.host_stream import HostStream
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.calls.older_calls import SeenRacks, exclude_older_calls, racks_with_older_calls
from regiond.racks.calls.response_validation import response_problem
from regiond.racks.calls.slow_calls import PROBE_DEADLINE_S, SLOW_AFTER_S, SlowCalls
from regiond.racks.reach_model import RackCandidate, RecordedReach

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

KNOWN_FOR_S = 5.0  # what was known of the reach before a call is known after one that took no longer

_UPGRADE_RACK = "apt-get install ./innkeeper_*.deb ./innkeeper-rack_*.deb"

Q = TypeVar("Q", bound=HostRequest)
R = TypeVar("R")


class Reach(KnownReach, SeenRacks, Protocol):
    """The recorded reach of racks, which also receives the result of each attempt."""

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> RecordedReach:
        """Records the result of an attempt. Writes only changes."""

    async def record_rejection(self, rack_id: str, host_id: int, why: str) -> None:
        """Records that a response of the rack was rejected."""


class LostHosts(Protocol):
    """Receives what calls reveal about a host, apart from discovery, whose caller applies the result itself."""

    async def call_failed(self, host_id: int, error: InnkeeperError, *, began_at: float) -> None:
        """Handles a call in which no connected rack reached the host; it began at `began_at` of `time.monotonic`."""

    async def request_refresh(self, host_id: int) -> None:
        """Requests a refresh of a host whose state is in doubt."""


class HostCalls:
    """The calls of one region to hosts. `access_of` reads the address and the secrets of a host, before each call."""

    def __init__(
        self,
        links: LiveLinks,
        reach: Reach,
        guard: AccessGuard,
        access_of: Callable[[int], Awaitable[HostAccess]],
        lost_hosts: LostHosts,
        *,
        link_idle_timeout_s: float = IDLE_TIMEOUT_S,
        slow_after_s: float = SLOW_AFTER_S,
        probe_deadline_s: float = PROBE_DEADLINE_S,
    ) -> None:
        self._links = links
        self._reach = reach
        self._racks = ConnectedRacks(links, reach)
        self._guard = guard
        self._access_of = access_of
        self._lost_hosts = lost_hosts
        self._link_idle_timeout_s = link_idle_timeout_s
        self._succeeded_at: dict[int, float] = {}  # the last success of each host, on the clock of `time.monotonic`
        self._slow_calls = SlowCalls(
            access_of,
            lambda link, host_id, request: guard.holds(UUID(link.peer.id), host_id, request),
            self._succeeded_at.get,
            self._report_failure,
            slow_after_s=slow_after_s,
            probe_deadline_s=probe_deadline_s,
        )

    @property
    def racks(self) -> tuple[UUID, ...]:
        """The racks with a link to this process."""
        return tuple(self._links.open)

    async def require(self, host_id: int) -> None:
        """Raises RackUnreachable if no rack that may reach the host has a link to this process."""
        if not await self._racks.of(host_id):
            raise await self._racks.unreached(host_id, {})

    async def call(
        self,
        host_id: int,
        command: Command[Q, R],
        request_of: Callable[[HostAccess], Q],
        *,
        deadline_s: float | None = None,
    ) -> R:
        """Returns the host's response, through the first rack that reaches it. Without `deadline_s`, the command's own.

        Raises RackUnreachable without a call; HostUnreachable if no rack reached the host; ResponseRejected if no rack
        gave a plausible response; other errors of driver and link unchanged. After LinkLost or DeadlineExceeded
        the outcome is unknown.
        """

        within_s = command.deadline_s if deadline_s is None else deadline_s

        async def call(rack_id: UUID, link: Link, access: HostAccess) -> R:
            request = request_of(access)
            await self._guard.admit(rack_id, link, host_id, request)
            response = await link.call(command, request, deadline_s=within_s)
            if (problem := response_problem(request, response)) is not None:
                host = await self._racks.host_text(host_id)
                raise ResponseRejected(
                    f"{link.peer} sent an implausible response to {command.name} on {host}: {hidden(problem)}."
                )
            return response

        began_at = time.monotonic()
        try:
            return await self._through_racks(host_id, call, refreshes=True)
        except (HostUnreachable, HostHung) as error:
            await self._report_failure(host_id, error, began_at)
            raise

    async def exclude_older(self, host_id: int, fence: Fence, *, since: datetime) -> tuple[str, ...]:
        """Runs `exclude_older_calls` for the host. Raises RackUnreachable if no rack that may reach it has a link."""
        asked = await self._racks.of(host_id)
        if not asked:
            raise await self._racks.unreached(host_id, {})
        return await exclude_older_calls(
            asked, self._reach, host_id, fence, since=since, link_idle_timeout_s=self._link_idle_timeout_s
        )

    async def racks_with_older_calls(
        self, host_id: int, fence: Fence, *, since: datetime, until: datetime | None = None
    ) -> tuple[str, ...]:
        """Runs `older_calls.racks_with_older_calls` for the host. Needs no link to a rack."""
        asked = await self._racks.of(host_id)
        return await racks_with_older_calls(asked, self._reach, host_id, fence, since=since, until=until)

    async def discover(self, host_id: int, *, deadline_s: float) -> Discovery:
        """Runs discovery on the host. Raises what `call` raises. The caller applies the result or records the error."""

        async def call(rack_id: UUID, link: Link, access: HostAccess) -> Discovery:
            await self._guard.admit(rack_id, link, host_id, HostCall(access=access))
            discovery = await gather_discovery(link, access, deadline_s)
            if discovery is None:
                host = await self._racks.host_text(host_id)
                raise ResponseRejected(f"{link.peer} ended its discovery of {host} before the last part.")
            return discovery

        return await self._through_racks(host_id, call, refreshes=False)

    async def open_stream(
        self,
        host_id: int,
        command: Command[Q, R],
        request_of: Callable[[HostAccess], Q],
        *,
        opens_within_s: float,
        deadline_s: float,
    ) -> HostStream[R]:
        """Returns a stream when its first item has arrived, which means that it is open. The caller closes it.

        Raises what `call` raises.
        """

        async def call(rack_id: UUID, link: Link, access: HostAccess) -> HostStream[R]:
            request = request_of(access)
            await self._guard.admit(rack_id, link, host_id, request)
            items = link.stream(command, request, deadline_s=deadline_s)
            try:
                async with asyncio.timeout(opens_within_s):
                    await anext(items)
            except BaseException as error:
                await items.aclose()
                if isinstance(error, TimeoutError):
                    raise DeadlineExceeded(f"The host did not open {command.name} in time.") from error
                raise
            return HostStream(items, link)

        return await self._through_racks(host_id, call, refreshes=False)

    async def disconnect(self, host_id: int) -> None:
        """Has every linked rack close its connection to the host and delete the credentials.

        A rack that does not respond loses both when it restarts or its link ends.
        """
        self._succeeded_at.pop(host_id, None)
        await asyncio.gather(*(disconnect(link, host_id) for link in self._links.open.values()))

    async def disconnect_rack(self, rack_id: UUID, host_id: int) -> bool:
        """As `disconnect`, for one rack. Returns whether it confirmed that."""
        link = self._links.get(rack_id)
        return link is not None and await disconnect(link, host_id)

    async def check_reach(self, rack_id: UUID, host_id: int, *, deadline_s: float) -> None:
        """Has this rack connect to the host and records whether it reached it. Raises the error of the attempt.

        The rack receives no credentials. If the host has any, the rack reads what the host presents before a login.
        """
        link = self._links.get(rack_id)
        if link is None:
            return

        async def call(_: UUID, used: Link, access: HostAccess) -> None:
            if access.credentials:
                await greet(used, access)
            else:
                await used.call(HOST_REACH, HostCall(access=access), deadline_s=deadline_s)

        await self._call_through(rack_id, link, host_id, call, refreshes=True)

    async def _report_failure(self, host_id: int, error: InnkeeperError, began_at: float) -> None:
        """Reports the failed call to `lost_hosts`, or requests a refresh if another call reached the host meanwhile.

        In the second case the order of failure and success is unknown. Never raises an error of the database: the
        host's error is the one to report.
        """
        try:
            if self._succeeded_at.get(host_id, began_at) > began_at:
                await self._lost_hosts.request_refresh(host_id)
            else:
                await self._lost_hosts.call_failed(host_id, error, began_at=began_at)
        except (DatabaseUnavailable, Busy) as unrecorded:
            log.warning("host_failure_not_recorded", host_id=host_id, code=error.code, reason=unrecorded.message)

    async def _through_racks(
        self, host_id: int, call: Callable[[UUID, Link, HostAccess], Awaitable[R]], *, refreshes: bool
    ) -> R:
        """Returns the response of the first rack that reaches the host.

        Reads the connected racks again after each failure: an attempt can take long, and a rack may reconnect.

        With `refreshes`, a success requests a refresh of a host whose state says that no rack reaches it.
        """
        failed: dict[str, InnkeeperError] = {}
        tried: set[UUID] = set()
        while True:
            untried = await self._untried(host_id, tried)
            if not untried:
                error = await self._racks.unreached(host_id, failed)
                # A rack that connected between these two reads is in neither of them.
                untried = await self._untried(host_id, tried)
                if not untried:
                    raise _with_began(error, [*failed.values()])
            rack, link = untried[0]
            tried.add(rack.rack_id)
            try:
                return await self._call_through(rack.rack_id, link, host_id, call, refreshes=refreshes, known=rack)
            except NotServed:
                continue
            except NEXT_RACK as error:
                failed[rack.name] = error
            except InnkeeperError as error:
                _with_began(error, [*failed.values(), error])
                raise

    async def _untried(self, host_id: int, tried: Collection[UUID]) -> list[tuple[RackCandidate, Link]]:
        return [found for found in await self._racks.of(host_id) if found[0].rack_id not in tried]

    async def _call_through(
        self,
        rack_id: UUID,
        link: Link,
        host_id: int,
        call: Callable[[UUID, Link, HostAccess], Awaitable[R]],
        *,
        refreshes: bool,
        known: RackCandidate | None = None,
    ) -> R:
        began_at = time.monotonic()
        try:
            async with self._slow_calls.watching(link, host_id):
                response = await self._call_with_fresh_access(rack_id, link, host_id, call)
        except LinkLost as error:
            raise type(error)(f"The link to {link.peer} was lost: {error.message}", **error.details) from error
        except NEXT_RACK as error:
            if lacks_command(error):  # which says nothing about the host
                raise UnsupportedByPeer(
                    f"{link.peer} is of an older release, which does not have the command {error.details['method']}. "
                    f"Upgrade it: {_UPGRADE_RACK}",
                    **error.details,
                ) from error
            if isinstance(error, ResponseRejected):
                await self._reach.record_rejection(str(rack_id), host_id, error.message)
            await self._reach.record_reach(str(rack_id), host_id, error)
            raise
        ended_at = self._succeeded_at[host_id] = time.monotonic()
        if known is not None and known.reaches and not known.host_lost and ended_at - began_at < KNOWN_FOR_S:
            return response
        try:
            recorded = await self._reach.record_reach(str(rack_id), host_id)
            if recorded.host_lost and refreshes:
                await self._lost_hosts.request_refresh(host_id)
        except DatabaseUnavailable as error:  # the host's response is valid all the same
            log.info("reach_not_recorded", host_id=host_id, reason=error.message)
        return response

    async def _call_with_fresh_access(
        self, rack_id: UUID, link: Link, host_id: int, call: Callable[[UUID, Link, HostAccess], Awaitable[R]]
    ) -> R:
        """Repeats the call if the credentials were rotated since they were read: a call can wait long in the rack."""
        access = await self._access_of(host_id)
        while True:
            try:
                return await call(rack_id, link, access)
            except NotTrusted:
                fresh = await self._access_of(host_id)
                if fresh.credentials == access.credentials:
                    raise
                access = fresh


def nothing_began(error: InnkeeperError) -> bool:
    """Returns whether a failed call with `check_reach` certainly changed nothing on the host."""
    return isinstance(error, RackUnreachable | UnsupportedByPeer) or error.details.get(NOTHING_BEGAN) is True


def _with_began(error: InnkeeperError, calls: Sequence[InnkeeperError]) -> InnkeeperError:
    """Returns `error`, which represents the failed `calls`; its `NOTHING_BEGAN` is True only if all of them have it."""
    if any(NOTHING_BEGAN in one.details for one in calls):
        error.details[NOTHING_BEGAN] = all(nothing_began(one) for one in calls)
    return error
