"""A connection is not read until its peer has paid for the last frame."""

from __future__ import annotations

from common.rpc.frame_reader import Inflow
from tests.support.waiting import eventually


class Connection:
    """Records what the inflow does; `waits` are the answers of the budget."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.asked: list[int] = []
        self.done: list[str] = []
        self.inflow = Inflow(
            self.take, pause=lambda: self.done.append("pause"), resume=lambda: self.done.append("resume")
        )

    def take(self, size_bytes: int) -> float:
        self.asked.append(size_bytes)
        return self.waits.pop(0)


def test_a_frame_within_the_budget_delays_nothing() -> None:
    connection = Connection(0.0)
    connection.inflow.frame_read(100)
    assert (connection.asked, connection.done) == ([100], [])


async def test_reading_resumes_once_the_frame_is_paid_for() -> None:
    connection = Connection(0.001, 0.001, 0.0)
    connection.inflow.frame_read(100)
    assert connection.done == ["pause"]
    await eventually(lambda: connection.done == ["pause", "resume"])
    assert connection.asked == [100, 100, 100]


async def test_an_inflow_that_is_stopped_resumes_nothing() -> None:
    connection = Connection(0.0001)
    connection.inflow.frame_read(100)
    connection.inflow.stop()
    connection.inflow.frame_read(100)
    another = Connection(0.001, 0.0)
    another.inflow.frame_read(1)
    await eventually(lambda: another.done == ["pause", "resume"])
    assert (connection.asked, connection.done) == ([100], ["pause"])
