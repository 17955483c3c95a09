"""Evaluates one host: filters in a fixed order, then everything the machine needs, then a score."""

from __future__ import annotations

from collections.abc import Sequence

from common.hosts.capacity import ResourceCapacity
from common.words.phrases import number_of
from regiond.placement.affinity import NO_MEMBERS, NO_STANDING, GroupMembers, group_standing
from regiond.placement.candidate import Candidate
from regiond.placement.checks import SUMMARY, Check, Failure
from regiond.placement.model import Evaluation
from regiond.placement.nic_attachment import attach_nics
from regiond.placement.numa_placement import NO_NUMA, assign_numa
from regiond.placement.reason_phrases import first_of
from regiond.placement.requirements import Requirements
from regiond.placement.storage_assignment import assign_storage, label_notes


def evaluate(requirements: Requirements, host: Candidate, members: GroupMembers = NO_MEMBERS) -> Evaluation:
    """Returns the evaluation of `host`, independent of other hosts.

    `members` are those of the machine's groups; those that the request may not know of do not count.

    A host that a filter rejects has that one failure; any other rejected host has a failure for each thing it lacks.
    """
    known = members.known_to(requirements.hosts.within_pool_ids)
    standing = group_standing(requirements.groups, host, known) if requirements.groups else NO_STANDING
    by_groups = _failure(Check.GROUPS, standing.rejected)
    blocked = _rejection_by_filter(requirements, host) or by_groups or _unusable(requirements, host)
    if blocked is not None:
        return Evaluation(host_id=host.id, host_name=host.name, failures=(blocked,))
    numa, numa_failures = assign_numa(requirements, host) if needs_nodes(requirements) else (NO_NUMA, ())
    disks, storage_reason = assign_storage(requirements.disks, host)
    nics, interfaces_reason = attach_nics(requirements.nics, host)
    short_of_compute = (
        _failure(Check.CORES, _missing_cores(requirements, host)),
        _failure(Check.MEMORY, _missing_memory(requirements, host)),
    )
    others = _failure(Check.STORAGE, storage_reason), _failure(Check.NETWORK, interfaces_reason)
    failures = tuple(one for one in (*short_of_compute, *numa_failures, *others) if one is not None)
    if failures:
        return Evaluation(host_id=host.id, host_name=host.name, failures=failures, lacks_compute=any(short_of_compute))
    return Evaluation(
        host_id=host.id,
        host_name=host.name,
        notes=label_notes(requirements.disks, [pool.name for pool in host.storage_pools], host.name),
        score=_headroom(requirements, host),
        disks=disks,
        nics=nics,
        pinned_core_ids=numa.core_ids,
        pages=numa.pages,
        numa_node_ids=numa.node_ids,
        unmet=standing.unmet,
        conflicts=standing.conflicts,
    )


def needs_nodes(requirements: Requirements) -> bool:
    """Returns whether the evaluation reads `Candidate.nodes`."""
    return requirements.pins is not None or requirements.huge_pages


def _failure(check: Check, reason: str | None) -> Failure | None:
    return None if reason is None else Failure(check, reason)


def _unusable(requirements: Requirements, host: Candidate) -> Failure | None:
    """Returns why the host cannot take such a machine, whatever is free."""
    if (closed := _closed(host)) is not None:
        return closed
    if host.cores is None or host.memory_mib is None:
        return Failure(Check.UNKNOWN, "capacity unknown until its first successful discovery run")
    return (None if requirements.host_id is not None else _out_of_reach(host)) or _unlike(requirements, host)


def _out_of_reach(host: Candidate) -> Failure | None:
    if not host.reachable:
        return Failure(Check.UNREACHABLE, "no connected rack reaches it")
    return Failure(Check.LOST, "its last call or refresh failed") if host.lost else None


def _unlike(requirements: Requirements, host: Candidate) -> Failure | None:
    """Returns why the hardware of the host is not what the machine needs."""
    if requirements.architecture is not None and requirements.architecture != host.architecture:
        return Failure(Check.ARCHITECTURE, f"architecture is {host.architecture}, needs {requirements.architecture}")
    required_mhz = requirements.cpu_speed_mhz
    if required_mhz is not None and host.cpu_speed_mhz is not None and required_mhz > host.cpu_speed_mhz:
        return Failure(Check.SPEED, f"CPU speed is {host.cpu_speed_mhz} MHz, needs {required_mhz} MHz")
    return None


def _closed(host: Candidate) -> Failure | None:
    """Returns why the host takes no new machine at all."""
    if host.state == "removing":
        return Failure(Check.REMOVING, "is being removed")
    return _failure(Check.MAINTENANCE, host.maintenance and f"is in maintenance {host.maintenance}")


def _rejection_by_filter(requirements: Requirements, host: Candidate) -> Failure | None:
    """Returns the failure of the first filter that rejects the host; None if all accept it."""
    wanted = requirements.hosts
    if requirements.host_id is not None and requirements.host_id != host.id:
        return Failure(Check.HOST, "not the requested host")
    if wanted.within_pool_ids is not None and host.pool_id not in wanted.within_pool_ids:
        return Failure(Check.ROLE, "is in a resource pool in which you may not compose")
    if (wanted.host_ids and host.id not in wanted.host_ids) or host.id in wanted.not_host_ids:
        return Failure(Check.HOST, SUMMARY[Check.HOST])
    if host.id in wanted.tried_host_ids:
        return Failure(Check.TRIED, "this compose already failed here")
    return (
        _failure(Check.TYPE, _property("type", host.driver, wanted.drivers, wanted.not_drivers))
        or _failure(Check.ZONE, _group("zone", host.zone, wanted.zones, wanted.not_zones))
        or _failure(Check.POOL, _group("resource pool", host.pool, wanted.pools, wanted.not_pools))
        or _failure(Check.TAGS, _tags(host, wanted.tags, wanted.not_tags))
        or _failure(
            Check.ARCHITECTURE,
            _property("architecture", host.architecture, wanted.architectures, wanted.not_architectures),
        )
    )


def _group(what: str, own: str, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    if wanted and own not in wanted:
        return f"is in {what} {own}, needs {_join(wanted, 'or')}"
    return f"is in {what} {own}, which is excluded" if own in unwanted else None


def _property(what: str, own: str | None, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    """Passes a host of unknown type or architecture: `evaluate` rejects it for its unknown capacity."""
    if own is None:
        return None
    if own in unwanted:
        return f"{what} {own} is excluded"
    return f"{what} is {own}, needs {_join(wanted, 'or')}" if wanted and own not in wanted else None


def _tags(host: Candidate, wanted: Sequence[str], unwanted: Sequence[str]) -> str | None:
    missing = [tag for tag in wanted if tag not in host.tags]
    if missing:
        return f"lacks the {_noun(missing)} {_join(missing, 'and')}"
    present = [tag for tag in unwanted if tag in host.tags]
    return f"has the excluded {_noun(present)} {_join(present, 'and')}" if present else None


def _noun(tags: Sequence[str]) -> str:
    return "tag" if len(tags) == 1 else "tags"


def _join(names: Sequence[str], conjunction: str) -> str:
    return f" {conjunction} ".join(first_of(names))


def _missing_cores(requirements: Requirements, host: Candidate) -> str | None:
    """Returns why the host lacks cores, or None.

    A machine with more cores than its host cannot run there, whatever the ratio.
    """
    required, usable = requirements.cores, host.cores_for_machines
    reserved = f", {host.reserved_cores} reserved" if host.reserved_cores else ""
    if required > host.cores_free:
        capacity = host.cores_capacity
        counted = _counted(number_of(usable, "core"), host.cpu_over_commit_ratio, capacity, host.cores_claimed_here)
        return f"needs {number_of(required, 'core')}, {capacity.free} free ({counted}{reserved})"
    return f"needs {number_of(required, 'core')}, the host has only {usable}{reserved}" if required > usable else None


def _missing_memory(requirements: Requirements, host: Candidate) -> str | None:
    """Returns why the host lacks general memory, or None. A machine backed by huge pages needs no general memory."""
    if requirements.huge_pages:
        return None
    required, usable = requirements.memory_mib, host.memory_mib_for_machines
    excluded = f", {host.huge_memory_mib} in huge pages" if host.huge_memory_mib else ""
    excluded += f", {host.reserved_memory_mib} reserved" if host.reserved_memory_mib else ""
    if required > host.memory_mib_free:
        capacity = host.memory_mib_capacity
        counted = _counted(f"{usable} MiB", host.memory_over_commit_ratio, capacity, host.memory_mib_claimed_here)
        return f"needs {required} MiB of memory, {capacity.free} free ({counted}{excluded})"
    return f"needs {required} MiB of memory, the host has only {usable}{excluded}" if required > usable else None


def _counted(usable: str, ratio: float, capacity: ResourceCapacity, claimed_here: int | None) -> str:
    """Names the numbers of the API's `capacity` object; without the claims of the host's machines, only their sum."""
    if claimed_here is None:
        return f"{usable} × ratio {ratio}, {capacity.claimed + capacity.elsewhere} used"
    return (
        f"{usable} × ratio {ratio} = {capacity.claimable} claimable, {capacity.claimed} claimed, "
        f"{capacity.elsewhere} elsewhere on the server"
    )


def _headroom(requirements: Requirements, host: Candidate) -> float:
    """Returns the smaller share of cores and general memory that stays free, 0…1, rounded so that equal hosts tie.

    If all of the host's memory is in huge pages, only cores count.
    """
    cores, memory_mib = host.cores_claimable, host.memory_mib_claimable
    shares = [(cores - host.cores_claimed - requirements.cores) / cores]
    if memory_mib:
        required_mib = 0 if requirements.huge_pages else requirements.memory_mib
        shares.append((memory_mib - host.memory_mib_claimed - required_mib) / memory_mib)
    return round(min(shares), 6)
