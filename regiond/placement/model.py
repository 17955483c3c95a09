"""Requirements of a machine, evaluations of hosts, and the placement that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import ge

from common.units import BYTES_PER_GB
from common.values import NicKind
from regiond.placement.affinity import NO_MEMBERS, GroupMembers, GroupOnHost, GroupRule, Policy
from regiond.placement.candidate import (
    Candidate,
    CandidateHugePages,
    CandidateInterface,
    CandidateNode,
    CandidateStoragePool,
    CandidateSubnet,
)
from regiond.placement.checks import CHECK_OF_SUMMARY, Check, Failure

# the values of other modules that this one makes public
__all__ = [
    "NO_MEMBERS",
    "Candidate",
    "CandidateHugePages",
    "CandidateInterface",
    "CandidateNode",
    "CandidateStoragePool",
    "CandidateSubnet",
    "Check",
    "Failure",
    "GroupMembers",
    "GroupOnHost",
    "GroupRule",
    "Policy",
]

Strategy = Literal["spread", "pack"]
DEFAULT_ROOT_BYTES = 8 * BYTES_PER_GB
NO_SPACE = "undefined"  # MAAS's name for the space of a VLAN that is in none


@frozen(kw_only=True)
class HostFilter:
    """The hosts that may take the machine, whatever their free capacity. An empty field excludes nothing.

    Several values of a field are alternatives, but a host must have all of `tags` and none of `not_tags`. Zones and
    resource pools are names, drivers are the API's host types. `tried_host_ids` are hosts on which this compose
    already failed. Outside of `within_pool_ids` (None: anywhere) the request may not use hosts, nor know of them.
    """

    host_ids: frozenset[int] = frozenset()
    not_host_ids: frozenset[int] = frozenset()
    tried_host_ids: frozenset[int] = frozenset()
    within_pool_ids: frozenset[int] | None = None
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
class DiskRequirement:
    """One disk. `size_bytes` 0 (root disk only) means any size.

    A tag is the name of a storage pool or free text, which only labels the disk. The disk must be in one of `pools`,
    unless they are empty.
    """

    label: str
    size_bytes: int
    tags: tuple[str, ...]
    pools: tuple[str, ...] = ()


@frozen(kw_only=True)
class Condition:
    """One key of an interface constraint: any of `values` satisfies it; if `negated`, none may match."""

    key: str
    values: tuple[str, ...]
    negated: bool = False


@frozen(kw_only=True)
class NicRequirement:
    """One NIC, to be attached to a host interface that satisfies all `conditions`.

    `ip` is a static address for the NIC. If not `configured` (`mode=unconfigured`), it gets no address at all.
    """

    label: str
    conditions: tuple[Condition, ...] = ()
    ip: str | None = None
    configured: bool = True


NetworkType = Literal["fabric", "space", "vlan", "subnet"]


@frozen(kw_only=True)
class NamedNetwork:
    """A fabric, space, VLAN or subnet that a constraint names: `by` `id`, `name`, `vid`, `cidr`, `class` or `ip`.

    `text` is the pair as written, such as `not_space=dmz`; `label` is that of its NIC. Both are for messages.
    """

    of: NetworkType
    by: str
    value: str
    label: str
    text: str


@frozen(kw_only=True)
class PinRequirement:
    """Cores for exclusive use: those of `core_ids`, or any `count` cores of one NUMA node."""

    core_ids: tuple[int, ...] = ()
    count: int | None = None


@frozen(kw_only=True)
class Requirements:
    """The requirements of a machine on its host. `host_id` names the host; None lets the score choose among `hosts`.

    Empty `nics` means one NIC on the host's default network. With `huge_pages`, huge pages back all memory, of size
    `huge_page_size_kib` if given. With `one_numa_node`, pinned cores and huge pages come from a single node. `groups`
    are the machine's affinity and anti-affinity groups.
    """

    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    disks: tuple[DiskRequirement, ...]
    architecture: str | None = None
    cpu_speed_mhz: int | None = None
    host_id: int | None = None
    hosts: HostFilter = ANY_HOST
    nics: tuple[NicRequirement, ...] = ()
    pins: PinRequirement | None = None
    huge_pages: bool = False
    huge_page_size_kib: int | None = None
    one_numa_node: bool = False
    groups: tuple[GroupRule, ...] = ()

    @property
    def needs_nodes(self) -> bool:
        """Whether the evaluation reads `Candidate.nodes`."""
        return self.pins is not None or self.huge_pages


@frozen(kw_only=True)
class DiskPlacement:
    """A disk and its storage pool. `label` and `tags` are those of the requirement."""

    label: str
    size_bytes: int
    tags: tuple[str, ...]
    storage_pool_id: int
    storage_pool: str


@frozen(kw_only=True)
class NicAttachment:
    """A NIC and what it is attached to. `name` is that of the NIC in the guest; `kind` is the kind of `source`.

    `function_port` is set if the NIC uses a virtual function. `subnet_id` is the subnet of `ip`, or the only possible
    one.
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
class HugePagesPlacement:
    """A number of huge pages of one NUMA node."""

    node_id: int
    size_kib: int
    pages: int


@frozen(kw_only=True)
class Evaluation:
    """The result for one host: `failures` for its rejection, or its score and everything that the machine gets there.

    `notes` are what the caller may not expect of a host that fits.
    `disks` are in the order of the requirements, the root disk first. `numa_node_ids` are the nodes of the memory;
    empty leaves the choice to the host. `lacks_compute`: a failure is that claims leave too few cores or memory.
    `unmet` are the soft rules of its groups that the host does not satisfy, and `conflicts` counts the machines
    concerned.
    """

    host_id: int
    host_name: str
    failures: tuple[Failure, ...] = ()
    lacks_compute: bool = field(default=False, eq=False)
    notes: tuple[str, ...] = ()
    score: float | None = None
    disks: tuple[DiskPlacement, ...] = ()
    nics: tuple[NicAttachment, ...] = ()
    pinned_core_ids: tuple[int, ...] = ()
    pages: tuple[HugePagesPlacement, ...] = ()
    numa_node_ids: tuple[int, ...] = ()
    unmet: tuple[str, ...] = ()
    conflicts: int = 0

    @property
    def fits(self) -> bool:
        return not self.failures

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(failure.reason for failure in self.failures)

    @property
    def storage_pool_ids(self) -> tuple[int, ...]:
        return tuple(disk.storage_pool_id for disk in self.disks)


@frozen(kw_only=True)
class Placement:
    """`ranked` are the hosts that fit, the best first; `rejected` the others, each with at least one failure.

    `summarized` counts, by reason (`SUMMARY`), hosts that were not evaluated individually because there are too many.
    """

    ranked: tuple[Evaluation, ...]
    rejected: tuple[Evaluation, ...]
    summarized: Mapping[str, int] = field(factory=dict)

    @property
    def chosen(self) -> Evaluation | None:
        return self.ranked[0] if self.ranked else None


@frozen(kw_only=True)
class DryRun:
    """The placements of as many of the machines as fit, at least the first one's; and why a quota refuses them."""

    placements: tuple[Placement, ...]
    refusal: str | None = None

    @property
    def placement(self) -> Placement:
        return self.placements[0]

    @property
    def fitting(self) -> tuple[Evaluation, ...]:
        """The host of each machine that fits, in their order."""
        return tuple(one.chosen for one in self.placements if one.chosen is not None)


@frozen(kw_only=True)
class PendingClaim:
    """A machine whose claims on the host of `evaluation` may not be visible in the database yet."""

    requirements: Requirements
    evaluation: Evaluation
    host: Candidate | None = None


def explain(placement: Placement, *, reserved: Evaluation | None = None) -> Mapping[str, Any]:
    """Returns the placement as plain data. `reserved` replaces the best host after a lost race for it."""
    chosen = reserved or placement.chosen
    return {
        "chosen": chosen.host_name if chosen else None,
        "chosen_id": chosen.host_id if chosen else None,
        "disks": [_disk(disk) for disk in chosen.disks] if chosen else [],
        "notes": list(chosen.notes) if chosen else [],
        "nics": [_nic(nic) for nic in chosen.nics] if chosen else [],
        "pinned_cores": list(chosen.pinned_core_ids) if chosen else [],
        "huge_pages": [_pages(pages) for pages in chosen.pages] if chosen else [],
        "fitting": [
            {"host": one.host_name, "host_id": one.host_id, "score": one.score, "unmet": list(one.unmet)}
            for one in placement.ranked
        ],
        "rejected": [_rejected(one) for one in placement.rejected],
        "summarized": [
            {"hosts": hosts, "reason": reason, "check": CHECK_OF_SUMMARY.get(reason)}
            for reason, hosts in placement.summarized.items()
        ],
    }


def _rejected(one: Evaluation) -> Mapping[str, object]:
    return {
        "host": one.host_name,
        "host_id": one.host_id,
        "reasons": list(one.reasons),
        "checks": [failure.check.value for failure in one.failures],
    }


def _disk(disk: DiskPlacement) -> Mapping[str, object]:
    return {"label": disk.label, "size": disk.size_bytes, "tags": list(disk.tags), "storage_pool": disk.storage_pool}


def _nic(nic: NicAttachment) -> Mapping[str, object]:
    """Ids are those of the host's interface and its networks; `interface` is the name of the host's interface."""
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


def _pages(pages: HugePagesPlacement) -> Mapping[str, object]:
    return {"node": pages.node_id, "page_size": pages.size_kib * 1024, "pages": pages.pages}
