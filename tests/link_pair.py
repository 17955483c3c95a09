"""Two ends of a link joined in memory: everything of a real one but TLS and sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from common.errors import LinkLost
from common.rpc.connection import Link, Peer, Role, Side


class _Wire:
    """Carries one end's frames to the other, a turn of the event loop later."""

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

    def _deliver(self, frame: bytes) -> None:
        assert self.other is not None
        self.other.frame_arrived(frame)

    def _end(self) -> None:
        for link in (self.own, self.other):
            assert link is not None
            link.carrier_lost(LinkLost("the wire was cut"))


async def link_pair(*, rack: Side, region: Side) -> tuple[Link, Link]:
    """The rack's end and the region's end, both open."""
    wires = _Wire(), _Wire()
    ends = (
        Link(side=rack, peer=Peer(role=Role.REGION, name=region.name), carrier=wires[0]),
        Link(side=region, peer=Peer(role=Role.RACK, name=rack.name), carrier=wires[1]),
    )
    for wire, own, other in ((wires[0], ends[0], ends[1]), (wires[1], ends[1], ends[0])):
        wire.own, wire.other = own, other
    for end in ends:
        end.start()
    await asyncio.gather(*(end.opened for end in ends))
    return ends
