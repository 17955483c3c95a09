"""What the doubles answer about usage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from common.hosts.usage import Usage, UsageHistory
from regiond.hosts.model import HostView
from regiond.machines.values.model import MachineView
from regiond.usage.model import UsageView

AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HISTORY = UsageHistory(
    at=AT,
    ages_s=(20.0, 10.0, 0.0),
    cpu_cores=(None, 0.5, 1.0),
    memory_used_bytes=(1024.0**3,) * 3,
    read_rate=(None, 0.0, 2048.0),
    written_rate=(None, 0.0, 1024.0),
    received_rate=(None, 500.0, 100.0),
    sent_rate=(None, 100.0, 300.0),
)
USED = UsageView(
    sampled_at=AT,
    cores=2,
    memory_bytes=2 * 1024**3,
    usage=Usage(
        cpu_cores=1.0, memory_used_bytes=1024**3, read_rate=2048.0, written_rate=1024.0, received_rate=100.0,
        sent_rate=300.0,
    ),
    history=HISTORY,
)  # fmt: skip
USED_BY_HOST = evolve(USED, summed=("read_rate", "written_rate", "received_rate", "sent_rate"))
UNKNOWN = UsageView(reason="web-1 is off.", cores=2)


def of_machines(machines: Iterable[MachineView]) -> Mapping[str, UsageView]:
    return {one.system_id: USED if one.power_state == "on" else UNKNOWN for one in machines}


def of_hosts(hosts: Iterable[HostView]) -> Mapping[int, UsageView]:
    return {one.id: USED_BY_HOST for one in hosts}


ANSWERS: Mapping[str, Any] = {
    "usages.of_machine": USED,
    "usages.of_machines": of_machines,
    "usages.of_host": USED_BY_HOST,
    "usages.of_hosts": of_hosts,
}
