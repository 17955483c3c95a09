"""Calls hosts through the connected racks that reach them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

import structlog
from attrs import evolve, frozen

from common.discovery import Discovery
from common.errors import (
    Busy,
    DatabaseUnavailable,
    HostHung,
    HostUnreachable,
    InnkeeperError,
    NotTrusted,
    RackUnreachable,
    ResponseRejected,
    UnsupportedByPeer,
)
from common.rpc.commands import (
    HOST_DISCONNECT,
    HOST_IDENTIFY,
    HOST_REACH,
    NOTHING_BEGAN,
    Command,
    DisconnectCall,
    HostCall,
)
from common.rpc.link import Link
from common.values import HostAccess, HostFacts, PeerIdentity
from regiond.racks.access_guard import HostRequest, NotServed, greet, without_secrets
from regiond.racks.discovery_parts import gather_discovery
from regiond.racks.live_links import LiveLinks
from regiond.racks.reach_model import DisconnectedRack, RackCandidate, RecordedReach
from regiond.racks.response_validation import response_problem
from regiond.racks.slow_calls import PROBE_DEADLINE_S, SLOW_AFTER_S, SlowCalls
from regiond.racks.unreachable import ZoneCoverage, unreachable_message

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DISCONNECT_DEADLINE_S = 5.0
MAX_ADDRESSES_AT_ONCE = 1024  # of one host

Q = TypeVar("Q", bound=HostRequest)
R = TypeVar("R")

# The rack did not reach the host, or its response was rejected: another rack may succeed.
_NEXT_RACK = (HostUnreachable, HostHung, UnsupportedByPeer, ResponseRejected)


@frozen(kw_only=True)
class FoundServer:
    """What was found at an address. `identity` is None if nothing is presented there that could be pinned."""

    identity: PeerIdentity | None
    facts: HostFacts


class Reach(Protocol):
    """Which racks reach which hosts, by their last attempts."""

    async def racks_for(self, host_id: int) -> Sequence[RackCandidate]:
        """Returns connected racks, best first: see `reach_model.sort_candidates`."""

    async def disconnected_racks(self, host_id: int) -> Sequence[DisconnectedRack]:
        """Returns racks whose last attempt reached the host and that have no link now."""

    async def zone_coverage(self, host_id: int) -> ZoneCoverage | None:
        """Returns which racks serve the zone of the host; None if the host is gone."""

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> RecordedReach:
        """Records the result of an attempt. Writes only changes."""

    async def record_rejection(self, rack_id: str, host_id: int, why: str) -> None:
        """Records that a response of the rack was rejected."""


class Guard(Protocol):
    """Decides before each call whether the rack may receive what the request contains."""

    async def admit(self, rack_id: UUID, link: Link, host_id: int, request: HostRequest) -> None:
        """Raises NotServed, or the error of the first contact."""

    async def holds(self, rack_id: UUID, host_id: int, request: HostRequest) -> bool:
        """Whether the rack has every credential in the request."""


class LostHosts(Protocol):
    """Receives what calls reveal about a host, apart from discovery, whose caller applies the result itself."""

    async def call_failed(self, host_id: int, error: InnkeeperError, *, began_at: float) -> None:
        """No connected rack reached the host in a call that began at `began_at` of `time.monotonic`."""

    async def request_refresh(self, host_id: int) -> None:
        """The host's state is in doubt."""


class HostCalls:
    """One per region. `access_of` reads the address and the secrets of a host, before each call."""

    def __init__(
        self,
        links: LiveLinks,
        reach: Reach,
        guard: Guard,
        access_of: Callable[[int], Awaitable[HostAccess]],
        lost_hosts: LostHosts,
        *,
        slow_after_s: float = SLOW_AFTER_S,
        probe_deadline_s: float = PROBE_DEADLINE_S,
    ) -> None:
        self._links = links
        self._reach = reach
        self._guard = guard
        self._access_of = access_of
        self._lost_hosts = lost_hosts
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
        if not await self._connected(host_id):
            raise await self._unreached(host_id, {})

    async def call(
        self, host_id: int, command: Command[Q, R], request_of: Callable[[HostAccess], Q], *, deadline_s: float
    ) -> R:
        """Returns the host's response, through the first rack that reaches it.

        Raises RackUnreachable without a call; HostUnreachable if no rack reached the host; ResponseRejected if no rack
        gave a plausible response; other errors of driver and link unchanged. After LinkLost or DeadlineExceeded
        the outcome is unknown.
        """

        async def call(rack_id: UUID, link: Link, access: HostAccess) -> R:
            request = request_of(access)
            await self._guard.admit(rack_id, link, host_id, request)
            response = await link.call(command, request, deadline_s=deadline_s)
            if (problem := response_problem(request, response)) is not None:
                raise ResponseRejected(
                    f"{link.peer} sent an implausible response to {command.name} on VM host {host_id}: {problem}."
                )
            return response

        began_at = time.monotonic()
        try:
            return await self._through_racks(host_id, call, refreshes=True)
        except (HostUnreachable, HostHung) as error:
            await self._report_failure(host_id, error, began_at)
            raise

    async def discover(self, host_id: int, *, deadline_s: float) -> Discovery:
        """Runs discovery on the host. Raises what `call` raises. The caller applies the result or records the error."""

        async def call(rack_id: UUID, link: Link, access: HostAccess) -> Discovery:
            await self._guard.admit(rack_id, link, host_id, HostCall(access=access))
            return await gather_discovery(link, access, deadline_s)

        return await self._through_racks(host_id, call, refreshes=False)

    async def discover_at(
        self,
        host_id: int,
        moved: Callable[[HostAccess], HostAccess],
        *,
        check_identity: Callable[[PeerIdentity], None] | None,
        deadline_s: float,
    ) -> FoundServer:
        """Reads the server at another address of the host, through the first rack that reaches it, and disconnects.

        `moved` changes the access, also its id: nothing is recorded about the host. `check_identity` receives what the
        server presents and raises before anything else is sent to it; None if nothing is presented there. Raises what
        `call` raises.
        """
        failed: dict[str, InnkeeperError] = {}
        for rack, link in await self._connected(host_id):
            access = moved(await self._access_of(host_id))
            try:
                identity = None
                if check_identity is not None:
                    identity = await self._identified(link, access, deadline_s)
                    check_identity(identity)
                    access = evolve(access, pinned=identity.material)
                await self._guard.admit(rack.rack_id, link, host_id, HostCall(access=access))
                found = await gather_discovery(link, access, deadline_s)
                return FoundServer(identity=identity, facts=found.facts)
            except NotServed:
                continue
            except _NEXT_RACK as error:
                failed[rack.name] = error
            finally:
                await self._disconnect_from(link, access.host_id)
        raise await self._unreached(host_id, failed) if not failed else _representative(failed.values())

    async def identify_at(self, host_id: int, address: str, number: int, *, deadline_s: float) -> PeerIdentity:
        """Returns what a server at another address presents, through the first rack of this host that reaches it.

        No credentials are sent to the rack or the server. `number` distinguishes addresses that are read at once.
        Raises what `call` raises; nothing is recorded about the host.
        """
        failed: dict[str, InnkeeperError] = {}
        for rack, link in await self._connected(host_id):
            known = await self._access_of(host_id)
            own_id = -(host_id * MAX_ADDRESSES_AT_ONCE + number % MAX_ADDRESSES_AT_ONCE)  # a queue of its own
            access = evolve(known, host_id=own_id, address=address, member=None, pinned=None, credentials={})
            try:
                return await self._identified(link, access, deadline_s)
            except _NEXT_RACK as error:
                failed[rack.name] = error
            finally:
                await self._disconnect_from(link, own_id)
        raise await self._unreached(host_id, failed) if not failed else _representative(failed.values())

    async def disconnect(self, host_id: int) -> None:
        """Has every linked rack close its connection to the host and delete the credentials.

        A rack that does not respond loses both when it restarts or its link ends.
        """
        self._succeeded_at.pop(host_id, None)
        for link in self._links.open.values():
            await self._disconnect_from(link, host_id)

    @staticmethod
    async def _identified(link: Link, access: HostAccess, deadline_s: float) -> PeerIdentity:
        """Greets the host without its secrets."""
        request = HostCall(access=without_secrets(access))
        presented = await link.call(HOST_IDENTIFY, request, deadline_s=deadline_s)
        if (problem := response_problem(request, presented)) is not None:
            raise ResponseRejected(f"{link.peer} sent an implausible identity of {access.address}: {problem}.")
        return presented

    async def disconnect_rack(self, rack_id: UUID, host_id: int) -> bool:
        """As `disconnect`, for one rack. Returns whether it confirmed that."""
        link = self._links.get(rack_id)
        return link is not None and await self._disconnect_from(link, host_id)

    async def _disconnect_from(self, link: Link, host_id: int) -> bool:
        try:
            await link.call(HOST_DISCONNECT, DisconnectCall(host_id=host_id), deadline_s=DISCONNECT_DEADLINE_S)
        except InnkeeperError as error:
            log.warning("host_not_disconnected", host=host_id, rack=link.peer.name, code=error.code)
            return False
        return True

    async def check_reach(self, rack_id: UUID, host_id: int, *, deadline_s: float) -> None:
        """Has this rack connect to the host and records whether it reached it. Raises the error of the attempt.

        The rack receives no credentials: of a host that has any, it reads what the host presents before a login.
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
        """A host that another call has reached since is only refreshed: whether it failed before or after is unknown.

        Never raises an error of the database: the host's error is the one to report.
        """
        try:
            if self._succeeded_at.get(host_id, began_at) > began_at:
                await self._lost_hosts.request_refresh(host_id)
            else:
                await self._lost_hosts.call_failed(host_id, error, began_at=began_at)
        except (DatabaseUnavailable, Busy) as unrecorded:
            log.warning("host_failure_not_recorded", host=host_id, code=error.code, reason=unrecorded.message)

    async def _through_racks(
        self, host_id: int, call: Callable[[UUID, Link, HostAccess], Awaitable[R]], *, refreshes: bool
    ) -> R:
        """Reads the connected racks again after each failure: an attempt can take long, and a rack may reconnect.

        With `refreshes`, a success requests a refresh of a host whose state says that no rack reaches it.
        """
        failed: dict[str, InnkeeperError] = {}
        tried: set[UUID] = set()
        while untried := [found for found in await self._connected(host_id) if found[0].rack_id not in tried]:
            rack, link = untried[0]
            tried.add(rack.rack_id)
            try:
                return await self._call_through(rack.rack_id, link, host_id, call, refreshes=refreshes)
            except NotServed:
                continue
            except _NEXT_RACK as error:
                failed[rack.name] = error
            except InnkeeperError as error:
                _with_began(error, [*failed.values(), error])
                raise
        raise _with_began(await self._unreached(host_id, failed), [*failed.values()])

    async def _call_through(
        self,
        rack_id: UUID,
        link: Link,
        host_id: int,
        call: Callable[[UUID, Link, HostAccess], Awaitable[R]],
        *,
        refreshes: bool,
    ) -> R:
        try:
            async with self._slow_calls.watching(link, host_id):
                response = await self._call_with_fresh_access(rack_id, link, host_id, call)
        except _NEXT_RACK as error:
            if isinstance(error, ResponseRejected):
                await self._reach.record_rejection(str(rack_id), host_id, error.message)
            await self._reach.record_reach(str(rack_id), host_id, error)
            raise
        self._succeeded_at[host_id] = time.monotonic()
        try:
            recorded = await self._reach.record_reach(str(rack_id), host_id)
            if recorded.host_lost and refreshes:
                await self._lost_hosts.request_refresh(host_id)
        except DatabaseUnavailable as error:  # the host's response is valid all the same
            log.info("reach_not_recorded", host=host_id, reason=error.message)
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

    async def _connected(self, host_id: int) -> list[tuple[RackCandidate, Link]]:
        """Racks with a link to this process, in the order to try them."""
        racks, links = await self._reach.racks_for(host_id), self._links.open
        return [(rack, links[rack.rack_id]) for rack in racks if rack.rack_id in links]

    async def _unreached(self, host_id: int, failed: Mapping[str, InnkeeperError]) -> InnkeeperError:
        """A disconnected rack that reached the host is the likely reason, whatever error other racks met."""
        disconnected = await self._reach.disconnected_racks(host_id)
        if failed and (not disconnected or any(isinstance(error, HostHung) for error in failed.values())):
            return _representative(failed.values())
        messages = {name: error.message for name, error in failed.items()}
        coverage = await self._reach.zone_coverage(host_id)
        text = unreachable_message(host_id, len(self._links.open), disconnected, messages, coverage)
        return HostUnreachable(text, host=host_id) if failed else RackUnreachable(text, host=host_id)


def nothing_began(error: InnkeeperError) -> bool:
    """Whether a failed call with `check_reach` certainly changed nothing on the host."""
    return isinstance(error, RackUnreachable | UnsupportedByPeer) or error.details.get(NOTHING_BEGAN) is True


def _with_began(error: InnkeeperError, calls: Sequence[InnkeeperError]) -> InnkeeperError:
    """Returns `error`, which represents the failed `calls`: `NOTHING_BEGAN` must be true of all of them."""
    if any(NOTHING_BEGAN in one.details for one in calls):
        error.details[NOTHING_BEGAN] = all(nothing_began(one) for one in calls)
    return error


def _representative(failed: Iterable[InnkeeperError]) -> InnkeeperError:
    """Prefers the last HostUnreachable to errors of racks that lack the driver."""
    errors = list(failed)
    return next((error for error in reversed(errors) if isinstance(error, HostUnreachable)), errors[0])
