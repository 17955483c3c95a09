"""The clock that tests move: what a module stored as a default when it was imported moves too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import fields

from common.rate_limit import RateLimiter
from regiond.api.declaration.endpoint import Call
from tests.support.clock import advance


async def test_a_default_of_an_attribute_moves() -> None:
    default: Any = fields(Call).began_s.default
    now: Callable[[], float] = default.factory
    before = now()
    await advance(1000.0)
    assert now() - before >= 1000.0
    assert now() <= time.monotonic()


async def test_a_default_of_a_parameter_moves() -> None:
    limit = RateLimiter(every_s=1000.0)
    assert limit.allow("once")
    assert not limit.allow("once")
    await advance(1000.0)
    assert limit.allow("once")
