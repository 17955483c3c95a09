"""Compares required cores and general memory with what a host has free."""

from __future__ import annotations

from regiond.placement.model import Candidate, Requirements
from regiond.placement.reason_phrases import number_of


def missing_cores(requirements: Requirements, host: Candidate) -> str | None:
    """Returns why the host lacks cores, or None.

    A machine with more cores than its host cannot run there, whatever the ratio.
    """
    required, usable = requirements.cores, host.cores_for_machines
    reserved = f", {host.reserved_cores} reserved" if host.reserved_cores else ""
    if required > host.cores_free:
        return (
            f"needs {number_of(required, 'core')}, {max(0, host.cores_free)} free ({number_of(usable, 'core')} × ratio "
            f"{host.cpu_over_commit_ratio}, {host.cores_claimed} used{reserved})"
        )
    return f"needs {number_of(required, 'core')}, the host has only {usable}{reserved}" if required > usable else None


def missing_memory(requirements: Requirements, host: Candidate) -> str | None:
    """Returns why the host lacks general memory, or None. A machine backed by huge pages needs no general memory."""
    if requirements.huge_pages:
        return None
    required, usable = requirements.memory_mib, host.memory_mib_for_machines
    excluded = f", {host.huge_memory_mib} in huge pages" if host.huge_memory_mib else ""
    excluded += f", {host.reserved_memory_mib} reserved" if host.reserved_memory_mib else ""
    if required > host.memory_mib_free:
        return (
            f"needs {required} MiB of memory, {max(0, host.memory_mib_free)} free ({usable} MiB × ratio "
            f"{host.memory_over_commit_ratio}, {host.memory_mib_claimed} used{excluded})"
        )
    return f"needs {required} MiB of memory, the host has only {usable}{excluded}" if required > usable else None


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
