"""Limits of requests per second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses.ip_networks import IpNetworks
from common.errors import TooManyAttempts
from regiond.requests.caller import Caller
from regiond.requests.request_limits import (
    BURST_S,
    LONG_BODY_BYTES_PER_S,
    MAX_KEYS,
    RequestLimits,
    RequestRates,
    TokenBuckets,
)

ANN = Caller(account_id=1, username="ann", is_admin=False)
BOB = Caller(account_id=2, username="bob", is_admin=False)
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> RequestLimits:
    rates = RequestRates(requests_per_s=4, expensive_requests_per_s=2, anonymous_requests_per_s=1)
    return RequestLimits(rates, exempt=IpNetworks.parse(("198.51.100.0/24",)), clock=clock)


@given(steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=30))
def test_no_more_than_the_burst_and_the_rate_pass(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    buckets = TokenBuckets(per_s=2, burst=10, clock=clock)
    passed = 0
    for pause_s, requests in steps:
        clock.now += pause_s
        passed += sum(buckets.take("a") == 0 for _ in range(requests))
    assert passed <= 10 + 2 * clock.now + 1e-6


def test_the_wait_is_long_enough(clock: Clock) -> None:
    buckets = TokenBuckets(per_s=0.5, burst=1, clock=clock)
    assert buckets.take("a") == 0
    assert buckets.wait_s("a") == buckets.take("a") == 2
    clock.now += 2
    assert buckets.take("a") == 0


def test_the_number_of_keys_is_bounded(clock: Clock) -> None:
    buckets = TokenBuckets(per_s=1, burst=1, size=10, clock=clock)
    for number in range(100):
        buckets.take(number)
    assert len(buckets) == 10
    assert MAX_KEYS >= 10_000


def test_an_account_is_limited_wherever_it_comes_from(limits: RequestLimits) -> None:
    for _ in range(int(4 * BURST_S)):
        limits.take(ANN, HERE)
    with pytest.raises(
        TooManyAttempts, match=r"account 'ann' may send 4 requests per second .* requests_per_s"
    ) as error:
        limits.take(ANN, THERE)
    assert error.value.details["retry_after_s"] == 1
    limits.take(BOB, HERE)


def test_expensive_requests_have_their_own_limit(limits: RequestLimits) -> None:
    for _ in range(int(2 * BURST_S)):
        limits.take_expensive(ANN, HERE)
    with pytest.raises(TooManyAttempts, match="expensive_requests_per_s"):
        limits.take_expensive(ANN, HERE)
    limits.take(ANN, HERE)


def test_an_rpc_client_is_limited_before_its_account_is_read(limits: RequestLimits) -> None:
    for _ in range(int(4 * BURST_S)):
        limits.take_client("one")
    with pytest.raises(TooManyAttempts, match="the RPC client one"):
        limits.take_client("one")
    limits.take_client("two")


def test_strangers_are_limited_by_network(limits: RequestLimits) -> None:
    for number in range(int(BURST_S)):
        limits.take_anonymous(f"2001:db8::{number + 1}")
    with pytest.raises(TooManyAttempts, match="anonymous_requests_per_s"):
        limits.take_anonymous("2001:db8::99")
    limits.take_anonymous("2001:db8:1::1")


def test_guessed_keys_cost_no_query_and_hurt_no_valid_one(limits: RequestLimits, clock: Clock) -> None:
    limits.check_key(HERE, "mine")
    limits.remember_key("mine")
    for _ in range(int(BURST_S)):
        limits.check_key(HERE, "guessed")
        limits.take_anonymous(HERE)
    with pytest.raises(TooManyAttempts):
        limits.check_key(HERE, "guessed")
    limits.check_key(HERE, "mine")
    limits.check_key(THERE, "guessed")
    clock.now += 1
    limits.check_key(HERE, "guessed")


def test_long_bodies_are_limited_by_their_bytes(limits: RequestLimits, clock: Clock) -> None:
    for _ in range(int(BURST_S)):
        limits.take_long_body(ANN, HERE, LONG_BODY_BYTES_PER_S)
    with pytest.raises(TooManyAttempts, match=r"'ann' may send 4 MiB per second .* Try again in 1 s") as refused:
        limits.take_long_body(ANN, THERE, LONG_BODY_BYTES_PER_S)
    assert refused.value.details["retry_after_s"] == 1
    limits.take_long_body(BOB, HERE, LONG_BODY_BYTES_PER_S)
    clock.now += 1
    limits.take_long_body(ANN, HERE, LONG_BODY_BYTES_PER_S)


def test_a_body_counts_for_its_address_until_its_signature_is_verified(limits: RequestLimits, clock: Clock) -> None:
    for _ in range(10):
        limits.take_unproven_body(HERE, LONG_BODY_BYTES_PER_S)
    with pytest.raises(TooManyAttempts, match=r"the address .* may send 4 MiB per second"):
        limits.take_unproven_body(HERE, LONG_BODY_BYTES_PER_S)
    limits.take_unproven_body(THERE, LONG_BODY_BYTES_PER_S)
    for _ in range(10):  # nothing was taken from the account
        limits.take_long_body(ANN, HERE, LONG_BODY_BYTES_PER_S)
    limits.prove_body(BOB, HERE, 1, counted_bytes=LONG_BODY_BYTES_PER_S)
    limits.take_unproven_body(HERE, LONG_BODY_BYTES_PER_S)
    with pytest.raises(TooManyAttempts, match="the account 'ann'"):
        limits.prove_body(ANN, HERE, 1, counted_bytes=LONG_BODY_BYTES_PER_S)


def test_exempt_addresses_have_no_limit(limits: RequestLimits) -> None:
    for _ in range(200):
        limits.take(ANN, "198.51.100.7")
        limits.take_expensive(ANN, "198.51.100.7")
        limits.take_anonymous("198.51.100.7")
        limits.take_long_body(ANN, "198.51.100.7", LONG_BODY_BYTES_PER_S)


def test_a_hundred_machines_under_juju_meet_no_limit(clock: Clock) -> None:
    limits = RequestLimits(clock=clock)
    for second in range(600):
        clock.now = second
        for machine in range(100):
            limits.take(ANN, HERE)  # reads its machine
            if (second + machine) % 5 == 0:
                limits.take(ANN, HERE)  # lists all that it has allocated
                limits.take_expensive(ANN, HERE)
            if second == 0:
                limits.take(ANN, HERE)
                limits.take_expensive(ANN, HERE)  # allocates


def test_thirty_two_callers_that_compose_in_a_row_meet_no_limit(clock: Clock) -> None:
    limits = RequestLimits(clock=clock)
    for number in range(1000):  # the benchmark composes 640, at 126 per second
        clock.now = number / 500
        limits.take(ANN, HERE)
        limits.take_expensive(ANN, HERE)
