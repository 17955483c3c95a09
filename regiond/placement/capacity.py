"""Compares required cores and general memory with what a host has free."""

from __future__ import annotations

from common.capacity import ResourceCapacity
from common.phrases import number_of
from regiond.placement.model import Candidate, Requirements


def missing_cores(requirements: Requirements, host: Candidate) -> str | None:
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


def missing_memory(requirements: Requirements, host: Candidate) -> str | None:
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


def headroom(requirements: Requirements, host: Candidate) -> float:
    """Returns the smaller share of cores and general memory that stays free, 0…1, rounded so that equal hosts tie.

    If all of the host's memory is in huge pages, only cores count.
    """
    cores, memory_mib = host.cores_claimable, host.memory_mib_claimable
    shares = [(cores - host.cores_claimed - requirements.cores) / cores]
    if memory_mib:
        required_mib = 0 if requirements.huge_pages else requirements.memory_mib
        shares.append((memory_mib - host.memory_mib_claimed - required_mib) / memory_mib)
    return round(min(shares), 6)
