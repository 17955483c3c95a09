"""The series of capacity are bounded: the zones beyond the limit are one."""

from __future__ import annotations

from common.hosts.capacity import Capacity, ResourceCapacity
from common.process.metric_families import metrics_of
from regiond.ledger.model import GroupCapacity
from regiond.metrics.capacity import CAPACITY, MOST_SERIES, OTHER, samples_of


def zone(name: str) -> GroupCapacity:
    cores = ResourceCapacity(total=8, claimable=16, claimed=3, elsewhere=2, free=11)
    memory = ResourceCapacity(total=4, claimable=2, claimed=1)
    capacity = Capacity(cores=cores, memory_mib=memory)
    return GroupCapacity(
        name=name, states={}, servers=1, capacity=capacity, unreachable_servers=0, unreachable=Capacity()
    )


def values(*names: str) -> dict[str, dict[str, float]]:
    samples = samples_of("zone", [zone(name) for name in names])
    metrics = metrics_of(CAPACITY.families, samples)
    return {one.name: {sample.labels["zone"]: sample.value for sample in one.samples} for one in metrics}


def test_used_is_what_anybody_holds() -> None:
    found = values("north", "south")
    assert found["innkeeper_zone_capacity_cores"] == {"north": 16, "south": 16}
    assert found["innkeeper_zone_used_cores"] == {"north": 5, "south": 5}
    assert found["innkeeper_zone_capacity_memory_bytes"]["north"] == 2 * 1024**2


def test_zones_beyond_the_limit_are_one_series() -> None:
    cores = values(*(f"zone{number:03}" for number in range(MOST_SERIES)))["innkeeper_zone_used_cores"]
    assert len(cores) == MOST_SERIES
    cores = values("other", *(f"zone{number:03}" for number in range(MOST_SERIES + 20)))["innkeeper_zone_used_cores"]
    assert len(cores) <= MOST_SERIES
    assert sum(cores.values()) == 5 * (MOST_SERIES + 21)
    assert cores["other"] == 5, "a zone of that name"
    assert cores[OTHER] == 5 * 22
