"""Calls to a host, through whichever connected rack reaches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from common.discovery import Discovery, MarkElsewhere, Problem, UnusedVolume
from common.errors import (
    AnswerRefused,
    DatabaseUnavailable,
    HostHung,
    HostUnreachable,
    InnkeeperError,
    NotKnownHere,
    NotTrusted,
    RackUnreachable,
)
from common.rpc.commands import HOST_DISCOVER, HOST_FORGET, HOST_REACH, Command, HostCall, HostIdCall, Reached
from common.rpc.link import Link
from common.values import Guest, HostAccess
from regiond.racks.answers import wrong_answer
from regiond.racks.links import LiveLinks
from regiond.racks.model import AwayRack, RackCandidate, unreached_text

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FORGET_DEADLINE_S = 5.0

Q = TypeVar("Q")
R = TypeVar("R")

# This rack did not get there, or told what cannot be; another one may do better.
_NEXT_RACK = (HostUnreachable, HostHung, NotKnownHere, AnswerRefused)


class Reach(Protocol):
    """Which racks reach which hosts, as far as was seen."""

    async def racks_for(self, host_id: int) -> Sequence[RackCandidate]:
        """Best first: those that reached it lately, those that never tried, those that failed longest ago."""

    async def away_from(self, host_id: int) -> Sequence[AwayRack]:
        """Racks that reached it when they last tried, and are connected to no region now."""

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> bool:
        """Writes only what is news."""

    async def refused(self, rack_id: str, host_id: int, why: str) -> None:
        """Keep that something a rack told was refused, for people to see."""


class HostCalls:
    """Made once a region. `access_of` reads how to speak to a host, its secrets included, for this one call."""

    def __init__(self, links: LiveLinks, reach: Reach, access_of: Callable[[int], Awaitable[HostAccess]]) -> None:
        self._links = links
        self._reach = reach
        self._access_of = access_of

    @property
    def racks(self) -> tuple[UUID, ...]:
        """The racks that are connected to this process."""
        return tuple(rack_id for rack_id in self._links.rack_ids if self._links.get(rack_id) is not None)

    async def require(self, host_id: int) -> None:
        """Raises RackUnreachable when no rack that may reach the host is connected to this process."""
        if not await self._connected(host_id):
            raise await self._unreached(host_id, {})

    async def call(
        self, host_id: int, command: Command[Q, R], request_of: Callable[[HostAccess], Q], *, deadline_s: float
    ) -> R:
        """The host's answer, through the first rack that gets there.

        Raises RackUnreachable without having asked anybody; HostUnreachable when no rack got through; any other error
        of the driver or the link as it is. After LinkLost or DeadlineExceeded the outcome is unknown. An answer that
        cannot be true is recorded and not used; AnswerRefused when no other rack gives a better one.
        """

        async def ask(link: Link, access: HostAccess) -> R:
            request = request_of(access)
            answer = await link.call(command, request, deadline_s=deadline_s)
            if (wrong := wrong_answer(request, answer)) is not None:
                raise AnswerRefused(f"{link.peer} answered {command.name} on VM host {host_id}: {wrong}.")
            return answer

        return await self._through_racks(host_id, ask)

    async def discover(self, host_id: int, *, deadline_s: float) -> Discovery:
        """The whole of one discovery, put together from its parts."""

        async def ask(link: Link, access: HostAccess) -> Discovery:
            return await _gather(link, access, deadline_s)

        return await self._through_racks(host_id, ask)

    async def forget(self, host_id: int) -> None:
        """Have every linked rack drop its connection to the host and the credentials. Those that do not answer restart
        or lose their link sooner or later, and then know nothing either."""
        for rack_id in self._links.rack_ids:
            link = self._links.get(rack_id)
            if link is None:
                continue
            try:
                await link.call(HOST_FORGET, HostIdCall(host_id=host_id), deadline_s=FORGET_DEADLINE_S)
            except InnkeeperError as error:
                log.warning("host_not_forgotten", host=host_id, rack=link.peer.name, code=error.code)

    async def try_from(self, rack_id: UUID, host_id: int, *, deadline_s: float) -> None:
        """Have this rack try the host, and record whether it gets there."""
        link = self._links.get(rack_id)
        if link is None:
            return

        async def ask(used: Link, access: HostAccess) -> Reached:
            return await used.call(HOST_REACH, HostCall(access=access), deadline_s=deadline_s)

        await self._ask(rack_id, link, host_id, ask)

    async def _through_racks(self, host_id: int, ask: Callable[[Link, HostAccess], Awaitable[R]]) -> R:
        """Asks who there is anew after each failure: it may have taken long, and the rack that gets there be back."""
        failed: dict[str, InnkeeperError] = {}
        tried: set[UUID] = set()
        while untried := [found for found in await self._connected(host_id) if found[0].rack_id not in tried]:
            rack, link = untried[0]
            tried.add(rack.rack_id)
            try:
                return await self._ask(rack.rack_id, link, host_id, ask)
            except _NEXT_RACK as error:
                failed[rack.name] = error
        raise await self._unreached(host_id, failed)

    async def _ask(self, rack_id: UUID, link: Link, host_id: int, ask: Callable[[Link, HostAccess], Awaitable[R]]) -> R:
        try:
            answer = await self._answer(link, host_id, ask)
        except _NEXT_RACK as error:
            if isinstance(error, AnswerRefused):
                await self._reach.refused(str(rack_id), host_id, error.message)
            await self._reach.record_reach(str(rack_id), host_id, error)
            raise
        try:
            await self._reach.record_reach(str(rack_id), host_id)
        except DatabaseUnavailable as error:  # read-only, say: what the host has told is told all the same
            log.info("reach_not_kept", host=host_id, because=error.message)
        return answer

    async def _answer(self, link: Link, host_id: int, ask: Callable[[Link, HostAccess], Awaitable[R]]) -> R:
        """Asked again when the credentials were rotated after they were read: a call may wait long for its turn."""
        access = await self._access_of(host_id)
        while True:
            try:
                return await ask(link, access)
            except NotTrusted:
                fresh = await self._access_of(host_id)
                if fresh.credentials == access.credentials:
                    raise
                access = fresh

    async def _connected(self, host_id: int) -> list[tuple[RackCandidate, Link]]:
        """To this process, in the order to try them."""
        return [
            (rack, link)
            for rack in await self._reach.racks_for(host_id)
            for link in [self._links.get(rack.rack_id)]
            if link is not None
        ]

    async def _unreached(self, host_id: int, failed: Mapping[str, InnkeeperError]) -> InnkeeperError:
        """What to say when nobody gets there: a rack that does and is away is the reason, whatever the others met."""
        away = await self._reach.away_from(host_id)
        if failed and (not away or any(isinstance(error, HostHung) for error in failed.values())):
            return _telling(failed.values())
        met = {name: error.message for name, error in failed.items()}
        text = unreached_text(host_id, len(self._links.rack_ids), away, met)
        return HostUnreachable(text, host=host_id) if failed else RackUnreachable(text, host=host_id)


def _telling(failed: Iterable[InnkeeperError]) -> InnkeeperError:
    """The last one that could not get there, rather than one that cannot serve such hosts at all."""
    errors = list(failed)
    return next((error for error in reversed(errors) if isinstance(error, HostUnreachable)), errors[0])


async def _gather(link: Link, access: HostAccess, deadline_s: float) -> Discovery:
    facts, calls, last = None, 0, False
    guests: list[Guest] = []
    elsewhere: list[MarkElsewhere] = []
    problems: list[Problem] = []
    unused: list[UnusedVolume] = []
    told: list[str] = []
    async with aclosing(link.stream(HOST_DISCOVER, HostCall(access=access), deadline_s=deadline_s)) as parts:
        async for part in parts:
            facts = part.facts or facts
            guests += part.guests
            elsewhere += part.elsewhere
            problems += part.problems
            unused += part.unused_volumes
            told += part.volumes_told
            calls, last = calls + part.calls, last or part.last
    if facts is None or not last:
        raise AnswerRefused(f"{link.peer} ended its discovery of VM host {access.host_id} before the last part.")
    return Discovery(
        facts=facts, guests=tuple(guests), elsewhere=tuple(elsewhere), problems=tuple(problems), calls=calls,
        unused_volumes=tuple(unused), volumes_told=tuple(told),
    )  # fmt: skip
