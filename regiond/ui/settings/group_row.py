"""Rows of the lists of resource pools and zones: a group with its hosts and what they have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from regiond.groups.model import ResourcePool, Zone
from regiond.ledger.model import GroupCapacity
from regiond.ui import formats
from regiond.ui.meter import Meter, meter_of


@frozen(kw_only=True)
class GroupRow:
    """A pool or zone. The meters are None without hosts. `unreachable`: servers that the meters leave out."""

    group: ResourcePool | Zone
    is_default: bool
    hosts: int = 0
    machines: int = 0
    unreachable: int = 0
    cores: Meter | None = None
    memory: Meter | None = None
    storage: Meter | None = None


def group_rows(
    groups: Iterable[ResourcePool | Zone],
    capacities: Iterable[GroupCapacity],
    machines: Mapping[int, int],
    *,
    default_id: int,
) -> tuple[GroupRow, ...]:
    """In the order of `groups`; those without capacity have no hosts. `machines` counts VMs by id of the group."""
    found = {one.name: one for one in capacities}
    return tuple(
        _row(group, found.get(group.name), machines.get(group.id, 0), is_default=group.id == default_id)
        for group in groups
    )


def _row(group: ResourcePool | Zone, counted: GroupCapacity | None, machines: int, *, is_default: bool) -> GroupRow:
    if counted is None:
        return GroupRow(group=group, is_default=is_default, machines=machines)
    total = counted.capacity
    return GroupRow(
        group=group,
        is_default=is_default,
        machines=machines,
        hosts=sum(counted.states.values()),
        unreachable=counted.unreachable_servers,
        cores=meter_of("CPU cores", total.cores),
        memory=meter_of("RAM", total.memory_mib, unit="GiB", text=formats.gib),
        storage=meter_of("Storage", total.storage_bytes, unit="GB", text=formats.gb),
    )
