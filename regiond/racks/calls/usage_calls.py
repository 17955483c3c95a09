"""Reads the usage of hosts and guests from the memory of the racks that watch the hosts.

No call reaches a host.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from uuid import UUID

import structlog
from attrs import evolve

from common.errors import InnkeeperError
from common.hosts.usage import HostUsage, UsageHistory
from common.rpc.commands.usage_commands import RACK_USAGE, RACK_USAGE_HISTORY, UsageCall, UsageHistoryCall
from regiond.racks.calls.live_links import LiveLinks

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DEADLINE_S = 3.0  # a page waits for it
FRESH_S = 4.0  # how long an answer is used again: racks sample every ten seconds
MAX_GUESTS = 50_000  # of one answer; a rack that sends more is not believed


class UsageCalls:
    """`watching` returns the rack through which this process watches each host: that rack samples the host."""

    def __init__(self, links: LiveLinks, watching: Callable[[], Mapping[int, UUID]]) -> None:
        self._links = links
        self._watching = watching
        self._known: dict[int, tuple[float, HostUsage | None]] = {}  # with the time on `time.monotonic`

    async def newest(self, host_ids: Iterable[int]) -> dict[int, HostUsage]:
        """Returns the newest sample of those of the hosts that have one. Raises nothing: usage is never essential."""
        wanted, watching = set(host_ids), self._watching()
        self._forget(watching)
        now_s = time.monotonic()
        unknown: dict[UUID, list[int]] = defaultdict(list)
        for host_id in wanted & watching.keys():
            if self._known.get(host_id, (-FRESH_S, None))[0] <= now_s - FRESH_S:
                unknown[watching[host_id]].append(host_id)
        await asyncio.gather(*(self._ask(rack_id, sorted(asked), now_s) for rack_id, asked in unknown.items()))
        found = {host_id: self._known[host_id][1] for host_id in wanted if host_id in self._known}
        return {host_id: one for host_id, one in found.items() if one is not None}

    async def newest_of_all(self) -> dict[int, HostUsage]:
        """Returns the newest sample of every host that has one."""
        return await self.newest(self._watching())

    async def history(self, host_id: int, guest: str | None = None) -> UsageHistory:
        """Returns the samples of a host, or of a guest of it; none if the rack has none or does not answer."""
        rack_id = self._watching().get(host_id)
        link = None if rack_id is None else self._links.get(rack_id)
        if link is None:
            return UsageHistory()
        call = UsageHistoryCall(host_id=host_id, guest=guest)
        try:
            found = await link.call(RACK_USAGE_HISTORY, call, deadline_s=DEADLINE_S)
        except InnkeeperError as error:
            log.info("usage_history_not_read", rack=link.peer.name, code=error.code, reason=error.message)
            return UsageHistory()
        return found

    async def _ask(self, rack_id: UUID, host_ids: list[int], now_s: float) -> None:
        link = self._links.get(rack_id)
        if link is None:
            return
        found: dict[int, HostUsage] = {}
        guests = 0
        try:
            call = UsageCall(host_ids=tuple(host_ids))
            async with aclosing(link.stream(RACK_USAGE, call, deadline_s=DEADLINE_S)) as parts:
                async for part in parts:
                    guests += len(part.guests)
                    if part.host_id not in host_ids or guests > MAX_GUESTS:
                        log.warning("usage_rejected", rack=link.peer.name, host_id=part.host_id, guests=guests)
                        return
                    before = found.get(part.host_id)
                    found[part.host_id] = part if before is None else evolve(part, guests=before.guests + part.guests)
        except InnkeeperError as error:
            log.info("usage_not_read", rack=link.peer.name, code=error.code, reason=error.message)
            return
        for host_id in host_ids:
            self._known[host_id] = now_s, found.get(host_id)

    def _forget(self, watching: Mapping[int, UUID]) -> None:
        for host_id in self._known.keys() - watching.keys():
            del self._known[host_id]
