"""Remembers, every minute, which machines are busy or at their limit, for the filters of lists."""

from __future__ import annotations

from datetime import UTC, datetime

from common.hosts.usage import GuestUsage, HostUsage, Usage
from common.process.periodic import PeriodicTask
from regiond.db.pool import Database
from regiond.racks.calls.usage_calls import UsageCalls
from regiond.usage import store
from regiond.usage.model import STALE_AFTER, UsageView, plausible, plausible_share
from regiond.usage.store import Reading

EVERY_S = 60.0


class UsageRecords:
    """Each region records the machines of the hosts that it watches: one call for each rack, one statement for all."""

    def __init__(self, database: Database, calls: UsageCalls) -> None:
        self._database = database
        self._calls = calls
        self._task = PeriodicTask("usage_records", self.record, every_s=EVERY_S, first_after_s=EVERY_S)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def record(self) -> None:
        """Records the newest samples. Idempotent."""
        oldest = datetime.now(UTC) - STALE_AFTER
        found = [one for one in (await self._calls.newest_of_all()).values() if one.at >= oldest]
        readings = [reading for host in found for guest in host.guests if (reading := _reading(host, guest))]
        if readings:
            async with self._database.transaction() as db:
                await store.record(db, readings)


def _reading(host: HostUsage, guest: GuestUsage) -> Reading | None:
    """Returns None for a guest without a known CPU usage, such as one that has just started."""
    usage, space = plausible(guest.usage), plausible_share(guest.space_share)
    if usage.cpu_cores is None:
        return None
    view = UsageView(usage=usage)
    return Reading(
        host_id=host.host_id,
        guest=guest.name,
        cores_used=usage.cpu_cores,
        rate=(view.disk_rate or 0.0) + (view.network_rate or 0.0),
        memory_share=_share(usage) if guest.memory_is_reported else None,
        space_share=space,
    )


def _share(usage: Usage) -> float | None:
    """The used share of the guest's memory."""
    if usage.memory_used_bytes is None or not usage.memory_bytes:
        return None
    return usage.memory_used_bytes / usage.memory_bytes
