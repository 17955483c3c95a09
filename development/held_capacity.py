"""Explains why no first VM fits: which VMs hold the host's cores and memory, and what makes room. Pure."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any

from attrs import frozen

from common.words.phrases import number_of

MAX_RATIO = 10  # of cores and of memory, in the API
_SHOWN = 12


@frozen(kw_only=True)
class _Resource:
    """`key`: of the host's and guests' amounts; `ratio`: the host's field that overcommits it."""

    key: str
    unit: str
    ratio: str


_CORES = _Resource(key="cores", unit="cores", ratio="cpu_over_commit_ratio")
_MEMORY = _Resource(key="memory", unit="MiB memory", ratio="memory_over_commit_ratio")


def lines(
    host: Mapping[str, Any],
    guests: Iterable[Mapping[str, Any]],
    needed: Mapping[str, int],
    *,
    others: Container[str] = (),
) -> tuple[list[str], str | None]:
    """Returns who holds what is lacking, and the fields of `vm-host update` that make room; no lines if both suffice.

    `guests` are the virtual machines of the host, as the API lists them; those named in `others` belong to another
    Innkeeper. The fields are None if even the highest overcommit ratio does not suffice.
    """
    lacking = [one for one in (_CORES, _MEMORY) if _lacks(host, one, needed[one.key])]
    ordered = sorted(guests, key=lambda guest: (-guest["cpu_count"], guest["identifier"]))
    if not lacking:
        return [], None
    found = [f"{_totals(host, one)}{', held by:' if one is lacking[-1] else ''}" for one in lacking]
    found += [f"  {_holder(guest, others)}" for guest in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        found.append(f"  and {len(ordered) - _SHOWN} more")
    ratios = {one.ratio: _ratio(host, one, needed[one.key]) for one in lacking}
    if None in ratios.values():
        return [*found, f"Even an overcommit ratio of {MAX_RATIO} is too low: delete some of them in libvirt."], None
    return found, " ".join(f"{name}={ratio}" for name, ratio in ratios.items())


def _lacks(host: Mapping[str, Any], resource: _Resource, needed: int) -> bool:
    return _claimable(host, resource, host[resource.ratio]) < int(host["used"][resource.key]) + needed


def _claimable(host: Mapping[str, Any], resource: _Resource, ratio: float) -> int:
    unreserved: int = host["total"][resource.key] - host[f"reserved_{resource.key}"]
    return math.floor(unreserved * ratio)


def _ratio(host: Mapping[str, Any], resource: _Resource, needed: int) -> int | None:
    """Returns the lowest whole ratio that suffices; None if even the highest does not."""
    wanted = host["used"][resource.key] + needed
    return next((one for one in range(1, MAX_RATIO + 1) if _claimable(host, resource, one) >= wanted), None)


def _totals(host: Mapping[str, Any], resource: _Resource) -> str:
    used, total = host["used"][resource.key], host["total"][resource.key]
    reserved = host[f"reserved_{resource.key}"]
    minus = f", {reserved} of them reserved" if reserved else ""
    return f"{used} of {total} {resource.unit}{minus} (overcommit ratio {host[resource.ratio]:g})"


def _holder(guest: Mapping[str, Any], others: Container[str]) -> str:
    owner = "not Innkeeper's"
    if guest["system_id"] is not None:
        owner = f"machine {guest['system_id']} of this Innkeeper"
    elif guest["identifier"] in others:
        owner = "of another or an earlier Innkeeper"
    cores = number_of(guest["cpu_count"], "core")
    return f"{guest['identifier']}: {cores}, {guest['memory']} MiB memory; {owner}"
