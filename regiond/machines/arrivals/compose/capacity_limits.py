"""Rejects requirements that a named host can never satisfy, and writes the error when no host fits."""

from __future__ import annotations

from common.errors import InvalidRequest, OutOfCapacity
from common.words.phrases import number_of
from regiond.placement.candidate import Candidate
from regiond.placement.cpu_pinning import core_ranges
from regiond.placement.model import Placement, explain
from regiond.placement.requirements import Requirements
from regiond.placement.storage_assignment import missing_pool
from regiond.requests.validation_messages import no_choice


def check_limits(requirements: Requirements, host: Candidate) -> None:
    """Raises InvalidRequest by field if the machine exceeds the host, so that it could never run there.

    This includes cores that do not exist and huge pages on a host without any. The host's capacity must be known, and
    its NUMA nodes if the requirements need them.
    """
    problems = {**_core_problems(requirements, host), **_huge_page_problems(requirements, host)}
    if requirements.memory_mib > (host.memory_mib or 0):
        problems["memory"] = [f"Host {host.name} has only {host.memory_mib or 0} MiB of memory."]
    if requirements.architecture is not None and requirements.architecture != host.architecture:
        problems["architecture"] = [
            no_choice(requirements.architecture, [host.architecture] if host.architecture else [])
        ]
    missing_pools = dict.fromkeys(missing_pool(disk, host) for disk in requirements.disks)
    if any(missing_pools):
        problems["storage"] = [f"Host {host.name}: {reason}." for reason in missing_pools if reason]
    if problems:
        raise InvalidRequest.of(problems)


def capacity_unknown(name: str, error_message: str | None) -> InvalidRequest:
    """Returns the error for a host without a successful discovery run."""
    reason = f": {error_message}" if error_message else "."
    return InvalidRequest(f"{name} cannot take machines before its first successful refresh{reason}")


def no_capacity(placement: Placement, *, named: bool) -> OutOfCapacity:
    """Returns the error when no host fits; its message and details have the reasons of each host."""
    reasons = [f"{one.host_name}: {'; '.join(one.reasons)}" for one in placement.rejected]
    reasons += [f"{hosts} more: {reason}" for reason, hosts in placement.summarized.items()]
    what = "Unable to compose a machine on this host" if named else "No host can take the machine"
    return OutOfCapacity(f"{what}. {' | '.join(reasons) or 'There is no VM host.'}", placement=explain(placement))


def _core_problems(requirements: Requirements, host: Candidate) -> dict[str, list[str]]:
    pins = requirements.pins
    known = {core_id for node in host.nodes for core_id in node.core_ids}
    if pins is not None and known:
        unknown = sorted({*pins.core_ids} - known)
        if unknown:
            core_ids = ", ".join(map(str, unknown))
            return {"pinned_cores": [f"Host {host.name} has no core {core_ids}; it has {core_ranges(known)}."]}
        largest = max(len(node.core_ids) for node in host.nodes)
        if (pins.count or 0) > largest:
            return {"pin_cores": [f"Host {host.name} has at most {number_of(largest, 'core')} on a NUMA node."]}
    cores = host.cores or 0
    field = "cores" if pins is None else "pin_cores" if pins.count is not None else "pinned_cores"
    if requirements.cores <= cores:
        return {}
    return {field: [f"Host {host.name} has only {number_of(cores, 'core')}."]}


def _huge_page_problems(requirements: Requirements, host: Candidate) -> dict[str, list[str]]:
    if not requirements.huge_pages:
        return {}
    sizes_kib = {pages.size_kib for node in host.nodes for pages in node.pages if pages.total}
    if not sizes_kib:
        return {"hugepages_backed": [f"Host {host.name} has no huge pages."]}
    required = requirements.huge_page_size_kib
    if required is not None and required not in sizes_kib:
        sizes = ", ".join(f"{size // 1024}" for size in sorted(sizes_kib))
        return {"hugepage_size": [f"Host {host.name} has no huge pages of {required // 1024} MiB; it has: {sizes}."]}
    return {}
