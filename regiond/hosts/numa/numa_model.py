"""The NUMA nodes of a host's server and their use by guests, as the API shows them."""

from __future__ import annotations

from attrs import frozen

from common.hardware import NetworkDevice
from common.hosts.capacity import Capacity


@frozen(kw_only=True)
class Usage:
    """An amount of one resource of a NUMA node or server. `free` is negative if more is claimed than there is."""

    total: int
    used_by_ours: int = 0
    used_by_others: int = 0

    @property
    def free(self) -> int:
        return self.total - self.used_by_ours - self.used_by_others


@frozen(kw_only=True)
class CoreUsage:
    """Ids of hardware threads, sorted. A core to which guests of both kinds are pinned is in both lists."""

    total: tuple[int, ...]
    used_by_ours: tuple[int, ...]
    used_by_others: tuple[int, ...]
    siblings: tuple[tuple[int, ...], ...] = ()

    @property
    def free(self) -> tuple[int, ...]:
        used = {*self.used_by_ours, *self.used_by_others}
        return tuple(core_id for core_id in self.total if core_id not in used)


@frozen(kw_only=True)
class PagesUsage:
    """Huge pages of one size; `pages` is their number."""

    size_kib: int
    pages: Usage


@frozen(kw_only=True)
class NetworkDeviceUsage:
    device: NetworkDevice
    functions: Usage


@frozen(kw_only=True)
class ServerUsage:
    """The claims of all guests on all nodes of a server, with and without pins. `general_mib` is outside huge pages.

    These amounts ignore ratios and reserves; `capacity`, that of the host, is the amount that composes can still claim.
    """

    cores: Usage
    general_mib: Usage
    capacity: Capacity | None = None


@frozen(kw_only=True)
class NumaNodeView:
    """The resources of a node that guests with pins hold; `server` counts all guests and is the same for every node.

    `general_mib` is memory outside huge pages; `guest_ids` are guests with a pin, huge page or function here.
    """

    node_id: int
    cores: CoreUsage
    memory_mib: int
    general_mib: Usage
    huge_pages: tuple[PagesUsage, ...]
    network_devices: tuple[NetworkDeviceUsage, ...]
    guest_ids: tuple[int, ...]
    server: ServerUsage
