"""What a named host can never give, whatever is free there, and what is said when no host takes a machine."""

from __future__ import annotations

from common.errors import InvalidRequest, OutOfCapacity
from regiond.field_words import at_most, no_choice
from regiond.placement.cores import ranges
from regiond.placement.model import HostOffer, Placement, Wish


def check_bounds(wish: Wish, host: HostOffer) -> None:
    """Raises InvalidRequest by field for a machine that is larger than its host: it could never run there.

    Pinned cores that the host does not have and huge pages of which it has none at all are of that kind too. Its
    capacity is known, and its NUMA nodes if the wish needs them.
    """
    wrong = {**_wrong_cores(wish, host), **_wrong_pages(wish, host)}
    if wish.memory_mib > (host.memory_mib or 0):
        wrong["memory"] = [at_most(host.memory_mib or 0)]
    if wish.architecture is not None and wish.architecture != host.architecture:
        wrong["architecture"] = [no_choice(wish.architecture)]
    if wrong:
        raise InvalidRequest.of(wrong)


def not_looked_at(name: str, error_message: str | None) -> InvalidRequest:
    """For a host whose capacity is unknown."""
    because = f": {error_message}" if error_message else "."
    return InvalidRequest(f"{name} cannot take machines before its first good refresh{because}")


def _wrong_cores(wish: Wish, host: HostOffer) -> dict[str, list[str]]:
    known = {core_id for node in host.nodes for core_id in node.core_ids}
    if wish.pins is not None and known:
        beyond = sorted({*wish.pins.core_ids} - known)
        if beyond:
            return {"pinned_cores": [f"{host.name} has no core {', '.join(map(str, beyond))}: it has {ranges(known)}."]}
        most = max(len(node.core_ids) for node in host.nodes)
        if (wish.pins.count or 0) > most:
            return {"pin_cores": [at_most(f"{most}, the cores of a node")]}
    most = host.cores or 0
    field = "cores" if wish.pins is None else "pin_cores" if wish.pins.count is not None else "pinned_cores"
    return {field: [at_most(most)]} if wish.cores > most else {}


def _wrong_pages(wish: Wish, host: HostOffer) -> dict[str, list[str]]:
    if not wish.huge_pages:
        return {}
    sizes_kib = {pages.size_kib for node in host.nodes for pages in node.pages if pages.total}
    if not sizes_kib:
        return {"hugepages_backed": [f"{host.name} has no huge pages."]}
    asked = wish.huge_page_size_kib
    if asked is not None and asked not in sizes_kib:
        there = ", ".join(f"{size // 1024}" for size in sorted(sizes_kib))
        return {"hugepage_size": [f"{host.name} has no pages of {asked // 1024} MiB; there are: {there}."]}
    return {}


def no_room(placement: Placement, *, named: bool) -> OutOfCapacity:
    """What each host lacks, in numbers, as text and in the details."""
    lacks = [f"{verdict.host_name}: {'; '.join(verdict.reasons)}" for verdict in placement.refused]
    lacks += [f"{hosts} more: {reason}" for reason, hosts in placement.left_out.items()]
    what = "Unable to compose a machine on this host" if named else "No host can take the machine"
    return OutOfCapacity(f"{what}. {' | '.join(lacks) or 'There is no VM host.'}", placement=placement.as_explanation())
