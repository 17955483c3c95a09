"""Reads the capacity of each zone and resource pool, and how much of it is used."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from common.hosts.capacity import Capacity, ResourceCapacity
from common.process.metric_families import Family, Sample
from regiond.db.pool import Db
from regiond.ledger.capacities import capacities_of_hosts
from regiond.ledger.capacity_totals import fleet_capacity
from regiond.ledger.model import GroupCapacity
from regiond.metrics.families import Reading

EVERY_S = 60.0  # reads every host
MOST_SERIES = 100  # of a family
OTHER = "(other)"  # no zone or pool can have this name
_MIB = 1024 * 1024
_RESOURCES: Mapping[str, tuple[str, Callable[[Capacity], ResourceCapacity], int]] = {
    "cores": ("cores", lambda capacity: capacity.cores, 1),
    "memory_bytes": ("memory without huge pages", lambda capacity: capacity.memory_mib, _MIB),
    "storage_bytes": ("storage", lambda capacity: capacity.storage_bytes, 1),
}
_GROUPS = {"zone": "zone", "pool": "resource pool"}


def _families(verb: str, text: str) -> dict[tuple[str, str], Family]:
    return {
        (label, unit): Family(
            name=f"{label}_{verb}_{unit}",
            text=text.format(what=what[0].upper() + what[1:], group=f"{group}, of the hosts that are reached"),
            labels=(label,),
        )
        for label, group in _GROUPS.items()
        for unit, (what, _, _) in _RESOURCES.items()
    }


_CAPACITY = _families("capacity", "{what} that VMs may get, with reserves and overcommit ratios counted, by {group}.")
_USED = _families("used", "{what} that VMs and other guests hold, by {group}.")


async def _read(db: Db) -> AsyncIterator[Sample]:
    hosts = await capacities_of_hosts(db)
    fleet = await asyncio.to_thread(fleet_capacity, hosts)  # 0.1 ms a host
    for sample in (*samples_of("zone", fleet.zones), *samples_of("pool", fleet.pools)):
        yield sample


def samples_of(label: str, groups: Iterable[GroupCapacity]) -> list[Sample]:
    """Returns the samples of the groups, at most MOST_SERIES of a family: from then on `(other)` is their sum."""
    merged: defaultdict[tuple[Family, str], int] = defaultdict(int)
    for number, group in enumerate(groups, start=1):
        name = (group.name or OTHER) if number < MOST_SERIES else OTHER
        for unit, (_, of, factor) in _RESOURCES.items():
            resource = of(group.capacity)
            merged[_CAPACITY[label, unit], name] += factor * resource.claimable
            merged[_USED[label, unit], name] += factor * (resource.claimed + resource.elsewhere)
    return [Sample(family, value, (name,)) for (family, name), value in merged.items()]


CAPACITY = Reading(name="capacity", families=(*_CAPACITY.values(), *_USED.values()), read=_read, every_s=EVERY_S)
