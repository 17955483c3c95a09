"""Rules of the cores and memory that a machine can get while it runs. Pure."""

from __future__ import annotations

from common.guests.compose_request import ComposeRequest
from regiond.machines.values.resize import MAX_CORES
from regiond.requests.validation_messages import outside

LARGEST_MIB = 2**31 - 1
MAX_MEMORY_STEP_MIB = 2  # hypervisors add memory in blocks of this size


def maximum_problems(request: ComposeRequest, *, is_pinned: bool) -> dict[str, list[str]]:
    """Returns the problems of `max_cores` and `max_memory` by field."""
    problems: dict[str, list[str]] = {}
    cores, memory_mib = request.max_cores, request.max_memory_mib
    if cores is not None:
        if is_pinned:
            problems["max_cores"] = ["A machine with pinned cores keeps their number: leave max_cores out."]
        elif not max(1, request.cores) <= cores <= MAX_CORES:
            problems["max_cores"] = [outside(cores, max(1, request.cores), MAX_CORES)]
    if memory_mib is not None:
        if request.huge_pages_backed:
            problems["max_memory"] = ["Memory in huge pages does not grow while a machine runs: leave max_memory out."]
        elif not request.memory_mib <= memory_mib <= LARGEST_MIB:
            problems["max_memory"] = [outside(memory_mib, request.memory_mib, LARGEST_MIB, "MiB")]
        elif (memory_mib - request.memory_mib) % MAX_MEMORY_STEP_MIB:
            problems["max_memory"] = [f"{memory_mib} MiB is not a multiple of 2 MiB more than memory."]
    return problems
