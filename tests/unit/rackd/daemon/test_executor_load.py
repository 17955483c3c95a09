"""What an executor has to do, as metrics show it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from common.errors import DeadlineExceeded, DriverFailed, HostHung
from common.rpc.commands.host_method import CallClass
from common.values import DriverType
from rackd.driver_calls import DriverCallMetrics
from rackd.drivers.contract import Driver
from rackd.executor import Executor
from tests.support.waiting import eventually
from tests.unit.support.executor_rig import Rig, access, reach, rigged


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield from rigged(tmp_path)


async def test_the_load_counts_running_and_waiting_calls(rig: Rig) -> None:
    gate = rig.gate()
    calls = [asyncio.create_task(rig.run(gate)) for _ in range(3)]
    await eventually(gate.entered.is_set)
    load = rig.executor.load()
    assert load.running == {CallClass.ORDERED: 1}
    assert load.waiting == {CallClass.ORDERED: 2}
    assert load.open_hosts == {DriverType.SIMULATED: 1}
    gate.open.set()
    await asyncio.gather(*calls)
    await rig.run(reach, host_id=2)
    load = rig.executor.load()
    assert not load.running + load.waiting
    assert load.open_hosts == {DriverType.SIMULATED: 2}
    rig.executor.disconnect_host(2)
    assert rig.executor.load().open_hosts == {DriverType.SIMULATED: 1}


async def test_the_load_counts_hung_hosts_and_abandoned_calls(rig: Rig) -> None:
    gates = [rig.gate() for _ in range(2)]
    for number, gate in enumerate(gates):
        assert rig.executor.load().hung_hosts == 0
        with pytest.raises(DeadlineExceeded):
            await rig.run(gate, deadline_s=0.05)
        assert rig.executor.load().abandoned == number + 1
    assert rig.executor.load().hung_hosts == 1
    for gate in gates:
        gate.open.set()
    await eventually(lambda: rig.executor.load().abandoned == 0)
    assert rig.executor.load().hung_hosts == 0


async def test_calls_are_counted_by_driver_call_and_outcome(rig: Rig) -> None:
    def fail(_: Driver) -> None:
        raise DriverFailed("disk is full")

    registry = CollectorRegistry()
    executor = Executor(rig.open, max_hung_calls=1, observe=DriverCallMetrics(registry).observe)
    gate = rig.gate()
    for work, what, deadline_s in ((reach, "set addresses", 60), (fail, "set addresses", 60), (gate, "reach", 0.05)):
        with suppress(DriverFailed, DeadlineExceeded):
            await executor.run(access(), work, what=what, deadline_s=deadline_s)
    with pytest.raises(HostHung):
        await executor.run(access(), reach, what="reach", deadline_s=60)
    gate.open.set()
    await executor.stop()

    def number(call: str, outcome: str) -> float | None:
        labels = {"driver": "simulated", "call": call, "outcome": outcome}
        return registry.get_sample_value("innkeeper_driver_calls_total", labels)

    assert number("set_addresses", "ok") == number("set_addresses", "driver_failed") == 1
    assert number("reach", "deadline_exceeded") == number("reach", "host_hung") == 1
