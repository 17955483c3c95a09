"""The frame around the content of every page: the navigation with its counts, and the status bar."""

from __future__ import annotations

import asyncio

from attrs import frozen

from regiond.api.services import Services
from regiond.operations.model import Operation
from regiond.requests.caller import Caller
from regiond.ui.texts import text

HEARTBEAT_S = 5.0  # between two signs of life on the stream of a page; see decision 56 for what they cost
_MOST_TASKS = 100
_ENDED = ("succeeded", "failed", "cancelled")


@frozen(kw_only=True)
class Entry:
    """One link of the navigation."""

    name: str
    icon: str
    segment: str
    count: str | None = None
    alert: str = ""  # how bad what is counted is: bad or caution; empty: it is not


@frozen(kw_only=True)
class Frame:
    """`running` are open tasks; `last` is the task that ended last."""

    entries: tuple[Entry, ...]
    running: str
    running_count: int
    last: Operation | None
    heartbeat_s: float = HEARTBEAT_S


async def read_frame(services: Services, caller: Caller) -> Frame:
    hosts, clusters, machines, running, attention, ended = await asyncio.gather(
        services.hosts.count(caller=caller),
        services.clusters.count(caller=caller),
        services.machines.count(caller=caller),
        services.operations.count_open(limit=_MOST_TASKS, caller=caller),
        services.attention.counts(caller=caller),
        services.operations.list(states=_ENDED, limit=1, caller=caller),
    )
    tasks = f"{running}+" if running == _MOST_TASKS else str(running)
    entries = (
        Entry(name=text("Overview"), icon="overview", segment="overview"),
        Entry(
            name=text("Attention"),
            icon="warn",
            segment="attention",
            count=f"{attention.total:,}" if attention.total else None,
            alert="bad" if attention.broken else "caution",
        ),
        Entry(name=text("Hosts"), icon="host", segment="hosts", count=f"{hosts:,}"),
        Entry(name=text("Clusters"), icon="cluster", segment="clusters", count=f"{clusters:,}"),
        Entry(name=text("VMs"), icon="vm", segment="vms", count=f"{machines:,}"),
        Entry(name=text("Tasks"), icon="tasks", segment="tasks", count=tasks if running else None),
        Entry(name=text("Events"), icon="clock", segment="events"),
        Entry(name=text("Networks"), icon="network", segment="networks"),
        Entry(name=text("Pools and zones"), icon="pools", segment="pools"),
    )
    return Frame(entries=entries, running=tasks, running_count=running, last=ended[0] if ended else None)
