"""The overview: free resources by zone, what needs attention, which tasks wait, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import frozen

from regiond.api.replies import Reply
from regiond.events.model import EventFilter
from regiond.ledger.model import GroupCapacity
from regiond.ui.attention.attention_row import OF_KIND, overview_lines
from regiond.ui.hosts.host_row import look_of
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.views.meter import memory_meter, meter_of, storage_meter
from regiond.ui.words.event_groups import grouped

_EVENTS = 500  # that are read; as many lines of them are shown as the next number says
_CHANGES = 12
_TASKS = 10
_ZONES = 12


@frozen(kw_only=True)
class ZoneRow:
    """The free resources of a zone's hosts that are open for placement, as texts with units."""

    name: str
    hosts: int
    open_hosts: int
    cores: str
    memory: str
    storage: str


async def show(visit: Visit) -> Reply:
    services, caller = visit.services, visit.caller
    hosts = (await services.hosts.search("", caller=caller)).hosts
    if not hosts:
        return await visit.page("first_run.html", title=text("Welcome"), section="overview")
    capacity = await services.hosts.capacity(caller=caller)
    open_capacity = capacity.fleet.open
    groups = await services.attention.groups(per_kind=OF_KIND, caller=caller)
    waiting = await services.operations.list(states=("waiting", "undoing"), limit=_TASKS, caller=caller)
    events = await services.events.list(EventFilter(limit=_EVENTS), caller=caller)
    return await visit.page(
        "overview.html",
        title=text("Overview"),
        section="overview",
        states_of_hosts=Counter((host.judgement.condition, look_of(host.judgement)) for host in hosts).most_common(),
        hosts=len(hosts),
        open_hosts=sum(host.judgement.is_open for host in hosts),
        machines=await services.machines.count(caller=caller),
        meters_of_open=(
            (text("CPU cores"), text("× ratio of each host"), meter_of(text("CPU cores"), open_capacity.cores)),
            (text("RAM"), text("general memory"), memory_meter(text("RAM"), open_capacity.memory_mib)),
            (text("Storage"), text("claimed disk sizes"), storage_meter(text("Storage"), open_capacity.storage_bytes)),
        ),
        zones=_zone_rows(capacity.zones),
        all_zones=len(capacity.zones),
        attention=overview_lines(groups, caller),
        attention_count=sum(group.count for group in groups),
        waiting=[(task, await services.operations.wait_reason(task, caller=visit.caller)) for task in waiting],
        changes=grouped(events, most=_CHANGES),
    )


def _zone_rows(zones: Iterable[GroupCapacity]) -> Sequence[ZoneRow]:
    """The zones with the most hosts, by name."""
    largest = sorted(zones, key=lambda zone: -sum(zone.states.values()))[:_ZONES]
    return [
        ZoneRow(
            name=zone.name or "",
            hosts=sum(zone.states.values()),
            open_hosts=zone.open_hosts,
            cores=formats.number(zone.open.cores.free),
            memory=formats.memory(zone.open.memory_mib.free),
            storage=formats.storage(zone.open.storage_bytes.free),
        )
        for zone in sorted(largest, key=lambda zone: zone.name or "")
    ]


PAGES = (Page(path="overview", handle=show),)
