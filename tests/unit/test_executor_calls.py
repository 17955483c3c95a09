"""What a call of the executor gets, when its turn comes, and how long its driver stays open."""

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
from rackd.drivers.contract import Driver
from rackd.lanes import Track
from tests.unit.executor_rig import LONG_S, Rig, access, is_closed, reach, rigged
from tests.waiting import eventually


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield from rigged(tmp_path)


async def test_a_call_returns_what_the_driver_said_and_the_driver_stays_open(rig: Rig) -> None:
    assert await rig.run(reach) == "1.0"
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 1


async def test_an_error_of_the_driver_reaches_the_caller_as_it_is(rig: Rig) -> None:
    def fail(_: Driver) -> None:
        raise DriverFailed("no such luck")

    with pytest.raises(DriverFailed, match="no such luck"):
        await rig.run(fail)
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 1


async def test_a_bug_in_a_driver_fails_its_call_only(rig: Rig) -> None:
    with pytest.raises(ZeroDivisionError):
        await rig.run(lambda _: 1 / 0)
    assert await rig.run(reach) == "1.0"


async def test_a_host_that_was_lost_is_opened_again_for_the_next_call(rig: Rig) -> None:
    def lose(_: Driver) -> None:
        raise HostUnreachable("gone")

    with pytest.raises(HostUnreachable):
        await rig.run(lose)
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 2
    assert is_closed(rig.opened[0])


async def test_changed_credentials_open_the_host_anew_and_close_the_old_driver(rig: Rig) -> None:
    for key in ("", "a", "b", "b"):
        await rig.executor.run(access(key=key), reach, what="reach", deadline_s=LONG_S)
    assert [is_closed(driver) for driver in rig.opened] == [True, True, False]
    await rig.executor.run(evolve(access(key="b"), pinned="other"), reach, what="reach", deadline_s=LONG_S)
    assert [is_closed(driver) for driver in rig.opened] == [True, True, True, False]


async def test_calls_of_one_host_run_one_at_a_time_in_the_order_asked(rig: Rig) -> None:
    order: list[int] = []
    inside = threading.Lock()

    def note(number: int) -> Callable[[Driver], None]:
        def work(_: Driver) -> None:
            assert inside.acquire(blocking=False)
            order.append(number)
            inside.release()

        return work

    await asyncio.gather(*(rig.run(note(number)) for number in range(50)))
    assert order == list(range(50))


async def test_a_quick_look_does_not_wait_behind_a_long_discovery(rig: Rig) -> None:
    gate = rig.gate()
    long = asyncio.ensure_future(rig.run(gate))
    await eventually(gate.entered.is_set)
    assert await rig.run(reach, track=Track.QUICK) == "1.0"
    assert not long.done()
    gate.open.set()
    assert await long == "1.0"
    assert len(rig.opened) == 2


async def test_a_quick_look_at_an_idle_host_needs_no_second_connection(rig: Rig) -> None:
    await rig.run(reach)
    await rig.run(reach, track=Track.QUICK)
    assert len(rig.opened) == 1


async def test_a_hung_host_does_not_delay_another(rig: Rig) -> None:
    gate = rig.gate()
    hung = asyncio.ensure_future(rig.run(gate, host_id=1))
    await eventually(gate.entered.is_set)
    for host_id in range(2, 12):
        assert await rig.run(reach, host_id=host_id) == "1.0"
    assert not hung.done()
    gate.open.set()
    await hung


async def test_waiting_for_a_turn_counts_against_the_deadline(rig: Rig) -> None:
    gate = rig.gate()
    first = asyncio.ensure_future(rig.run(gate))
    await eventually(gate.entered.is_set)
    with pytest.raises(DeadlineExceeded, match=r"did not get its turn within 0\.05 s"):
        await rig.run(reach, deadline_s=0.05)
    assert rig.executor.given_up(1) == 0
    gate.open.set()
    await first


async def test_two_tracks_never_act_on_one_machine_at_once(rig: Rig) -> None:
    machine = uuid4()
    gate = rig.gate()
    first = asyncio.ensure_future(rig.run(gate, machine_id=machine, track=Track.PATIENT))
    await eventually(gate.entered.is_set)
    with pytest.raises(DeadlineExceeded, match="did not get its turn"):
        await rig.run(reach, machine_id=machine, deadline_s=0.05)
    waiting = [asyncio.ensure_future(rig.run(reach, machine_id=machine, track=track)) for track in Track]
    gate.open.set()
    assert await asyncio.gather(first, *waiting) == ["1.0"] * 5


async def test_guests_that_are_slow_to_shut_down_hold_up_neither_each_other_nor_other_work(rig: Rig) -> None:
    gates = [rig.gate() for _ in range(4)]
    slow = [asyncio.ensure_future(rig.run(gate, machine_id=uuid4(), track=Track.PATIENT)) for gate in gates]
    await eventually(lambda: all(gate.entered.is_set() for gate in gates))
    assert await rig.run(reach, machine_id=uuid4()) == "1.0"
    for gate in gates:
        gate.open.set()
    await asyncio.gather(*slow)


async def test_all_hosts_together_have_so_many_calls_at_once_and_no_more(rig: Rig) -> None:
    rig.executor = rig.make(max_calls=2)
    gates = [rig.gate() for _ in range(2)]
    busy = [asyncio.ensure_future(rig.run(gate, host_id=at)) for at, gate in enumerate(gates, start=1)]
    await eventually(lambda: all(gate.entered.is_set() for gate in gates))
    with pytest.raises(DeadlineExceeded, match="did not get its turn"):
        await rig.run(reach, host_id=3, deadline_s=0.05)
    gates[0].open.set()
    assert await rig.run(reach, host_id=3) == "1.0"
    gates[1].open.set()
    await asyncio.gather(*busy)


async def test_forgetting_a_host_closes_its_drivers_once_their_calls_are_done(rig: Rig) -> None:
    await rig.run(reach)
    gate = rig.gate()
    busy = asyncio.ensure_future(rig.run(gate))
    await eventually(gate.entered.is_set)
    await rig.run(reach, track=Track.QUICK)
    rig.executor.forget(1)
    await eventually(lambda: is_closed(rig.opened[1]))
    assert not is_closed(rig.opened[0])
    gate.open.set()
    assert await busy == "1.0"
    await eventually(lambda: is_closed(rig.opened[0]))
    assert await rig.run(reach) == "1.0"


async def test_threads_of_calls_do_not_keep_the_process_alive(rig: Rig) -> None:
    daemons: list[bool] = []
    await rig.run(lambda _: daemons.append(threading.current_thread().daemon))
    assert daemons == [True]


async def test_the_thread_sees_the_callers_context(rig: Rig) -> None:
    with bound_contextvars(operation_id=7):
        found = await rig.run(lambda _: structlog.contextvars.get_contextvars())
    assert found["operation_id"] == 7


async def test_a_look_without_a_driver_opens_none(rig: Rig) -> None:
    assert await rig.executor.run_apart(access(), lambda: 5, what="identify", deadline_s=LONG_S) == 5
    assert rig.opened == []
