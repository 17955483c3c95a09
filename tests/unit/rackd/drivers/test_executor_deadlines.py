"""Abandoned and cancelled calls of the executor, and hung hosts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from common.errors import Cancelled, DeadlineExceeded, HostHung
from common.rpc.commands.host_method import CallClass
from common.values import HostAccess
from rackd.drivers.contract import Driver
from rackd.executor import Executor
from tests.support.clock import advance
from tests.support.waiting import eventually
from tests.unit.support.executor_rig import LONG_S, Rig, access, is_closed, reach, rigged


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield from rigged(tmp_path)


async def test_a_late_call_is_abandoned_and_the_queue_continues(rig: Rig) -> None:
    await rig.hang()
    assert rig.executor.abandoned_calls(1) == 1
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 2


async def test_too_many_abandoned_calls_make_a_host_hung(rig: Rig) -> None:
    for _ in range(2):
        await rig.hang()
    with pytest.raises(HostHung, match=r"2 calls have not returned, the oldest \(test\) since 20") as caught:
        await rig.run(reach)
    assert caught.value.details["calls"] == 2
    with pytest.raises(HostHung):
        await rig.run(reach, call_class=CallClass.QUICK)
    assert await rig.run(reach, host_id=2) == "1.0"


async def test_a_hung_host_recovers_when_a_thread_returns(rig: Rig) -> None:
    gates = [await rig.hang() for _ in range(2)]
    first_driver = rig.opened[0]
    gates[0].open.set()
    await eventually(lambda: rig.executor.abandoned_calls(1) == 1)
    assert await rig.run(reach) == "1.0"
    await eventually(lambda: is_closed(first_driver))


async def test_queued_calls_fail_when_the_host_hangs(rig: Rig) -> None:
    await rig.hang()
    _, last = await rig.block(deadline_s=0.1)
    waiting = asyncio.ensure_future(rig.run(reach))
    with pytest.raises(DeadlineExceeded):
        await last
    with pytest.raises(HostHung):
        await waiting


async def test_a_hanging_open_is_abandoned(rig: Rig) -> None:
    gate = rig.gate()

    def open_slowly(host: HostAccess) -> Driver:
        gate.open.wait(60)
        return rig.open(host)

    executor = Executor(open_slowly, max_hung_calls=1)
    with pytest.raises(DeadlineExceeded):
        await executor.run(access(), reach, what="reach", deadline_s=0.05)
    with pytest.raises(HostHung):
        await executor.run(access(), reach, what="reach", deadline_s=LONG_S)
    gate.open.set()
    await eventually(lambda: executor.abandoned_calls(1) == 0)
    await executor.stop()
    await eventually(lambda: all(is_closed(driver) for driver in rig.opened))


async def test_a_cancelled_call_holds_its_slot_until_it_returns(rig: Rig) -> None:
    gate, cancelled = await rig.block()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    following = asyncio.ensure_future(rig.run(reach))
    await asyncio.sleep(0)
    assert not following.done()
    gate.open.set()
    assert await following == "1.0"
    assert rig.executor.abandoned_calls(1) == 0
    assert len(rig.opened) == 1


async def test_a_cancelled_call_is_abandoned_after_the_grace(rig: Rig) -> None:
    rig.executor = rig.make(cancel_grace_s=0.02)
    _, cancelled = await rig.block()
    cancelled.cancel()
    await eventually(lambda: rig.executor.abandoned_calls(1) == 1, deadline_s=LONG_S / 2)  # long before its deadline
    assert await rig.run(reach) == "1.0"


async def test_a_cancelled_call_is_abandoned_at_its_deadline_within_the_grace(rig: Rig) -> None:
    rig.executor = rig.make(cancel_grace_s=LONG_S)
    _, cancelled = await rig.block(deadline_s=0.3)
    cancelled.cancel()
    await eventually(lambda: rig.executor.abandoned_calls(1) == 1, deadline_s=LONG_S / 2)
    assert await rig.run(reach) == "1.0"


async def test_a_cancelled_call_that_returns_within_the_grace_is_not_abandoned(rig: Rig) -> None:
    rig.executor = rig.make(cancel_grace_s=20.0)
    gate, cancelled = await rig.block()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    gate.open.set()
    for thread in threading.enumerate():
        if thread.name == "host-test":
            thread.join()  # its result is there before the grace can end
    await advance(20.0)
    assert rig.executor.abandoned_calls(1) == 0
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 1


async def test_a_call_cancelled_in_the_queue_never_runs(rig: Rig) -> None:
    gate, first = await rig.block()
    ran = threading.Event()
    queued = asyncio.ensure_future(rig.run(lambda _: ran.set()))
    await asyncio.sleep(0)
    queued.cancel()
    gate.open.set()
    await first
    assert await rig.run(reach) == "1.0"
    assert not ran.is_set()


async def test_abandoned_calls_still_block_their_machine(rig: Rig) -> None:
    machine = uuid4()
    gate = await rig.hang(machine_id=machine)
    with pytest.raises(DeadlineExceeded, match="did not start"):
        await rig.run(reach, machine_id=machine, deadline_s=0.05)
    assert await rig.run(reach, machine_id=uuid4()) == "1.0"
    following = asyncio.ensure_future(rig.run(reach, machine_id=machine))
    gate.open.set()
    assert await following == "1.0"


async def test_abandoned_calls_do_not_count_as_running(rig: Rig) -> None:
    rig.executor = rig.make(max_calls=1)
    await rig.hang(host_id=1)
    assert await rig.run(reach, host_id=2) == "1.0"


async def test_disconnecting_does_not_reset_a_hung_host(rig: Rig) -> None:
    for _ in range(2):
        await rig.hang()
    rig.executor.disconnect_host(1)
    with pytest.raises(HostHung):
        await rig.run(reach)


async def test_stop_fails_hung_calls_without_waiting(rig: Rig) -> None:
    await rig.run(reach, host_id=2)
    gate = rig.gate()
    stuck = asyncio.ensure_future(rig.run(gate))
    waiting = asyncio.ensure_future(rig.run(reach))
    await eventually(gate.entered.is_set)
    await rig.executor.stop(grace_s=0.05)
    with pytest.raises(Cancelled, match="stopping"):
        await stuck
    with pytest.raises(Cancelled):
        await rig.run(reach)
    await eventually(lambda: is_closed(rig.opened[0]))  # by a thread that runs for the grace period at most
    gate.open.set()
    with pytest.raises(Cancelled):
        await waiting
