"""How long requests took, as the percentiles that are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable

from attrs import frozen


@frozen(kw_only=True)
class Latencies:
    """Of `number` requests; all 0 without any."""

    number: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    @classmethod
    def of(cls, each_ms: Iterable[float]) -> Latencies:
        ordered = sorted(each_ms)
        if not ordered:
            return cls()

        def percentile(share: float) -> float:
            return round(ordered[math.ceil(share * len(ordered)) - 1], 1)

        return cls(number=len(ordered), p50_ms=percentile(0.5), p99_ms=percentile(0.99))
