"""What a call of the executor returns, when it runs, and how long its driver stays open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from attrs import evolve
from structlog.contextvars import bound_contextvars

from common.errors import DeadlineExceeded, DriverFailed, HostUnreachable
from common.rpc.commands.host_method import CallClass
from rackd.drivers.contract import Driver
from tests.support.waiting import eventually
from tests.unit.support.executor_rig import LONG_S, Rig, access, is_closed, reach, rigged


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield from rigged(tmp_path)


async def test_calls_return_results_and_leave_the_driver_open(rig: Rig) -> None:
    assert await rig.run(reach) == "1.0"
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 1


async def test_driver_errors_reach_the_caller_unchanged(rig: Rig) -> None:
    def fail(_: Driver) -> None:
        raise DriverFailed("disk is full")

    with pytest.raises(DriverFailed, match="disk is full"):
        await rig.run(fail)
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 1


async def test_a_bug_in_a_driver_fails_only_its_call(rig: Rig) -> None:
    with pytest.raises(ZeroDivisionError):
        await rig.run(lambda _: 1 / 0)
    assert await rig.run(reach) == "1.0"


async def test_a_lost_host_is_reopened_for_the_next_call(rig: Rig) -> None:
    def lose(_: Driver) -> None:
        raise HostUnreachable("lost")

    with pytest.raises(HostUnreachable):
        await rig.run(lose)
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 2
    assert is_closed(rig.opened[0])


async def test_changed_credentials_reopen_the_host(rig: Rig) -> None:
    for key in ("", "a", "b", "b"):
        await rig.executor.run(access(key=key), reach, what="reach", deadline_s=LONG_S)
    assert [is_closed(driver) for driver in rig.opened] == [True, True, False]
    await rig.executor.run(evolve(access(key="b"), pinned="other"), reach, what="reach", deadline_s=LONG_S)
    assert [is_closed(driver) for driver in rig.opened] == [True, True, True, False]


async def test_calls_of_a_host_run_in_order(rig: Rig) -> None:
    order: list[int] = []
    inside = threading.Lock()

    def recording(number: int) -> Callable[[Driver], None]:
        def work(_: Driver) -> None:
            assert inside.acquire(blocking=False)
            order.append(number)
            inside.release()

        return work

    await asyncio.gather(*(rig.run(recording(number)) for number in range(50)))
    assert order == list(range(50))


async def test_quick_calls_do_not_wait_for_a_discovery(rig: Rig) -> None:
    gate, long = await rig.block()
    assert await rig.run(reach, call_class=CallClass.QUICK) == "1.0"
    assert not long.done()
    gate.open.set()
    assert await long == "1.0"
    assert len(rig.opened) == 2


async def test_quick_calls_use_the_idle_ordered_connection(rig: Rig) -> None:
    await rig.run(reach)
    await rig.run(reach, call_class=CallClass.QUICK)
    assert len(rig.opened) == 1


async def test_a_hung_host_does_not_delay_another(rig: Rig) -> None:
    gate, hung = await rig.block(host_id=1)
    for host_id in range(2, 12):
        assert await rig.run(reach, host_id=host_id) == "1.0"
    assert not hung.done()
    gate.open.set()
    await hung


async def test_waiting_counts_against_the_deadline(rig: Rig) -> None:
    gate, first = await rig.block()
    with pytest.raises(DeadlineExceeded, match=r"did not start test within 0\.05 s"):
        await rig.run(reach, deadline_s=0.05)
    assert rig.executor.abandoned_calls(1) == 0
    gate.open.set()
    await first


async def test_call_classes_never_overlap_on_one_machine(rig: Rig) -> None:
    machine = uuid4()
    gate, first = await rig.block(machine_id=machine, call_class=CallClass.LONG_RUNNING)
    with pytest.raises(DeadlineExceeded, match="did not start"):
        await rig.run(reach, machine_id=machine, deadline_s=0.05)
    waiting = [
        asyncio.ensure_future(rig.run(reach, machine_id=machine, call_class=call_class)) for call_class in CallClass
    ]
    gate.open.set()
    assert await asyncio.gather(first, *waiting) == ["1.0"] * (1 + len(CallClass))


async def test_a_queued_call_waits_for_one_that_has_begun_on_its_machine(rig: Rig) -> None:
    """The later call needs another slot, so it begins while the earlier one is still queued."""
    machine = uuid4()
    other_gate, other = await rig.block()
    queued = asyncio.ensure_future(rig.run(reach, machine_id=machine))
    await eventually(lambda: rig.executor.queued_calls(1, CallClass.ORDERED) == 2)
    gate, begun = await rig.block(machine_id=machine, call_class=CallClass.LONG_RUNNING)
    other_gate.open.set()
    assert await other == "1.0"
    assert await rig.run(reach) == "1.0"  # the queued call has given up its slot
    assert not queued.done()
    gate.open.set()
    assert (await begun, await queued) == ("1.0", "1.0")


async def test_a_call_on_a_machine_that_has_moved_to_another_host_is_waited_for(rig: Rig) -> None:
    machine = uuid4()
    gate, call = await rig.block(host_id=1, machine_id=machine)
    await rig.run(reach, host_id=2)
    ended = asyncio.ensure_future(rig.executor.ended(machine))
    await rig.executor.ended(uuid4())
    await rig.run(reach, host_id=2)  # `ended` runs meanwhile
    assert not ended.done()
    gate.open.set()
    await asyncio.gather(ended, call)


async def test_slow_shutdowns_delay_no_other_calls(rig: Rig) -> None:
    slow = [await rig.block(machine_id=uuid4(), call_class=CallClass.LONG_RUNNING) for _ in range(4)]
    assert await rig.run(reach, machine_id=uuid4()) == "1.0"
    for gate, _ in slow:
        gate.open.set()
    await asyncio.gather(*(call for _, call in slow))


async def test_max_calls_limits_all_hosts_in_total(rig: Rig) -> None:
    rig.executor = rig.make(max_calls=2)
    (first_gate, first), (second_gate, second) = await rig.block(host_id=1), await rig.block(host_id=2)
    with pytest.raises(DeadlineExceeded, match="did not start"):
        await rig.run(reach, host_id=3, deadline_s=0.05)
    first_gate.open.set()
    assert await rig.run(reach, host_id=3) == "1.0"
    second_gate.open.set()
    await asyncio.gather(first, second)


async def test_disconnecting_a_host_closes_its_idle_drivers(rig: Rig) -> None:
    await rig.run(reach)
    gate, busy = await rig.block()
    await rig.run(reach, call_class=CallClass.QUICK)
    rig.executor.disconnect_host(1)
    await eventually(lambda: is_closed(rig.opened[1]))
    assert not is_closed(rig.opened[0])
    gate.open.set()
    assert await busy == "1.0"
    await eventually(lambda: is_closed(rig.opened[0]))
    assert await rig.run(reach) == "1.0"


async def test_a_call_that_waited_while_its_host_was_disconnected_leaves_no_driver(rig: Rig) -> None:
    gate, running = await rig.block()
    waiting = asyncio.ensure_future(rig.run(reach))
    await eventually(lambda: rig.executor.queued_calls(1, CallClass.ORDERED) == 2)
    rig.executor.disconnect_host(1)
    gate.open.set()
    assert (await running, await waiting) == ("1.0", "1.0")
    await eventually(lambda: all(map(is_closed, rig.opened)))


async def test_call_threads_are_daemon_threads(rig: Rig) -> None:
    daemons: list[bool] = []
    await rig.run(lambda _: daemons.append(threading.current_thread().daemon))
    assert daemons == [True]


async def test_threads_inherit_the_callers_context(rig: Rig) -> None:
    with bound_contextvars(operation_id=7):
        found = await rig.run(lambda _: structlog.contextvars.get_contextvars())
    assert found["operation_id"] == 7


async def test_run_without_driver_opens_no_driver(rig: Rig) -> None:
    assert await rig.executor.run_without_driver(access(), lambda: 5, what="identify", deadline_s=LONG_S) == 5
    assert rig.opened == []
