"""What placement sees of hosts, what is asked of them, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache

from attrs import field, frozen
from attrs.validators import ge

from common.values import NicKind
from regiond.placement.storage_text import DiskWish


@lru_cache(maxsize=10_000)  # the same few sizes and ratios for every machine placed
def claimable(total: int, ratio: float) -> int:
    """`floor(total × ratio)`, exactly: 100 × 0.29 is 29, not 28."""
    return int((Decimal(str(ratio)) * total).to_integral_value(rounding=ROUND_FLOOR))


@frozen(kw_only=True)
class HostFilter:
    """Which hosts may take the machine at all; a part that is empty lets any pass.

    Several hosts, drivers, zones, resource pools or architectures are alternatives. A host has all of `tags` and none
    of `not_tags`. Zones and resource pools are names; drivers are the words of the API.
    """

    host_ids: frozenset[int] = frozenset()
    not_host_ids: frozenset[int] = frozenset()
    drivers: tuple[str, ...] = ()
    not_drivers: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    not_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    not_architectures: tuple[str, ...] = ()


ANY_HOST = HostFilter()


@frozen(kw_only=True)
class Condition:
    """One key of an interface constraint with its values: any of them will do, or with `negated` none may."""

    key: str
    values: tuple[str, ...]
    negated: bool = False


@frozen(kw_only=True)
class NicWish:
    """A card to make on an interface of the host that meets all `conditions`.

    `ip` is an address that the card is to have; with `configured` False (`mode=unconfigured`) it gets none.
    """

    label: str
    conditions: tuple[Condition, ...] = ()
    ip: str | None = None
    configured: bool = True


@frozen(kw_only=True)
class PinWish:
    """Which cores are the machine's alone: these, or `count` of one node, whole cores as far as that goes."""

    core_ids: tuple[int, ...] = ()
    count: int | None = None


@frozen(kw_only=True)
class Wish:
    """What a machine needs. `host_id` names the host; None leaves the choice among those of `hosts` to the score.

    No `nics` means one card on the host's default network. `huge_pages`: all memory is backed by them, of
    `huge_page_size_kib` where that is given. With `one_numa_node` pinned cores and pages are all of one node.
    """

    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    disks: tuple[DiskWish, ...]
    architecture: str | None = None
    cpu_speed_mhz: int | None = None
    host_id: int | None = None
    hosts: HostFilter = ANY_HOST
    nics: tuple[NicWish, ...] = ()
    pins: PinWish | None = None
    huge_pages: bool = False
    huge_page_size_kib: int | None = None
    one_numa_node: bool = False

    @property
    def needs_nodes(self) -> bool:
        """Whether NUMA nodes of hosts have to be known."""
        return self.pins is not None or self.huge_pages


@frozen(kw_only=True)
class SubnetOffer:
    id: int
    name: str
    cidr: str


@frozen(kw_only=True)
class InterfaceOffer:
    """What a card of a guest can be attached to. Ids and names of networks are None while nothing is known of them.

    `type` is one of `physical`, `bond`, `bridge`, `vlan`, `unknown`: what constraints ask for; `kind` and `name` say
    how it is attached to. `vid` is of its VLAN. `functions` are virtual functions, counted under the port's name
    `function_port` (for a VLAN that of its parent).
    """

    id: int
    name: str
    kind: NicKind
    type: str
    attachable: bool = True
    active: bool = True
    dhcp: bool = False
    vid: int | None = None
    vlan_id: int | None = None
    vlan_name: str | None = None
    fabric_id: int | None = None
    fabric_name: str | None = None
    fabric_class: str | None = None
    space_id: int | None = None
    space_name: str | None = None
    subnets: tuple[SubnetOffer, ...] = ()
    tags: tuple[str, ...] = ()
    link_speed_mbps: int | None = None
    functions_total: int = 0
    functions_free: int = 0
    function_port: str | None = None
    parent: str | None = None  # the interface of the host that leads on from it, if any


@frozen(kw_only=True)
class PagesOffer:
    size_kib: int
    total: int
    free: int


@frozen(kw_only=True)
class NodeOffer:
    """A NUMA node. `free_core_ids` are those that no guest is pinned to; `siblings` groups threads of one core."""

    node_id: int
    core_ids: tuple[int, ...]
    free_core_ids: tuple[int, ...]
    siblings: tuple[tuple[int, ...], ...] = ()
    pages: tuple[PagesOffer, ...] = ()


@frozen(kw_only=True)
class PoolOffer:
    """A storage pool: `room_bytes` is what may still be claimed of `total_bytes`."""

    id: int
    pool_key: str
    name: str
    total_bytes: int
    room_bytes: int


@frozen(kw_only=True)
class HostOffer:
    """A host as placement sees it. Capacity is None while it is unknown; claims are those of the whole server.

    `zone` and `pool` (the resource pool) are names, with their ids beside them. What is reserved is kept for the host
    itself and taken off before the ratios; `huge_memory_mib` is the part of `memory_mib` that only guests backed by
    huge pages can use.
    """

    id: int
    name: str
    state: str
    reachable: bool
    architecture: str | None
    cores: int | None
    memory_mib: int | None
    server_id: int | None = None
    cores_claimed: int = 0
    memory_mib_claimed: int = 0
    cpu_over_commit_ratio: float = 1.0
    memory_over_commit_ratio: float = 1.0
    storage_pools: tuple[PoolOffer, ...] = ()
    default_storage_pool_id: int | None = None
    cpu_speed_mhz: int | None = None
    zone: str = "default"
    zone_id: int = 1
    pool: str = "default"
    pool_id: int = 0
    tags: tuple[str, ...] = ()
    driver: str = ""
    default_macvlan_mode: str | None = None
    reserved_cores: int = 0
    reserved_memory_mib: int = 0
    huge_memory_mib: int = 0
    nodes: tuple[NodeOffer, ...] = ()
    interfaces: tuple[InterfaceOffer, ...] = ()

    @property
    def cores_for_machines(self) -> int:
        return max(0, (self.cores or 0) - self.reserved_cores)

    @property
    def memory_mib_for_machines(self) -> int:
        """General memory, without the reserve."""
        return max(0, (self.memory_mib or 0) - self.huge_memory_mib - self.reserved_memory_mib)

    @property
    def cores_claimable(self) -> int:
        return claimable(self.cores_for_machines, self.cpu_over_commit_ratio)

    @property
    def memory_mib_claimable(self) -> int:
        return claimable(self.memory_mib_for_machines, self.memory_over_commit_ratio)

    @property
    def cores_left(self) -> int:
        return self.cores_claimable - self.cores_claimed

    @property
    def memory_mib_left(self) -> int:
        return self.memory_mib_claimable - self.memory_mib_claimed


@frozen(kw_only=True)
class DiskPlace:
    """A disk and the storage pool of the host that it goes to. `label` and `tags` are those of the wish."""

    label: str
    size_bytes: int
    tags: tuple[str, ...]
    storage_pool_id: int
    storage_pool: str


@frozen(kw_only=True)
class NicPlace:
    """A card and what it is attached to. `name` is the card's own in the guest; `source` what `kind` takes.

    `function_port` is set when it takes a virtual function. `subnet_id` is that of `ip`, or the one known subnet.
    """

    label: str
    name: str
    kind: NicKind
    source: str
    interface_id: int | None = None
    vid: int | None = None
    macvlan_mode: str | None = None
    vlan_id: int | None = None
    subnet_id: int | None = None
    ip: str | None = None
    configured: bool = True
    function_port: str | None = None


@frozen(kw_only=True)
class PagesPlace:
    """So many huge pages of one node."""

    node_id: int
    size_kib: int
    pages: int


@frozen(kw_only=True)
class Verdict:
    """What placement says of one host: `reasons` why not, or its score and where each disk goes, the root one first.

    `nics`, `pinned_core_ids` and `pages` say what else the machine would get there; `numa_node_ids` are those that its
    memory comes from, empty where that is left to the host.
    """

    host_id: int
    host_name: str
    reasons: tuple[str, ...] = ()
    score: float | None = None
    disks: tuple[DiskPlace, ...] = ()
    nics: tuple[NicPlace, ...] = ()
    pinned_core_ids: tuple[int, ...] = ()
    pages: tuple[PagesPlace, ...] = ()
    numa_node_ids: tuple[int, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.reasons

    @property
    def storage_pool_ids(self) -> tuple[int, ...]:
        return tuple(disk.storage_pool_id for disk in self.disks)


@frozen(kw_only=True)
class Placement:
    """`order` holds the hosts that fit, best first; `refused` the others, each with at least one reason.

    `left_out` counts hosts that were not looked at by name, since there are too many, by what was found of them.
    """

    order: tuple[Verdict, ...]
    refused: tuple[Verdict, ...]
    left_out: Mapping[str, int] = field(factory=dict)

    @property
    def chosen(self) -> Verdict | None:
        return self.order[0] if self.order else None

    def as_explanation(self, taken: Verdict | None = None) -> Mapping[str, object]:
        """The answer as plain data, stored with the operation and shown to people.

        `taken` is the host that got the machine in the end, when a race for the best one was lost.
        """
        chosen = taken or self.chosen
        return {
            "chosen": chosen.host_name if chosen else None,
            "chosen_id": chosen.host_id if chosen else None,
            "disks": [_disk(disk) for disk in chosen.disks] if chosen else [],
            "nics": [_nic(nic) for nic in chosen.nics] if chosen else [],
            "pinned_cores": list(chosen.pinned_core_ids) if chosen else [],
            "huge_pages": [_pages(pages) for pages in chosen.pages] if chosen else [],
            "fitting": [
                {"host": verdict.host_name, "host_id": verdict.host_id, "score": verdict.score}
                for verdict in self.order
            ],
            "refused": [
                {"host": verdict.host_name, "host_id": verdict.host_id, "reasons": list(verdict.reasons)}
                for verdict in self.refused
            ],
            "left_out": [{"hosts": hosts, "reason": reason} for reason, hosts in self.left_out.items()],
        }


def _disk(disk: DiskPlace) -> Mapping[str, object]:
    return {"label": disk.label, "size": disk.size_bytes, "tags": list(disk.tags), "storage_pool": disk.storage_pool}


def _nic(nic: NicPlace) -> Mapping[str, object]:
    """Ids are those of what the card is attached to; `interface` is the name of the host's own."""
    return {
        "label": nic.label,
        "name": nic.name,
        "kind": nic.kind.value,
        "interface": nic.source,
        "interface_id": nic.interface_id,
        "vlan": nic.vlan_id,
        "vid": nic.vid,
        "subnet": nic.subnet_id,
        "ip": nic.ip,
    }


def _pages(pages: PagesPlace) -> Mapping[str, object]:
    return {"node": pages.node_id, "page_size": pages.size_kib * 1024, "pages": pages.pages}
