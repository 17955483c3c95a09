"""The rate limiter allows each key once per interval."""

from __future__ import annotations

from common.rate_limit import RateLimiter


def test_each_key_is_allowed_once_per_interval_in_bounded_memory() -> None:
    now = [0.0]
    limiter = RateLimiter(every_s=60.0, size=2, clock=lambda: now[0])
    assert [limiter.allow("a"), limiter.allow("a"), limiter.allow("b")] == [True, False, True]
    now[0] = 60.0
    assert [limiter.allow("a"), limiter.allow("a")] == [True, False]
    assert [limiter.allow("c"), limiter.allow("d"), limiter.allow("a")] == [True, True, True]
