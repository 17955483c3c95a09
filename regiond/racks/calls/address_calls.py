"""Reads servers at addresses that are not those of a host: a new address of it, or a member of its cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from attrs import evolve, frozen

from common.errors import InnkeeperError, ResponseRejected
from common.rpc.commands.host_commands import HOST_IDENTIFY, HostCall
from common.rpc.link import Link
from common.values import HostAccess, HostFacts, PeerIdentity
from common.words.hidden_text import hidden, hidden_place
from regiond.racks.calls.access_guard import AccessGuard, NotServed, without_secrets
from regiond.racks.calls.connected_racks import NEXT_RACK, ConnectedRacks, KnownReach, disconnect, representative
from regiond.racks.calls.discovery_parts import gather_discovery
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.calls.response_validation import response_problem

MAX_ADDRESSES_AT_ONCE = 1024  # of one host

T = TypeVar("T")


@frozen(kw_only=True)
class FoundServer:
    """The server at an address. `identity` is None if the server presents nothing that could be pinned."""

    identity: PeerIdentity | None
    facts: HostFacts


class AddressCalls:
    """Reads servers at other addresses of hosts. One per region.

    Records nothing about the host, and does not change the rack's connections to the host.
    """

    def __init__(
        self,
        links: LiveLinks,
        reach: KnownReach,
        guard: AccessGuard,
        access_of: Callable[[int], Awaitable[HostAccess]],
    ) -> None:
        self._racks = ConnectedRacks(links, reach)
        self._guard = guard
        self._access_of = access_of

    async def discover(
        self,
        host_id: int,
        address: str,
        *,
        check_identity: Callable[[PeerIdentity], None] | None,
        deadline_s: float,
    ) -> FoundServer:
        """Reads the server at another address of the host, through the first rack that reaches it, and disconnects.

        `check_identity` receives what the server presents and raises before anything else is sent to it; None if
        nothing is presented there. Raises what `HostCalls.call` raises.
        """
        own_id = address_id(host_id, 0)

        async def read(rack_id: UUID, link: Link) -> FoundServer:
            access = evolve(await self._access_of(host_id), host_id=own_id, address=address)
            identity = None
            if check_identity is not None:
                identity = await _identified(link, access, deadline_s)
                check_identity(identity)
                access = evolve(access, pinned=identity.material)
            await self._guard.admit(rack_id, link, host_id, HostCall(access=access))
            found = await gather_discovery(link, access, deadline_s)
            if found is None:
                raise ResponseRejected(
                    f"{link.peer} ended its discovery of {hidden_place(address)} before the last part."
                )
            return FoundServer(identity=identity, facts=found.facts)

        return await self._through_racks(host_id, own_id, read)

    async def identify(self, host_id: int, address: str, number: int, *, deadline_s: float) -> PeerIdentity:
        """Returns what a server at another address presents, through the first rack of this host that reaches it.

        No credentials are sent to the rack or the server. `number` distinguishes addresses that are read at once.
        Raises what `HostCalls.call` raises.
        """
        own_id = address_id(host_id, 1 + number)

        async def read(_: UUID, link: Link) -> PeerIdentity:
            access = evolve(await self._access_of(host_id), host_id=own_id, address=address, member=None)
            return await _identified(link, access, deadline_s)

        return await self._through_racks(host_id, own_id, read)

    async def _through_racks(self, host_id: int, own_id: int, read: Callable[[UUID, Link], Awaitable[T]]) -> T:
        failed: dict[str, InnkeeperError] = {}
        for rack, link in await self._racks.of(host_id):
            try:
                return await read(rack.rack_id, link)
            except NotServed:
                continue
            except NEXT_RACK as error:
                failed[rack.name] = error
            finally:
                await disconnect(link, own_id)
        raise representative(failed.values()) if failed else await self._racks.unreached(host_id, failed)


def address_id(host_id: int, number: int) -> int:
    """Returns the id under which racks know an address of the host, which has its own queue and connections there."""
    return -(host_id * MAX_ADDRESSES_AT_ONCE + number % MAX_ADDRESSES_AT_ONCE)


async def _identified(link: Link, access: HostAccess, deadline_s: float) -> PeerIdentity:
    """Greets the server without the host's secrets."""
    request = HostCall(access=without_secrets(access))
    presented = await link.call(HOST_IDENTIFY, request, deadline_s=deadline_s)
    if (problem := response_problem(request, presented)) is not None:
        found = hidden(f"{access.address}: {problem}")
        raise ResponseRejected(f"{link.peer} sent an implausible identity of {found}.")
    return presented
