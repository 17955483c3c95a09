"""Usage of a host or a machine, in relation to what it has. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import quote

from attrs import evolve, field, frozen

from common.hosts.usage import HISTORY_FIELDS, HostUsage, Usage, UsageHistory
from common.units import BYTES_PER_MIB
from common.words.messages import message
from regiond.machines.values.search import MachineColumn

STALE_AFTER = timedelta(minutes=2)  # a rack samples every ten seconds, and pauses a minute after a failure
_MAX = 1e18
_MAX_SAMPLES = 1000


@frozen(kw_only=True)
class UsageView:
    """The newest sample of a machine or a host, with what it has: cores and memory.

    Without a sample `sampled_at` is None, and `reason` says why. Values that are sums of the guests of a host are named
    in `summed`. `history` is empty unless it was asked for.
    """

    sampled_at: datetime | None = None
    reason: str = ""
    cores: int | None = None
    memory_bytes: int | None = None
    usage: Usage = field(factory=Usage)
    space_share: float | None = None  # used, of the fullest file system in the guest
    summed: tuple[str, ...] = ()
    at_limit: tuple[str, ...] = ()  # of `cpu`, `memory` and `disk`: limits of a machine for ten minutes
    history: UsageHistory = field(factory=UsageHistory)
    longer_history_url: str = ""  # of a page with more than an hour; empty: there is none

    @property
    def cpu_percent(self) -> float | None:
        """The share of its cores, at most 100."""
        return percent(self.usage.cpu_cores, self.cores)

    @property
    def memory_percent(self) -> float | None:
        return percent(self.usage.memory_used_bytes, self.memory_bytes)

    @property
    def space_percent(self) -> float | None:
        """The used share of the fullest file system in the guest."""
        return percent(self.space_share, 1)

    @property
    def disk_rate(self) -> float | None:
        """Bytes per second, read and written."""
        return _total(self.usage.read_rate, self.usage.written_rate)

    @property
    def network_rate(self) -> float | None:
        """Bytes per second, received and sent."""
        return _total(self.usage.received_rate, self.usage.sent_rate)


def amount_of(usage: Usage, column: MachineColumn) -> float | None:
    """Returns what a column of `USED` shows: cores, bytes, or bytes per second."""
    view = UsageView(usage=usage)
    match column:
        case MachineColumn.CPU_USED:
            return usage.cpu_cores
        case MachineColumn.RAM_USED:
            return usage.memory_used_bytes
        case MachineColumn.DISK_USED:
            return view.disk_rate
        case MachineColumn.NETWORK_USED:
            return view.network_rate
    return None


def filled_url(template: str | None, host_id: int, guest: str = "") -> str:
    """Returns the template with its words replaced; their values are quoted, so that they end no part of the URL."""
    words = {"{host_id}": str(host_id), "{guest}": quote(guest, safe="")}
    return re.sub(r"\{host_id\}|\{guest\}", lambda found: words[found[0]], template or "")


def percent(used: float | None, has: float | None) -> float | None:
    if used is None or not has:
        return None
    return round(min(100.0, 100.0 * used / has), 1)


def host_view(
    found: HostUsage | None, name: str, *, cores: int | None, memory_mib: int | None, now: datetime
) -> UsageView:
    """`name` is that of the host. `cores` and `memory_mib` are what it has, if that is known."""
    memory_bytes = None if memory_mib is None else memory_mib * BYTES_PER_MIB
    if (reason := no_sample(found, name, now)) or found is None:
        return UsageView(reason=reason, cores=cores, memory_bytes=memory_bytes)
    return UsageView(
        sampled_at=found.at, cores=cores, memory_bytes=memory_bytes, usage=plausible(found.usage), summed=found.summed
    )


def machine_view(
    found: HostUsage | None, host_name: str, guest: str, *, cores: int, memory_mib: int, now: datetime, since: datetime
) -> UsageView:
    """`guest` is the name of the machine on its host. An older sample than `since` is that of an earlier guest."""
    empty = UsageView(cores=cores, memory_bytes=memory_mib * BYTES_PER_MIB)
    if (reason := no_sample(found, host_name, now)) or found is None:
        return evolve(empty, reason=reason)
    sample = next((one for one in found.guests if one.name == guest), None)
    if sample is None or found.at < since:
        return evolve(empty, reason=message("It did not run when VM host {host} was last measured.", host=host_name))
    return evolve(
        empty, sampled_at=found.at, usage=plausible(sample.usage), space_share=plausible_share(sample.space_share)
    )


def no_sample(found: HostUsage | None, host_name: str, now: datetime) -> str:
    """Returns why there is no fresh sample of the host; empty if there is one."""
    if found is None:
        return message("No rack has measured VM host {host} since it was connected.", host=host_name)
    if now - found.at > STALE_AFTER:
        return message("VM host {host} was last measured at {time} UTC.", host=host_name, time=f"{found.at:%H:%M:%S}")
    return ""


def plausible(usage: Usage) -> Usage:
    """Returns the usage without numbers that no host can have: a rack's answers are not trusted."""
    names = [name for name in vars_of(usage) if not _is_plausible(getattr(usage, name))]
    return evolve(usage, **dict.fromkeys(names)) if names else usage


def plausible_share(value: float | None) -> float | None:
    return value if value is not None and 0 <= value <= 1 else None


def vars_of(usage: Usage) -> tuple[str, ...]:
    return (*HISTORY_FIELDS, "memory_bytes")


def plausible_history(found: UsageHistory, *, since: datetime | None = None) -> UsageHistory:
    """Returns the samples that are not older than `since`, without numbers that no host can have.

    A guest of the same name, which was deleted before, may have had the older ones.
    """
    if found.at is None or not all(math.isfinite(age) for age in found.ages_s):
        return UsageHistory()
    oldest_s = math.inf if since is None else (found.at - since).total_seconds()
    kept = [index for index, age in enumerate(found.ages_s[-_MAX_SAMPLES:]) if 0 <= age <= oldest_s]
    return UsageHistory(
        at=found.at,
        ages_s=tuple(found.ages_s[-_MAX_SAMPLES:][index] for index in kept),
        **{name: _column(getattr(found, name)[-_MAX_SAMPLES:], kept) for name in HISTORY_FIELDS},
    )


def _column(values: tuple[float | None, ...], kept: Iterable[int]) -> tuple[float | None, ...]:
    known = [values[index] if index < len(values) else None for index in kept]
    return tuple(one if _is_plausible(one) else None for one in known)


def _is_plausible(value: float | None) -> bool:
    return value is None or (math.isfinite(value) and 0 <= value < _MAX)


def _total(*values: float | None) -> float | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None
