"""Words and groups for what placement rejected, the same on every page. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import NoneAvailable, OutOfCapacity
from regiond.operations.model import Operation
from regiond.placement.checks import Check
from regiond.ui.texts import constant, text


@frozen(kw_only=True)
class RejectedHost:
    """`reasons` are sentences with numbers."""

    name: str
    id: int | None
    reasons: tuple[str, ...]


@frozen(kw_only=True)
class Rejection:
    """Hosts that failed the same check first. `count` may exceed those named: of a large fleet, most are counted."""

    heading: str
    remedy: str
    hosts: tuple[RejectedHost, ...]
    count: int
    is_unasked: bool = False


# What the hosts of a group have in common, and what would help.
_WORDS: Mapping[str, tuple[str, str]] = {
    Check.HOST: (constant("Not among the hosts that you chose"), ""),
    Check.ROLE: (
        constant("In a resource pool in which you may not compose"),
        constant("An administrator can grant you the role Operator in that pool."),
    ),
    Check.TRIED: (constant("This compose failed there before"), ""),
    Check.TYPE: (constant("Another type of host"), constant("Ask for another type.")),
    Check.ZONE: (
        constant("In another zone"),
        constant("Add their zone to the zones of the host, or leave these empty."),
    ),
    Check.POOL: (
        constant("In another resource pool"),
        constant("Add their pool to the resource pools of the host, or leave these empty."),
    ),
    Check.TAGS: (constant("Other tags"), constant("Ask for fewer tags, or tag the hosts in their settings.")),
    Check.GROUPS: (
        constant("Against affinity or anti-affinity groups"),
        constant("Write :soft after the name of a group to make it a preference."),
    ),
    Check.REMOVING: (constant("Being removed"), ""),
    Check.MAINTENANCE: (
        constant("Closed for placement"),
        constant("Open the host again in its settings when its maintenance has ended."),
    ),
    Check.UNKNOWN: (
        constant("Capacity unknown"),
        constant("The page of the host says what its first refresh waits for, such as trust."),
    ),
    Check.UNREACHABLE: (
        constant("Out of reach of every connected rack"),
        constant("Look at the racks in the settings."),
    ),
    Check.LOST: (
        constant("Unreachable"),
        constant("The page of the host has the reason. It takes VMs again after the next refresh that succeeds."),
    ),
    Check.ARCHITECTURE: (constant("Another architecture"), constant("Choose their architecture, or any.")),
    Check.SPEED: (constant("CPUs too slow"), constant("Ask for a lower CPU speed.")),
    Check.CORES: (
        constant("Not enough free cores"),
        constant("Ask for fewer cores, remove VMs, or raise the CPU overcommit in the settings of a host."),
    ),
    Check.MEMORY: (
        constant("Not enough free RAM"),
        constant("Ask for less RAM, remove VMs, or raise the memory overcommit in the settings of a host."),
    ),
    Check.PINS: (constant("Not enough cores to pin"), constant("Pin other or fewer cores, or let the VM use any.")),
    Check.PAGES: (
        constant("Not enough free huge pages"),
        constant("Ask for less RAM, another size of page, or no huge pages."),
    ),
    Check.STORAGE: (
        constant("No storage pool for a disk"),
        constant("Make the disk smaller, or choose another storage pool."),
    ),
    Check.NETWORK: (
        constant("No interface on the networks that you chose"),
        constant("Choose another space, subnet or way to attach, or remove the interface."),
    ),
    Check.RANK: (constant("They fit, but would have less capacity left"), ""),
}
_OTHER = (constant("Other reasons"), "")  # of operations of older releases, which have no checks
# Hosts that were not meant say least of why a request failed.
_LAST = {Check.HOST, Check.RANK}


def rejections(placement: Mapping[str, Any]) -> list[Rejection]:
    """`placement` is the API's JSON. The group with the most hosts comes first, that of hosts not asked for last."""
    named: dict[str, list[RejectedHost]] = {}
    counts: dict[str, int] = {}
    for one in placement["rejected"]:
        check = next(iter(one.get("checks", ())), "")
        host = RejectedHost(name=one["host"], id=one.get("host_id"), reasons=tuple(one["reasons"]))
        named.setdefault(check, []).append(host)
        counts[check] = counts.get(check, 0) + 1
    for one in placement["summarized"]:
        check = one.get("check") or ""
        counts[check] = counts.get(check, 0) + one["hosts"]
    return [_group(check, counts[check], named.get(check, ())) for check in sorted(counts, key=_order(counts))]


def rejected_ids(placement: Mapping[str, Any]) -> set[int]:
    """Returns the ids of the rejected hosts that are named."""
    return {one["host_id"] for one in placement["rejected"] if one.get("host_id") is not None}


def without_removed(placement: Mapping[str, Any], present: Collection[int]) -> Mapping[str, Any]:
    """Returns a stored placement without the ids of rejected hosts that are gone: pages link to the `present` ones."""
    rejected = [one if one.get("host_id") in present else {**one, "host_id": None} for one in placement["rejected"]]
    return {**placement, "rejected": rejected}


def _order(counts: Mapping[str, int]) -> Any:
    return lambda check: (check in _LAST, -counts[check], check)


def _group(check: str, count: int, hosts: Sequence[RejectedHost]) -> Rejection:
    heading, remedy = _WORDS.get(check, _OTHER)
    return Rejection(heading=heading, remedy=remedy, hosts=tuple(hosts), count=count, is_unasked=check in _LAST)


def refusal_of_host(placement: Mapping[str, Any], name: str) -> str | None:
    """Returns why the host of this name was rejected and what would help, as a sentence; None if it was not."""
    found = next((one for one in placement["rejected"] if one["host"] == name), None)
    if found is None:
        return None
    _, remedy = _WORDS.get(next(iter(found.get("checks", ())), ""), _OTHER)
    refused = text("{name} cannot take it: {reasons}.", name=name, reasons="; ".join(found["reasons"]))
    sentences = (refused, remedy, text("Or choose another host."))
    return " ".join(str(sentence) for sentence in sentences if sentence)


def has_reasons_of_hosts(task: Operation) -> bool:
    """Whether the task failed because no host could take the VM, so that its placement says why, host by host."""
    codes = {OutOfCapacity.code, NoneAvailable.code}
    placement = task.explanation or {}
    return task.error_code in codes and placement.get("chosen", "") is None
