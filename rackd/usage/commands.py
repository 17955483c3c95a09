"""Handles the region's `rack.usage…` commands from the rack's memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from attrs import evolve

from common.hosts.usage import HostUsage, UsageHistory
from common.rpc.commands.command import Command
from common.rpc.commands.usage_commands import RACK_USAGE, RACK_USAGE_HISTORY, UsageCall, UsageHistoryCall
from common.rpc.handlers import Handler
from rackd.usage.history import Histories

GUESTS_PER_PART = 100  # larger frames delay other calls of the link


class UsageCommands:
    """The handlers of the commands."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories

    def handlers(self) -> Mapping[Command[Any, Any], Handler]:
        return {RACK_USAGE: self.usage, RACK_USAGE_HISTORY: self.history}

    async def usage(self, _: object, call: UsageCall) -> AsyncGenerator[HostUsage, None]:
        """Yields the hosts in parts: each repeats the host, with some of its guests."""
        for host_id in call.host_ids:
            host = self._histories.get(host_id)
            newest = None if host is None else host.newest
            if newest is None:
                continue
            for start in range(0, max(1, len(newest.guests)), GUESTS_PER_PART):
                yield evolve(newest, guests=newest.guests[start : start + GUESTS_PER_PART])

    async def history(self, _: object, call: UsageHistoryCall) -> UsageHistory:
        host = self._histories.get(call.host_id)
        if host is None:
            return UsageHistory()
        return host.read(call.guest)
