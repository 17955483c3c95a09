"""Evaluates one host: filters in a fixed order, then everything the machine needs, then a score."""

from __future__ import annotations

from regiond.placement.affinity import NO_MEMBERS, GroupMembers, group_standing
from regiond.placement.capacity import headroom, missing_cores, missing_memory
from regiond.placement.host_filters import rejection_by_filter
from regiond.placement.model import Candidate, Evaluation, Requirements
from regiond.placement.nic_attachment import attach_nics
from regiond.placement.numa_placement import assign_numa
from regiond.placement.storage_assignment import assign_storage, label_notes


def evaluate(requirements: Requirements, host: Candidate, members: GroupMembers = NO_MEMBERS) -> Evaluation:
    """Returns the evaluation of `host`, independent of other hosts. `members` are those of the machine's groups.

    A host that a filter rejects has that one reason; any other rejected host has a reason for each thing it lacks.
    """
    standing = group_standing(requirements.groups, host, members)
    blocked = rejection_by_filter(requirements, host) or standing.rejected or _unusable(requirements, host)
    if blocked is not None:
        return Evaluation(host_id=host.id, host_name=host.name, reasons=(blocked,))
    numa, numa_reasons = assign_numa(requirements, host)
    disks, storage_reason = assign_storage(requirements.disks, host)
    nics, interfaces_reason = attach_nics(requirements.nics, host)
    compute_reasons = missing_cores(requirements, host), missing_memory(requirements, host)
    checked = (*compute_reasons, *numa_reasons, storage_reason, interfaces_reason)
    reasons = tuple(reason for reason in checked if reason is not None)
    if reasons:
        short = any(reason is not None for reason in compute_reasons)
        return Evaluation(host_id=host.id, host_name=host.name, reasons=reasons, lacks_compute=short)
    return Evaluation(
        host_id=host.id,
        host_name=host.name,
        notes=label_notes(requirements.disks, [pool.name for pool in host.storage_pools], host.name),
        score=headroom(requirements, host),
        disks=disks,
        nics=nics,
        pinned_core_ids=numa.core_ids,
        pages=numa.pages,
        numa_node_ids=numa.node_ids,
        unmet=standing.unmet,
        conflicts=standing.conflicts,
    )


def _unusable(requirements: Requirements, host: Candidate) -> str | None:
    """Returns why the host cannot take such a machine, whatever is free."""
    if (closed := _closed(host)) is not None:
        return closed
    if host.cores is None or host.memory_mib is None:
        return "capacity unknown until its first successful discovery run"
    if requirements.host_id is None and (not host.reachable or host.lost):
        return "its last call or refresh failed" if host.reachable else "no connected rack reaches it"
    if requirements.architecture is not None and requirements.architecture != host.architecture:
        return f"architecture is {host.architecture}, needs {requirements.architecture}"
    required_mhz = requirements.cpu_speed_mhz
    if required_mhz is not None and host.cpu_speed_mhz is not None and required_mhz > host.cpu_speed_mhz:
        return f"CPU speed is {host.cpu_speed_mhz} MHz, needs {required_mhz} MHz"
    return None


def _closed(host: Candidate) -> str | None:
    """Returns why the host takes no new machine at all."""
    if host.state == "removing":
        return "is being removed"
    return f"is in maintenance {host.maintenance}" if host.maintenance is not None else None
