"""Quotas with their usage as they were read last, so that no page waits for a slow query."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context

from attrs import define

from regiond.quotas.model import Quota

# The usage of quotas is a sum over VMs. Where reading it is slow, pages show that of the last round of `note`; where it
# is quick, it takes at most a twentieth of the time.
QUICK_S = 0.02
QUOTA_SHARE = 20


@define(kw_only=True)
class RecentQuotas:
    """The quotas with their usage, as they were read last."""

    query: Callable[[], Awaitable[tuple[Quota, ...]]]
    found: tuple[Quota, ...] = ()
    took_s: float = 0.0
    valid_until: float = 0.0  # of time.monotonic()
    _reading: asyncio.Task[tuple[Quota, ...]] | None = None

    async def recent(self) -> tuple[Quota, ...]:
        """Returns them; waits only for a query that was quick the last time. Pages at once share one query."""
        if self.took_s <= QUICK_S and time.monotonic() >= self.valid_until:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self.read(), context=Context())
            await asyncio.shield(self._reading)
        return self.found

    async def read(self) -> tuple[Quota, ...]:
        """Returns them as they are now: with a query of its own."""
        began = time.monotonic()
        self.found = await self.query()
        ended = time.monotonic()
        self.took_s = ended - began
        self.valid_until = ended + QUOTA_SHARE * self.took_s
        return self.found
