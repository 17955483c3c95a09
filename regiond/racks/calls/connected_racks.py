"""The connected racks that may be asked about a host, in the order to try them, and why none reached it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import structlog

from common.errors import (
    HostHung,
    HostUnreachable,
    InnkeeperError,
    RackUnreachable,
    ResponseRejected,
    UnsupportedByPeer,
)
from common.rpc.commands.host_commands import HOST_DISCONNECT, DisconnectCall
from common.rpc.link import Link
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.reach_model import DisconnectedRack, RackCandidate
from regiond.racks.unreachable import ZoneCoverage, unreachable_message

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DISCONNECT_DEADLINE_S = 5.0

# The rack did not reach the host, or its response was rejected: another rack may succeed.
NEXT_RACK = (HostUnreachable, HostHung, UnsupportedByPeer, ResponseRejected)


class KnownReach(Protocol):
    """The recorded reach of racks: for each host, the racks whose last attempt reached it."""

    async def racks_for(self, host_id: int) -> Sequence[RackCandidate]:
        """Returns connected racks, best first: see `reach_model.sort_candidates`."""

    async def disconnected_racks(self, host_id: int, *, linked: Collection[UUID]) -> Sequence[DisconnectedRack]:
        """Returns racks whose last attempt reached the host and that have no link now.

        `linked`: those with a link to this process. It knows of its links before the database does.
        """

    async def zone_coverage(self, host_id: int) -> ZoneCoverage | None:
        """Returns the name of the host and which racks serve its zone; None if the host was deleted."""


class ConnectedRacks:
    def __init__(self, links: LiveLinks, reach: KnownReach) -> None:
        self._links = links
        self._reach = reach

    async def of(self, host_id: int) -> list[tuple[RackCandidate, Link]]:
        """Returns the racks with a link to this process, in the order to try them."""
        racks, links = await self._reach.racks_for(host_id), self._links.open
        return [(rack, links[rack.rack_id]) for rack in racks if rack.rack_id in links]

    async def host_text(self, host_id: int) -> str:
        """Returns `VM host NAME`, for messages; with the id if the host was deleted."""
        known = await self._reach.zone_coverage(host_id)
        return f"VM host {host_id if known is None else known.host}"

    async def unreached(self, host_id: int, failed: Mapping[str, InnkeeperError]) -> InnkeeperError:
        """Returns the error of a call that no rack made; `failed` has the errors of the racks that tried.

        A disconnected rack that reached the host is the likely reason, whatever error other racks met.
        """
        disconnected = await self._reach.disconnected_racks(host_id, linked=self._links.open.keys())
        if failed and (not disconnected or any(isinstance(error, HostHung) for error in failed.values())):
            return representative(failed.values())
        messages = {name: error.message for name, error in failed.items()}
        coverage = await self._reach.zone_coverage(host_id)
        text = unreachable_message(host_id, len(self._links.open), disconnected, messages, coverage)
        was_tried = any(not lacks_command(error) for error in failed.values())
        return HostUnreachable(text, host=host_id) if was_tried else RackUnreachable(text, host=host_id)


def lacks_command(error: InnkeeperError) -> bool:
    """Returns whether the rack is of an older release, which does not have the command, and called no host."""
    return isinstance(error, UnsupportedByPeer) and "method" in error.details


def representative(failed: Iterable[InnkeeperError]) -> InnkeeperError:
    """Returns the error to report for all: the last HostUnreachable, if any, before errors such as a missing driver."""
    errors = list(failed)
    return next((error for error in reversed(errors) if isinstance(error, HostUnreachable)), errors[0])


async def disconnect(link: Link, host_id: int) -> bool:
    """Has the rack close its connection to the host and delete the credentials. Returns whether it confirmed that."""
    try:
        await link.call(HOST_DISCONNECT, DisconnectCall(host_id=host_id), deadline_s=DISCONNECT_DEADLINE_S)
    except InnkeeperError as error:
        log.warning("host_not_disconnected", host_id=host_id, rack=link.peer.name, code=error.code)
        return False
    return True
