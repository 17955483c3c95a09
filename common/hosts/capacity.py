"""The capacity of a host, a cluster or the fleet: one object, the same in every interface."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen
from attrs.validators import ge


@frozen(kw_only=True)
class ResourceCapacity:
    """One resource. `free` is what composes can still get of it.

    `total` is what the hardware has, `claimable` what Innkeeper may hand out of it: reserves subtracted, then the
    overcommit ratio applied. `claimed` is held by Innkeeper's machines on this host, `elsewhere` by everything else on
    the same server: machines of its other hosts, foreign guests, and for storage also images and other data. On a host
    that takes machines `free` is `claimable - claimed - elsewhere`, at least 0.
    """

    total: int = field(default=0, validator=ge(0))
    claimable: int = field(default=0, validator=ge(0))
    claimed: int = field(default=0, validator=ge(0))
    elsewhere: int = field(default=0, validator=ge(0))
    free: int = field(default=0, validator=ge(0))


NOTHING = ResourceCapacity()


@frozen(kw_only=True)
class Capacity:
    """`memory_mib` is general memory: memory in huge pages counts in its `total` only.

    `storage_pools` are in bytes, by name, and `storage_bytes` is their sum. `huge_pages` counts pages, by the size of a
    page in KiB. `pinned_cores` counts cores to which a guest can be pinned alone; None if the host reports no NUMA
    nodes. `virtual_functions` is by the name of the physical port.
    """

    cores: ResourceCapacity = NOTHING
    memory_mib: ResourceCapacity = NOTHING
    storage_bytes: ResourceCapacity = NOTHING
    storage_pools: Mapping[str, ResourceCapacity] = field(factory=dict)
    pinned_cores: ResourceCapacity | None = None
    huge_pages: Mapping[str, ResourceCapacity] = field(factory=dict)
    virtual_functions: Mapping[str, ResourceCapacity] = field(factory=dict)
