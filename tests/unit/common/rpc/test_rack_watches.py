"""Watches of hosts by a rack: which regions get events, and what ends a watch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.errors import (
    DeadlineExceeded,
    InnkeeperError,
)
from common.rpc.commands.host_commands import HOST_DISCONNECT, HOST_WATCH, DisconnectCall
from common.rpc.commands.host_method import CallClass
from common.rpc.link import Link
from common.values import GuestEvent
from tests.deployment.simulated_host import SimulatedHost
from tests.support.waiting import eventually
from tests.unit.support.linked_rack import Rack, compose, host_call, link, rack, send
from tests.unit.support.simulated_hosts import spec

__all__ = ["link", "rack"]


async def test_events_go_to_watching_links_only(rack: Rack) -> None:
    watching, other = await rack.link(), await rack.link()
    await send(watching, HOST_WATCH, host_call())
    await send(watching, HOST_WATCH, host_call())
    await compose(other, spec("vm"))
    await eventually(lambda: rack.events)
    assert [(one.host_id, one.change.event, one.change.guest_name) for one in rack.events] == [
        (1, GuestEvent.APPEARED, "vm")
    ]


async def test_a_watch_ends_with_its_last_link(rack: Rack) -> None:
    first, second, other = await rack.link(), await rack.link(), await rack.link()
    for each in (first, second):
        await send(each, HOST_WATCH, host_call())
    first.close("the test closes it")
    await first.closed()
    await compose(other, spec("one"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["one"])
    second.close("the test closes it")
    await second.closed()
    await send(other, HOST_WATCH, host_call())
    await compose(other, spec("two"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["one", "two"])


async def test_a_changed_access_restarts_the_watch(rack: Rack, link: Link) -> None:
    for parameters in ("", "cores=8"):
        await send(link, HOST_WATCH, host_call(parameters))
    await compose(link, spec("vm"))
    await eventually(lambda: rack.events)
    assert len(rack.events) == 1


async def test_a_failed_watch_can_be_retried(rack: Rack, link: Link) -> None:
    with pytest.raises(DeadlineExceeded):
        await link.call(HOST_WATCH, host_call("delay_ms=5000"), deadline_s=0.2)
    await send(link, HOST_WATCH, host_call())
    await compose(link, spec("vm"))
    await eventually(lambda: len(rack.events) == 1)


async def test_disconnected_hosts_send_no_events(rack: Rack, link: Link) -> None:
    await send(link, HOST_WATCH, host_call())
    await send(link, HOST_WATCH, host_call(host_id=2))
    await send(link, HOST_DISCONNECT, DisconnectCall(host_id=1))
    await compose(link, spec("not-received"))
    await compose(link, spec("received"), host_id=2)
    await eventually(lambda: rack.events)
    assert {one.change.guest_name for one in rack.events} == {"received"}


async def test_every_region_learns_that_its_watch_has_ended(rack: Rack, link: Link) -> None:
    """One of them disconnects the host; the watches of the others end with it."""
    other = await rack.link()
    for each in (link, other):
        await send(each, HOST_WATCH, host_call())
    await send(link, HOST_WATCH, host_call(host_id=2))
    await send(link, HOST_DISCONNECT, DisconnectCall(host_id=1))
    await eventually(lambda: rack.unwatched == [1, 1])
    await send(other, HOST_WATCH, host_call())
    await compose(link, spec("vm"))
    await eventually(lambda: [one.change.guest_name for one in rack.events] == ["vm"])


async def test_a_watch_that_is_disconnected_while_it_begins_fails(rack: Rack, link: Link, tmp_path: Path) -> None:
    with SimulatedHost(folder=tmp_path, name="host1").hold("watch"):
        watching = asyncio.ensure_future(send(link, HOST_WATCH, host_call()))
        await eventually(lambda: rack.executor.queued_calls(1, CallClass.WATCH) == 1)
        await send(link, HOST_DISCONNECT, DisconnectCall(host_id=1))
    with pytest.raises(InnkeeperError):
        await watching
    await send(link, HOST_WATCH, host_call())
    await compose(link, spec("vm"))
    await eventually(lambda: len(rack.events) == 1)
