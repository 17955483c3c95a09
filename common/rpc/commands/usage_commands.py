"""Commands of a region to a rack that read the usage of hosts and guests from its memory.

They call no host. Released commands only grow.
"""

from __future__ import annotations

from attrs import frozen

from common.hosts.usage import HostUsage, UsageHistory
from common.rpc.commands.command import Command


@frozen(kw_only=True)
class UsageCall:
    """Asks for the newest samples of these hosts. The rack leaves out hosts of which it has none."""

    host_ids: tuple[int, ...]


@frozen(kw_only=True)
class UsageHistoryCall:
    """Asks for the samples of a host, or of its guest with this name."""

    host_id: int
    guest: str | None = None


RACK_USAGE = Command("rack.usage", UsageCall, HostUsage, streams=True)
RACK_USAGE_HISTORY = Command("rack.usage_history", UsageHistoryCall, UsageHistory)
