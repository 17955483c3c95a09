"""Reads of addresses that are not those of a host: each has an id of its own in the rack, and leaves nothing there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import field, frozen

from common.addresses.host_identity import identity_fingerprint
from common.errors import HostUnreachable, InvalidRequest
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import HOST_DISCONNECT, HOST_IDENTIFY
from common.rpc.link import Link
from common.values import DriverType, HostAccess, PeerIdentity
from regiond.racks.calls.access_guard import AccessGuard, HostRequest
from regiond.racks.calls.address_calls import AddressCalls
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.reach_model import DisconnectedRack, RackCandidate
from regiond.racks.unreachable import ZoneCoverage
from tests.doubles.libvirt_double import random_key
from tests.doubles.signatures import in_place_of

FIRST, SECOND = uuid4(), uuid4()
_KEY = random_key()
PRESENTED = PeerIdentity(kind="SSH host key", material=_KEY, fingerprint=identity_fingerprint(_KEY))


@frozen(eq=False)
class RackLink:
    """The link of a rack that finds PRESENTED, or fails; records the ids of the hosts that it is asked about."""

    error: Exception | None = None
    identified: list[int] = field(factory=list)
    disconnected: list[int] = field(factory=list)
    secrets: list[dict[str, str]] = field(factory=list)
    is_open: bool = True

    async def call(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> PeerIdentity | None:
        if command is HOST_DISCONNECT:
            self.disconnected.append(request.host_id)
            return None
        assert command is HOST_IDENTIFY
        self.identified.append(request.access.host_id)
        self.secrets.append(dict(request.access.credentials))
        if self.error is not None:
            raise self.error
        return PRESENTED


class Region:
    """The links of the racks FIRST and SECOND, which are tried in this order, and their calls."""

    def __init__(self, first: RackLink, second: RackLink) -> None:
        links = LiveLinks()
        for rack_id, link in ((FIRST, first), (SECOND, second)):
            links.add(rack_id, in_place_of(Link, link))
        self.calls = AddressCalls(links, self, in_place_of(AccessGuard, self), self._access_of)

    async def _access_of(self, host_id: int) -> HostAccess:
        return HostAccess(
            host_id=host_id, driver=DriverType.LXD, address="https://h", installation_id=uuid4(),
            credentials={"key": "secret"},
        )  # fmt: skip

    async def racks_for(self, _: int) -> Sequence[RackCandidate]:
        return [RackCandidate(rack_id=rack_id, name=str(rack_id), here=True) for rack_id in (FIRST, SECOND)]

    async def disconnected_racks(self, _: int, *, linked: Collection[UUID]) -> Sequence[DisconnectedRack]:
        return ()

    async def zone_coverage(self, _: int) -> ZoneCoverage | None:
        return None

    async def admit(self, rack_id: UUID, link: Link, host_id: int, request: HostRequest) -> None:
        raise AssertionError("the credentials are not sent before the identity is checked")

    async def holds(self, rack_id: UUID, host_id: int, request: HostRequest) -> bool:
        return True

    async def move(self, host_id: int) -> None:
        """Reads a new address of the host up to the check of the identity, which rejects it."""

        def reject(_: PeerIdentity) -> None:
            raise InvalidRequest("another server")

        with pytest.raises(InvalidRequest, match="another server"):
            await self.calls.discover(host_id, "https://new", check_identity=reject, deadline_s=1.0)


async def test_each_address_of_each_host_has_an_id_of_its_own() -> None:
    first = RackLink()
    region = Region(first, RackLink())
    for host_id in (1, 2, 1024, 1025, 2048):
        await region.move(host_id)
        for number in (0, 1, 1022):
            await region.calls.identify(host_id, "https://member", number, deadline_s=1.0)
    assert len(set(first.identified)) == len(first.identified) == 20
    assert all(one < 0 for one in first.identified)
    assert first.disconnected == first.identified


async def test_the_next_rack_is_asked_and_both_forget_the_address() -> None:
    first, second = RackLink(error=HostUnreachable("no route")), RackLink()
    assert await Region(first, second).calls.identify(7, "https://member", 0, deadline_s=1.0) == PRESENTED
    assert first.disconnected == second.disconnected == first.identified
    assert first.secrets == second.secrets == [{}]


async def test_an_address_that_no_rack_reaches_is_unreachable() -> None:
    region = Region(RackLink(error=HostUnreachable("no route")), RackLink(error=HostUnreachable("timed out")))
    with pytest.raises(HostUnreachable, match="timed out"):
        await region.calls.identify(7, "https://member", 0, deadline_s=1.0)
