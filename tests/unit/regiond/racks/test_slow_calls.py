"""A host whose call has no response yet is read again: only one that does not answer is reported."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from attrs import define, field

from common.errors import DeadlineExceeded, HostHung, InnkeeperError, LinkLost, NotTrusted
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import HostCall, Reached
from common.rpc.link import Link
from common.rpc.peers import Peer
from common.trust.certificates import Role
from common.values import DriverType, HostAccess
from regiond.racks.calls.slow_calls import SlowCalls
from tests.doubles.signatures import in_place_of
from tests.support.waiting import eventually

SLOW_S = 0.01


@define
class Rack:
    """The link of a rack, whose reads of the host end with `error`, if there is one."""

    error: InnkeeperError | None = None
    reads: int = 0
    peer: Peer = field(factory=lambda: Peer(role=Role.RACK, name="west"))

    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
        self.reads += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return Reached(hypervisor_version="5.0")


@define
class Watched:
    """Slow calls to host 1 through a rack, and what was reported."""

    rack: Rack
    answered_at: float | None = None
    reported: list[str] = field(factory=list)

    def slow_calls(self) -> SlowCalls:
        return SlowCalls(
            self._access_of,
            self._holds,
            lambda _: self.answered_at,
            self._report,
            slow_after_s=SLOW_S,
            probe_deadline_s=1.0,
        )

    async def _access_of(self, _: int) -> HostAccess:
        return HostAccess(
            host_id=1, driver=DriverType.LXD, address="https://h", installation_id=uuid4(), credentials={}
        )

    async def _holds(self, link: Link, host_id: int, request: HostCall) -> bool:
        return True

    async def _report(self, _: int, error: InnkeeperError, __: float) -> None:
        self.reported.append(error.message)


async def test_a_host_that_does_not_answer_is_reported_while_it_is_called() -> None:
    seen = Watched(Rack(DeadlineExceeded("late")))
    async with seen.slow_calls().watching(in_place_of(Link, seen.rack), 1):
        await eventually(lambda: seen.reported)
    (message,) = seen.reported
    assert re.fullmatch(r"The host has not answered rack west for \d+ s\.", message)


async def test_a_lost_host_is_read_again_only_after_it_has_answered() -> None:
    seen = Watched(Rack(DeadlineExceeded("late")))
    calls = seen.slow_calls()
    async with calls.watching(in_place_of(Link, seen.rack), 1):
        await eventually(lambda: seen.reported)
        later = asyncio.get_running_loop().time() + 5 * SLOW_S
        await eventually(lambda: asyncio.get_running_loop().time() > later)
        assert seen.rack.reads == 1
        seen.answered_at = time.monotonic()
        await eventually(lambda: len(seen.reported) == 2)


async def test_a_hung_host_is_reported_with_the_error_of_the_rack() -> None:
    seen = Watched(Rack(HostHung("3 calls have not returned")))
    async with seen.slow_calls().watching(in_place_of(Link, seen.rack), 1):
        await eventually(lambda: seen.reported)
    assert seen.reported[0] == "3 calls have not returned"


@pytest.mark.parametrize("error", [None, NotTrusted("who?"), LinkLost("gone")])
async def test_a_host_that_answers_or_cannot_be_read_is_not_reported(error: InnkeeperError | None) -> None:
    seen = Watched(Rack(error))
    async with seen.slow_calls().watching(in_place_of(Link, seen.rack), 1):
        await eventually(lambda: seen.rack.reads > 2)
    assert seen.reported == []


async def test_a_fast_call_reads_nothing_and_an_ended_one_no_more() -> None:
    seen = Watched(Rack())
    calls = seen.slow_calls()
    async with calls.watching(in_place_of(Link, seen.rack), 1):
        pass
    assert seen.rack.reads == 0
    async with calls.watching(in_place_of(Link, seen.rack), 1):
        await eventually(lambda: seen.rack.reads)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "slow-call-1"]


async def test_many_calls_to_a_host_share_its_reads() -> None:
    released = asyncio.Event()

    @define
    class Waiting(Rack):
        async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
            self.reads += 1
            await released.wait()
            return Reached(hypervisor_version="5.0")

    seen = Watched(Waiting())
    calls = seen.slow_calls()
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(calls.watching(in_place_of(Link, seen.rack), 1))
        await eventually(lambda: seen.rack.reads)
        await eventually(lambda: len([one for one in asyncio.all_tasks() if one.get_name() == "slow-call-1"]) == 5)
        assert seen.rack.reads == 1
        released.set()
