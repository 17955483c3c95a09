"""The delay of the event loop is what a timer was late."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from common.process.loop_lag import EVERY_S, LoopLag
from tests.support.clock import Clock


async def test_the_lag_is_the_delay_after_the_due_time() -> None:
    registry, clock = CollectorRegistry(), Clock()
    lag = LoopLag(registry, clock=clock)
    await lag.measure()
    assert registry.get_sample_value("innkeeper_event_loop_lag_seconds_count") == 0
    clock.now += EVERY_S + 0.75
    await lag.measure()
    assert registry.get_sample_value("innkeeper_event_loop_lag_seconds_count") == 1
    assert registry.get_sample_value("innkeeper_event_loop_lag_seconds_sum") == 0.75
    clock.now += EVERY_S - 0.01  # a timer of the loop may be early by its resolution
    await lag.measure()
    assert registry.get_sample_value("innkeeper_event_loop_lag_seconds_sum") == 0.75
