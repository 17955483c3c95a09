from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from common.rpc.commands.host_method import CallClass
from common.rpc.commands.usage_commands import UsageCall, UsageHistoryCall
from common.values import HostAccess
from rackd.usage.commands import GUESTS_PER_PART, UsageCommands
from rackd.usage.history import Histories
from rackd.usage.sampler import UsageSampler
from tests.support.waiting import eventually
from tests.unit.support.executor_rig import Rig, access, rigged


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield from rigged(tmp_path)


class Sampled:
    """A sampler of hosts that the test watches."""

    def __init__(self, rig: Rig, *hosts: HostAccess) -> None:
        self.watched = {host.host_id: host for host in hosts}
        self.histories = Histories()
        self.sampler = UsageSampler(rig.executor, lambda: self.watched, self.histories, every_s=0.05)
        self.commands = UsageCommands(self.histories)

    def hosts(self) -> set[int]:
        return {one.host_id for one in self.histories}

    def samples(self, host_id: int) -> int:
        found = self.histories.get(host_id)
        return 0 if found is None else len(found.read(None).ages_s)


def with_guests(host_id: int, count: int) -> HostAccess:
    return evolve(access(host_id), address=f"simulated:host{host_id}?guests={count}&storage_gb=1000")


async def test_watched_hosts_are_sampled_again_and_again(rig: Rig) -> None:
    sampled = Sampled(rig, with_guests(1, 2), access(2))
    sampled.sampler.start()
    await eventually(lambda: sampled.samples(1) > 2 and sampled.samples(2) > 2)
    await sampled.sampler.stop()
    found = await sampled.commands.history(None, UsageHistoryCall(host_id=1, guest="foreign-0001"))
    assert found.cpu_cores[0] is None
    assert all(one is not None and 0 <= one <= 1 for one in found.cpu_cores[1:])


async def test_a_host_that_is_watched_no_more_is_not_called(rig: Rig) -> None:
    sampled = Sampled(rig, access(1))
    await sampled.sampler.sample()
    assert sampled.samples(1) == 1
    sampled.watched.clear()
    await sampled.sampler.sample()
    assert sampled.samples(1) == 1
    await eventually(lambda: rig.executor.load().open_hosts.total() == 0)


async def test_a_slow_host_delays_no_other(rig: Rig) -> None:
    sampled = Sampled(rig, access(1), access(2))
    gate, blocked = await rig.block(call_class=CallClass.USAGE)
    sampled.sampler.start()
    await eventually(lambda: sampled.samples(2) > 1)
    assert sampled.samples(1) == 0
    gate.open.set()
    await blocked
    await eventually(lambda: sampled.samples(1) > 1)
    await sampled.sampler.stop()


async def test_a_reading_delays_no_other_call_of_the_host(rig: Rig) -> None:
    gate, blocked = await rig.block(call_class=CallClass.USAGE)
    assert await rig.run(lambda driver: driver.reach()) == "1.0"
    assert await rig.run(lambda driver: driver.reach(), call_class=CallClass.QUICK) == "1.0"
    gate.open.set()
    await blocked


async def test_a_host_that_failed_is_left_alone_for_a_while(rig: Rig, tmp_path: Path) -> None:
    sampled = Sampled(rig, access(1), access(2))
    (tmp_path / "host1.down").touch()
    await sampled.sampler.sample()
    (tmp_path / "host1.down").unlink()
    await sampled.sampler.sample()
    assert (sampled.samples(1), sampled.samples(2)) == (0, 2)


async def test_a_large_host_comes_in_parts(rig: Rig) -> None:
    count = GUESTS_PER_PART + 1
    sampled = Sampled(rig, with_guests(1, count), access(2))
    await sampled.sampler.sample()
    parts = [part async for part in sampled.commands.usage(None, UsageCall(host_ids=(1, 2, 3)))]
    assert [(part.host_id, len(part.guests)) for part in parts] == [(1, GUESTS_PER_PART), (1, 1), (2, 0)]


async def test_with_an_interval_of_zero_nothing_is_read(rig: Rig) -> None:
    sampled = Sampled(rig, access(1))
    sampler = UsageSampler(rig.executor, lambda: sampled.watched, sampled.histories, every_s=0.0)
    sampler.start()
    await asyncio.sleep(0)
    await sampler.stop()
    assert not sampled.hosts()


async def test_an_unknown_guest_has_no_history(rig: Rig) -> None:
    sampled = Sampled(rig, access(1))
    await sampled.sampler.sample()
    assert (await sampled.commands.history(None, UsageHistoryCall(host_id=1, guest="missing"))).cpu_cores == ()
    assert (await sampled.commands.history(None, UsageHistoryCall(host_id=9))).cpu_cores == ()
