"""TLS handshakes of the RPC port begin at a limited rate, and addresses take turns."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from attrs import define, evolve, field

from regiond.racks.enrolment.handshake_queue import HandshakeQueue, HandshakeRates
from regiond.requests.request_limits import TokenBuckets
from tests.support.waiting import eventually

FAST = HandshakeRates(per_s=1000, burst=2, per_s_of_address=1000, burst_of_address=1000)
STOPPED_CLOCK = 0.0


@define
class Connection:
    name: str
    remote_host: str
    began: list[str]
    has_ended: bool = False

    def begin_handshake(self) -> bool:
        if not self.has_ended:
            self.began.append(self.name)
        return not self.has_ended


@define
class LateClock:
    """Stands still until it is started, so that what happens before takes no time on a busy machine."""

    _started_at: float | None = None

    def start(self) -> None:
        self._started_at = time.monotonic()

    def now(self) -> float:
        return STOPPED_CLOCK if self._started_at is None else time.monotonic() - self._started_at


@define
class Port:
    """A queue, its connections, and the names of those whose handshake has begun."""

    queue: HandshakeQueue
    began: list[str] = field(factory=list)

    def connect(self, *names: str) -> list[Connection]:
        """A name begins with its address."""
        made = [Connection(name, name.split("/")[0], self.began) for name in names]
        for connection in made:
            self.queue.add(connection)
        return made


@pytest.fixture
def stopped() -> Iterator[Port]:
    """Two handshakes may begin, and no more: its clock stands still."""
    port = Port(HandshakeQueue(evolve(FAST, burst_of_address=2), clock=lambda: STOPPED_CLOCK))
    yield port
    port.queue.stop()


async def test_a_few_handshakes_begin_at_once_and_others_wait(stopped: Port) -> None:
    stopped.connect("a/1", "b/1", "c/1")
    assert stopped.began == ["a/1", "b/1"]


async def test_waiting_addresses_take_turns() -> None:
    clock = LateClock()
    port = Port(HandshakeQueue(FAST, clock=clock.now))
    port.connect("a/1", "a/2", "a/3", "a/4", "a/5", "b/1", "c/1", "c/2")
    clock.start()
    await eventually(lambda: len(port.began) == 8)
    assert port.began == ["a/1", "a/2", "a/3", "b/1", "c/1", "a/4", "c/2", "a/5"]


async def test_rejected_connections_of_an_address_delay_it_alone() -> None:
    port = Port(HandshakeQueue(evolve(FAST, burst=100, per_s_of_address=0.001, burst_of_address=2)))
    port.connect("a/1", "a/2", "a/3", "b/1")
    assert port.began == ["a/1", "a/2", "b/1"]
    port.queue.stop()


async def test_accepted_connections_of_an_address_do_not_delay_it() -> None:
    port = Port(HandshakeQueue(evolve(FAST, burst=100, per_s_of_address=0.001, burst_of_address=2)))
    for number in range(10):
        (connection,) = port.connect(f"a/{number}")
        port.queue.accepted(connection)
    assert len(port.began) == 10


async def test_hosts_of_one_ipv6_network_share_a_turn() -> None:
    port = Port(HandshakeQueue(evolve(FAST, burst=100, per_s_of_address=0.001, burst_of_address=1)))
    port.connect("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    assert port.began == ["2001:db8::1", "2001:db8:0:1::1"]
    port.queue.stop()


async def test_a_connection_that_has_ended_takes_nobodys_place(stopped: Port) -> None:
    for connection in [Connection("a/1", "a", stopped.began, has_ended=True)] * 5:
        stopped.queue.add(connection)
    stopped.connect("a/2", "b/1")
    assert stopped.began == ["a/2", "b/1"]


async def test_a_stopped_queue_begins_nothing() -> None:
    port = Port(HandshakeQueue(FAST, clock=lambda: STOPPED_CLOCK))
    later = Port(HandshakeQueue(evolve(FAST, per_s=50)))
    for each in (port, later):
        each.connect("a/1", "a/2", "a/3")
    port.queue.stop()
    await eventually(lambda: len(later.began) == 3)
    assert port.began == ["a/1", "a/2"]


def test_tokens_that_are_put_back_never_overfill_a_bucket() -> None:
    buckets = TokenBuckets(per_s=1, burst=2, clock=lambda: STOPPED_CLOCK)
    buckets.put_back("never taken")
    buckets.take("key")
    buckets.put_back("key", 5)
    assert [buckets.take("key") for _ in range(3)] == [0.0, 0.0, 1.0]
