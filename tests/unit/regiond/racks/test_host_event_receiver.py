"""Events of watched hosts: those of one host are applied in the order in which they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from attrs import define, field

from common.rpc.commands.host_commands import HOST_EVENT, HOST_UNWATCHED, HostEvent, HostUnwatched
from common.rpc.link import Link
from common.rpc.peers import Peer
from common.serialization import to_dict
from common.trust.certificates import Role
from common.values import GuestChange, GuestEvent, PowerState
from regiond.racks.reach.host_event_receiver import OWN_CHANGE_S, OWN_CHANGES_FOR_S, HostEventReceiver
from tests.doubles.signatures import in_place_of
from tests.support.clock import advance
from tests.support.waiting import eventually


@define(eq=False)
class RackLink:
    peer: Peer


@define
class Changes:
    """Applies the event of host 1 that turns its guest off only once `released`; also a double of the other two."""

    released: asyncio.Event = field(factory=asyncio.Event)
    applied: list[tuple[int, PowerState | None]] = field(factory=list)
    refreshes: list[int] = field(factory=list)
    later: list[tuple[tuple[int, ...], float]] = field(factory=list)
    own: bool = False  # the changes are those of an operation of the region

    async def guest_changed(self, host_id: int, change: GuestChange) -> bool:
        if (host_id, change.power) == (1, PowerState.OFF):
            await self.released.wait()
        self.applied.append((host_id, change.power))
        return not self.own

    async def request_refresh(self, host_id: int) -> None:
        self.refreshes.append(host_id)

    async def request_refresh_within(self, host_ids: Iterable[int], seconds: float) -> None:
        self.later.append((tuple(host_ids), seconds))

    async def record_rejection(self, *_: Any) -> None:
        raise AssertionError("every event is expected")


async def test_events_of_a_host_are_applied_in_order_of_arrival() -> None:
    changes = Changes()
    receiver = HostEventReceiver(changes, changes, changes)
    link = in_place_of(Link, RackLink(peer=Peer(role=Role.RACK, name="rack", id="r1")))
    for host_id, power in ((1, PowerState.OFF), (1, PowerState.ON), (2, PowerState.ON)):
        receiver.expect(link, host_id)
        change = GuestChange(event=GuestEvent.POWER, guest_name="vm", power=power)
        receiver.on_event(link, HOST_EVENT, to_dict(HostEvent(host_id=host_id, change=change)))
    await eventually(lambda: changes.refreshes == [2])
    assert changes.applied == [(2, PowerState.ON)]  # other hosts do not wait
    changes.released.set()
    await eventually(lambda: changes.refreshes == [2, 1, 1])
    assert changes.applied[1:] == [(1, PowerState.OFF), (1, PowerState.ON)]


async def test_changes_of_the_region_itself_need_one_refresh_later() -> None:
    changes = Changes(own=True)
    receiver = HostEventReceiver(changes, changes, changes)
    link = in_place_of(Link, RackLink(peer=Peer(role=Role.RACK, name="rack", id="r1")))
    receiver.expect(link, 2)
    change = to_dict(HostEvent(host_id=2, change=GuestChange(event=GuestEvent.APPEARED, guest_name="vm")))
    for _ in range(3):
        receiver.on_event(link, HOST_EVENT, change)
    await eventually(lambda: len(changes.applied) == 3)
    assert changes.later == []
    await advance(OWN_CHANGES_FOR_S)
    await eventually(lambda: changes.later == [((2,), OWN_CHANGE_S)])
    receiver.on_event(link, HOST_EVENT, change)  # one after the request asks again: a refresh may have begun before it
    await eventually(lambda: len(changes.applied) == 4)
    await advance(OWN_CHANGES_FOR_S)
    await eventually(lambda: len(changes.later) == 2)
    assert changes.refreshes == []


async def test_a_watch_that_the_rack_ended_is_expected_anew() -> None:
    changes = Changes()
    receiver = HostEventReceiver(changes, changes, changes)
    link = in_place_of(Link, RackLink(peer=Peer(role=Role.RACK, name="rack", id="r1")))
    receiver.expect(link, 2)
    change = GuestChange(event=GuestEvent.POWER, guest_name="vm", power=PowerState.ON)
    receiver.on_event(link, HOST_EVENT, to_dict(HostEvent(host_id=2, change=change)))
    receiver.on_event(link, HOST_UNWATCHED, to_dict(HostUnwatched(host_id=2)))
    for odd in ({"host_id": 3}, {"host_id": "two"}, None):  # not watched, or nonsense: changes nothing
        receiver.on_event(link, HOST_UNWATCHED, odd)
    assert [receiver.is_watched(link, host_id) for host_id in (2, 3)] == [False, True]
    await eventually(lambda: changes.applied == [(2, PowerState.ON)])  # it came before the end
    receiver.expect(link, 2)
    assert receiver.is_watched(link, 2)
