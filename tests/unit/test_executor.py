"""The executor, on simulated hosts; a gate that the test holds stands for a host that hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
import structlog
from attrs import evolve
from structlog.contextvars import bound_contextvars

from common.errors import Cancelled, DeadlineExceeded, DriverFailed, HostHung, HostUnreachable
from common.values import DriverType, HostAccess
from rackd.drivers.contract import Driver
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.executor import Executor
from rackd.lanes import Track
from tests.waiting import eventually, settle

T = TypeVar("T")

LONG_S = 30.0


def access(host_id: int = 1, *, key: str = "") -> HostAccess:
    return HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=f"simulated:host{host_id}",
        installation_id=UUID(int=1),
        credentials={"ssh_private_key": key},
    )


class Gate:
    """Work that is stuck in the host until the gate opens."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, driver: Driver) -> str:
        self.entered.set()
        self.open.wait(60)
        return driver.reach()


class Rig:
    def __init__(self, folder: Path) -> None:
        self._hosts = SimulatedHosts(folder)
        self.opened: list[Driver] = []
        self.gates: list[Gate] = []
        self.executor = self.make()

    def make(self, *, max_calls: int = 50, linger_s: float = 5.0) -> Executor:
        return Executor(self.open, max_calls=max_calls, hung_after=2, linger_s=linger_s)

    def open(self, host: HostAccess) -> Driver:
        driver = self._hosts.open(host)
        self.opened.append(driver)
        return driver

    def gate(self) -> Gate:
        self.gates.append(Gate())
        return self.gates[-1]

    async def run(
        self,
        work: Callable[[Driver], T],
        *,
        host_id: int = 1,
        deadline_s: float = LONG_S,
        track: Track = Track.ORDERED,
        machine_id: UUID | None = None,
    ) -> T:
        return await self.executor.run(
            access(host_id), work, what="test", deadline_s=deadline_s, track=track, machine_id=machine_id
        )

    async def hang(self, *, host_id: int = 1, machine_id: UUID | None = None) -> Gate:
        """A call that was given up; its gate is still shut."""
        gate = self.gate()
        with pytest.raises(DeadlineExceeded, match="did not finish test"):
            await self.run(gate, host_id=host_id, deadline_s=0.05, machine_id=machine_id)
        return gate


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)

    async def finish() -> None:
        for gate in made.gates:
            gate.open.set()
        await made.executor.stop()

    yield made
    settle(finish())


def reach(driver: Driver) -> str:
    return driver.reach()


def is_closed(driver: Driver) -> bool:
    try:
        driver.reach()
    except HostUnreachable:
        return True
    return False


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


async def test_a_call_is_given_up_at_its_deadline_and_the_lane_goes_on(rig: Rig) -> None:
    await rig.hang()
    assert rig.executor.given_up(1) == 1
    assert await rig.run(reach) == "1.0"
    assert len(rig.opened) == 2


async def test_waiting_for_a_turn_counts_against_the_deadline(rig: Rig) -> None:
    gate = rig.gate()
    first = asyncio.ensure_future(rig.run(gate))
    await eventually(gate.entered.is_set)
    with pytest.raises(DeadlineExceeded, match=r"did not get its turn within 0\.05 s"):
        await rig.run(reach, deadline_s=0.05)
    assert rig.executor.given_up(1) == 0
    gate.open.set()
    await first


async def test_a_host_with_too_many_calls_given_up_is_hung_and_says_since_when(rig: Rig) -> None:
    for _ in range(2):
        await rig.hang()
    with pytest.raises(HostHung, match=r"2 calls have not come back, the oldest \(test\) since 20") as refused:
        await rig.run(reach)
    assert refused.value.details["calls"] == 2
    with pytest.raises(HostHung):
        await rig.run(reach, track=Track.QUICK)
    assert await rig.run(reach, host_id=2) == "1.0"


async def test_a_hung_host_heals_when_a_thread_comes_back_and_its_old_driver_is_closed(rig: Rig) -> None:
    gates = [await rig.hang() for _ in range(2)]
    first_driver = rig.opened[0]
    gates[0].open.set()
    await eventually(lambda: rig.executor.given_up(1) == 1)
    assert await rig.run(reach) == "1.0"
    await eventually(lambda: is_closed(first_driver))


async def test_calls_that_were_waiting_when_the_host_became_hung_fail_too(rig: Rig) -> None:
    await rig.hang()
    gate = rig.gate()
    last = asyncio.ensure_future(rig.run(gate, deadline_s=0.1))
    await eventually(gate.entered.is_set)
    waiting = asyncio.ensure_future(rig.run(reach))
    with pytest.raises(DeadlineExceeded):
        await last
    with pytest.raises(HostHung):
        await waiting


async def test_a_host_that_hangs_while_it_is_opened_is_given_up_too(rig: Rig) -> None:
    gate = rig.gate()

    def open_slowly(host: HostAccess) -> Driver:
        gate.open.wait(60)
        return rig.open(host)

    executor = Executor(open_slowly, hung_after=1)
    with pytest.raises(DeadlineExceeded):
        await executor.run(access(), reach, what="reach", deadline_s=0.05)
    with pytest.raises(HostHung):
        await executor.run(access(), reach, what="reach", deadline_s=LONG_S)
    gate.open.set()
    await eventually(lambda: executor.given_up(1) == 0)
    await executor.stop()
    await eventually(lambda: all(is_closed(driver) for driver in rig.opened))


async def test_a_cancelled_call_keeps_its_turn_until_its_thread_is_back(rig: Rig) -> None:
    gate = rig.gate()
    cancelled = asyncio.ensure_future(rig.run(gate))
    await eventually(gate.entered.is_set)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    following = asyncio.ensure_future(rig.run(reach))
    await asyncio.sleep(0)
    assert not following.done()
    gate.open.set()
    assert await following == "1.0"
    assert rig.executor.given_up(1) == 0
    assert len(rig.opened) == 1


async def test_a_cancelled_call_that_does_not_come_back_is_given_up(rig: Rig) -> None:
    rig.executor = rig.make(linger_s=0.02)
    gate = rig.gate()
    cancelled = asyncio.ensure_future(rig.run(gate))
    await eventually(gate.entered.is_set)
    cancelled.cancel()
    await eventually(lambda: rig.executor.given_up(1) == 1)
    assert await rig.run(reach) == "1.0"


async def test_a_call_cancelled_in_the_queue_never_runs(rig: Rig) -> None:
    gate = rig.gate()
    first = asyncio.ensure_future(rig.run(gate))
    await eventually(gate.entered.is_set)
    ran = threading.Event()
    queued = asyncio.ensure_future(rig.run(lambda _: ran.set()))
    await asyncio.sleep(0)
    queued.cancel()
    gate.open.set()
    await first
    assert await rig.run(reach) == "1.0"
    assert not ran.is_set()


async def test_two_calls_at_one_machine_never_run_at_once_even_when_the_first_was_given_up(rig: Rig) -> None:
    machine = uuid4()
    gate = await rig.hang(machine_id=machine)
    with pytest.raises(DeadlineExceeded, match="did not get its turn"):
        await rig.run(reach, machine_id=machine, deadline_s=0.05)
    assert await rig.run(reach, machine_id=uuid4()) == "1.0"
    following = asyncio.ensure_future(rig.run(reach, machine_id=machine))
    gate.open.set()
    assert await following == "1.0"


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


async def test_given_up_threads_leave_their_room_to_other_hosts(rig: Rig) -> None:
    rig.executor = rig.make(max_calls=1)
    await rig.hang(host_id=1)
    assert await rig.run(reach, host_id=2) == "1.0"


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


async def test_forgetting_does_not_reset_the_count_of_a_hung_host(rig: Rig) -> None:
    for _ in range(2):
        await rig.hang()
    rig.executor.forget(1)
    with pytest.raises(HostHung):
        await rig.run(reach)


async def test_stopping_does_not_wait_for_hung_threads_and_fails_their_callers(rig: Rig) -> None:
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
    assert is_closed(rig.opened[0])
    gate.open.set()
    with pytest.raises(Cancelled):
        await waiting


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
