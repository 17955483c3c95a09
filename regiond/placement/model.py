"""Evaluations of hosts for a machine, and the placement that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from common.values import NicKind
from regiond.placement.candidate import (
    Candidate,
)
from regiond.placement.checks import CHECK_OF_SUMMARY, Failure
from regiond.placement.requirements import (
    Requirements,
)

# the values of other modules that this one makes public


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
