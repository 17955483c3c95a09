"""Two connected links in memory: everything of a real connection except TLS and sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from common.errors import LinkLost
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Peer
from common.trust.certificates import Role


class _Carrier:
    """Delivers the frames of one end to the other in the next turn of the event loop."""

    def __init__(self) -> None:
        self.other: Link | None = None
        self.own: Link | None = None
        self._lost = False

    def send(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            asyncio.get_running_loop().call_soon(self._deliver, frame)

    def lose(self) -> None:
        if not self._lost:
            self._lost = True
            asyncio.get_running_loop().call_soon(self._end)

    def abort(self) -> None:
        self.lose()

    @property
    def remote_host(self) -> str:
        return "192.0.2.1"

    @property
    def ports(self) -> tuple[int, int]:
        return 0, 0

    def _deliver(self, frame: bytes) -> None:
        assert self.other is not None
        self.other.frame_arrived(frame)

    def _end(self) -> None:
        for link in (self.own, self.other):
            assert link is not None
            link.carrier_lost(LinkLost("the connection was lost"))


async def link_pair(*, rack: Side, region: Side) -> tuple[Link, Link]:
    """The rack's end and the region's end, both open."""
    carriers = _Carrier(), _Carrier()
    ends = (
        Link(side=rack, peer=Peer(role=Role.REGION, name=region.name), carrier=carriers[0]),
        Link(side=region, peer=Peer(role=Role.RACK, name=rack.name), carrier=carriers[1]),
    )
    for carrier, own, other in ((carriers[0], ends[0], ends[1]), (carriers[1], ends[1], ends[0])):
        carrier.own, carrier.other = own, other
    for end in ends:
        end.start()
    await asyncio.gather(*(end.opened for end in ends))
    return ends
