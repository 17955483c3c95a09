"""JSON of what machines and hosts use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.hosts.usage import UsageHistory
from common.units import BYTES_PER_MIB
from regiond.api.declaration.serializer import (
    INT,
    NUMBER,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    key,
    nullable,
    serializer,
)
from regiond.usage.model import UsageView, percent

_NAMES: Mapping[str, str] = {
    "cpu_cores": "cpu_percent", "memory_used_bytes": "memory_used", "read_rate": "disk_read",
    "written_rate": "disk_written", "received_rate": "network_received", "sent_rate": "network_sent",
}  # fmt: skip
_WHOLE = array(nullable(INT))


def _rate(value: float | None) -> int | None:
    return None if value is None else round(value)


def _mib(value: float | None) -> int | None:
    return None if value is None else round(value / BYTES_PER_MIB)


def _rates(values: Iterable[float | None]) -> list[int | None]:
    return [_rate(one) for one in values]


def _times(found: UsageHistory) -> list[float]:
    return list(found.ages_s)


def _cpu_percents(view: UsageView) -> list[float | None]:
    return [percent(cores, view.cores) for cores in view.history.cpu_cores]


_HISTORY: Serializer[UsageView] = serializer(
    "UsageHistory",
    key("ages", array(NUMBER), lambda one: _times(one.history)),
    key("cpu_percent", array(nullable(NUMBER)), _cpu_percents),
    key("memory_used", _WHOLE, lambda one: [_mib(used) for used in one.history.memory_used_bytes]),
    key("disk_read", _WHOLE, lambda one: _rates(one.history.read_rate)),
    key("disk_written", _WHOLE, lambda one: _rates(one.history.written_rate)),
    key("network_received", _WHOLE, lambda one: _rates(one.history.received_rate)),
    key("network_sent", _WHOLE, lambda one: _rates(one.history.sent_rate)),
)  # fmt: skip
USAGE_JSON: Serializer[UsageView] = serializer(
    "Usage",
    key("sampled_at", nullable(TIMESTAMP), lambda one: one.sampled_at),
    key("reason", STR, lambda one: one.reason),
    key("cores", nullable(INT), lambda one: one.cores),
    key("cpu_percent", nullable(NUMBER), lambda one: one.cpu_percent),
    key("memory", nullable(INT), lambda one: _mib(one.memory_bytes)),
    key("memory_used", nullable(INT), lambda one: _mib(one.usage.memory_used_bytes)),
    key("disk_full_percent", nullable(NUMBER), lambda one: one.space_percent),
    key("disk_read", nullable(INT), lambda one: _rate(one.usage.read_rate)),
    key("disk_written", nullable(INT), lambda one: _rate(one.usage.written_rate)),
    key("network_received", nullable(INT), lambda one: _rate(one.usage.received_rate)),
    key("network_sent", nullable(INT), lambda one: _rate(one.usage.sent_rate)),
    key("sums_of_guests", array(STR), lambda one: [_NAMES[name] for name in one.summed if name in _NAMES]),
    key("at_limit", array(STR), lambda one: list(one.at_limit)),
    key("history", nullable(_HISTORY), lambda one: one if one.history.at is not None else None),
)
